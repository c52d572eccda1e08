"""Days in forms: those that this product can have anything to do with."""

from datetime import date
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator

FIRST, LAST = date(2000, 1, 1), date(2199, 12, 31)


class DayField(forms.DateField):
    """A day from 2000 to 2199. The day after it can be told in any time zone, which is not so at the end of years."""

    def __init__(self, **kwargs: Any) -> None:
        said = "Write a day from 2000 to 2199."
        super().__init__(
            widget=forms.DateInput(attrs={"type": "date"}),
            validators=[MinValueValidator(FIRST, said), MaxValueValidator(LAST, said)],
            **kwargs,
        )
