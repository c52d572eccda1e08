"""The form of a credit: every field is needed, every text is capped, every amount is parsed by the one parser."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import forms
from moneyed import Money

from billing_ops.console.days import DayField
from billing_ops.console.frame import in_form
from billing_ops.kit.errors import BillingError
from billing_ops.kit.money import parse_money

KINDS = [
    ("goodwill", "Goodwill"),
    ("promotional", "Promotional"),
]
REASONS = [
    ("", "Choose a reason"),
    ("service_disruption", "Service disruption"),
    ("billing_error", "Billing error on our side"),
    ("slow_support", "Slow or wrong support"),
    ("sales_promise", "Promised by sales"),
    ("trial", "Trial"),
    ("campaign", "Campaign"),
    ("other", "Other, see the note"),
]


class CreditForm(forms.Form):
    """What a member of the staff says to issue a credit to one customer, in that customer's currency."""

    amount = forms.CharField(
        max_length=40, required=False, help_text="A plain number such as 25.00, without separators."
    )
    currency = forms.CharField(max_length=3, required=False)
    kind = forms.ChoiceField(
        choices=KINDS,
        help_text="Goodwill makes up for what went wrong, promotional is a gift. Both pay before paid credits.",
    )
    last_day = DayField(
        label="Last day it can be used",
        required=False,
        help_text="In UTC. Leave empty for a credit that does not expire.",
    )
    reason_code = forms.ChoiceField(label="Reason", choices=REASONS)
    ticket = forms.CharField(max_length=64, help_text="The support ticket that this answers, e.g. SUP-1042.")
    note = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="For colleagues: what happened and why this amount. The customer does not see it.",
    )

    def __init__(self, *args: Any, currency: str, at: datetime, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._currency = currency
        self._at = at
        self.money: Money | None = None
        self.fields["amount"].label = f"Amount in {currency}"
        for name, field in self.fields.items():
            described = f"id_{name}_help id_{name}_error" if field.help_text else f"id_{name}_error"
            field.widget.attrs |= {"aria-describedby": described, "autocomplete": "off"}
            if name in self.errors:
                field.widget.attrs["aria-invalid"] = "true"

    def clean_currency(self) -> str:
        """Another currency than the customer's is refused, never converted."""
        given = str(self.cleaned_data["currency"]) or self._currency
        if given != self._currency:
            raise forms.ValidationError(f"The customer is billed in {self._currency}; a credit in {given} is refused.")
        return given

    def clean_amount(self) -> str:
        """An amount in whole minor units, or the parser's own words on what is wrong with it."""
        text = str(self.cleaned_data["amount"]).strip()
        try:
            self.money = parse_money(text, self._currency, field="amount")
        except BillingError as error:
            raise forms.ValidationError(in_form(error)) from None
        return text

    def clean_last_day(self) -> date | None:
        """A day that is not over yet."""
        day: date | None = self.cleaned_data["last_day"]
        if day is not None and day < self._at.astimezone(UTC).date():
            raise forms.ValidationError("That day is over: the credit could never be used.")
        return day

    @property
    def terms(self) -> dict[str, Any]:
        """The arguments of ``crediting.grant`` that the form decides; only after ``is_valid()``."""
        day: date | None = self.cleaned_data["last_day"]
        ends = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1) if day else None
        return {
            "kind": self.cleaned_data["kind"],
            "amount": self.money,
            "reason_code": self.cleaned_data["reason_code"],
            "expires_at": ends,
            "ticket": self.cleaned_data["ticket"],
            "note": self.cleaned_data["note"],
        }
