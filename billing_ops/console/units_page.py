"""The company's own units of credit: which there are, what they are worth, how it came to that, and setting another."""

from datetime import UTC, datetime
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from billing_ops.console.days import DayField
from billing_ops.console.frame import in_form, show
from billing_ops.console.people import actor_of
from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from billing_ops.kit.money import LEDGER_SCALE, parse_decimal
from ledger import registering, units
from ledger.models import UnitRate

_HISTORY: Final = 50


class UnitForm(forms.Form):
    """A unit to register."""

    prefix = "unit"
    code = forms.CharField(
        max_length=24, help_text="2 to 24 small letters, digits and underscores, e.g. credits or tokens_m. It stays."
    )


class RateForm(forms.Form):
    """What a unit is worth from a day on."""

    unit = forms.ChoiceField()
    currency = forms.CharField(max_length=3, help_text="A currency such as USD.")
    rate = forms.CharField(max_length=40, help_text="Money in that currency for one unit, e.g. 0.01.")
    first_day = DayField(label="From day", required=False, help_text="In UTC. Leave empty for at once.")
    reason = forms.CharField(max_length=500, help_text="Why: who decided it, and where that stands.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choice = self.fields["unit"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(one.unit.pk, one.unit.pk) for one in units.own(at=clock.now())]


def units_page(request: HttpRequest) -> HttpResponse:
    """The units with their rates in force, and every rate that was set."""
    return _show(request)


def register_unit(request: HttpRequest) -> HttpResponse:
    """Register a unit."""
    form = UnitForm(request.POST)
    if not form.is_valid():
        return _show(request, unit_form=form, status=422)
    try:
        made = registering.register(code=form.cleaned_data["code"].strip(), actor=actor_of(request), at=clock.now())
    except BillingError as error:
        form.add_error("code", in_form(error))
        return _show(request, unit_form=form, status=error.http_status)
    messages.success(request, f"The unit {made.pk} is registered. Set what it is worth before credit in it is given.")
    return redirect("admin:console_units")


def set_rate(request: HttpRequest) -> HttpResponse:
    """Set what a unit is worth."""
    form, at = RateForm(request.POST), clock.now()
    if not form.is_valid():
        return _show(request, rate_form=form, status=422)
    data = form.cleaned_data
    day = data["first_day"]
    try:
        registering.set_rate(
            unit=data["unit"],
            currency=data["currency"].strip().upper(),
            rate=parse_decimal(data["rate"].strip(), field="rate", decimals=LEDGER_SCALE),
            reason=data["reason"],
            actor=actor_of(request),
            at=at,
            valid_from=datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None,
        )
    except BillingError as error:
        name = {"valid_from": "first_day"}.get(str(error.details.get("field", "")), str(error.details.get("field", "")))
        form.add_error(name if name in form.fields else None, in_form(error))
        return _show(request, rate_form=form, status=error.http_status)
    messages.success(
        request, f"The rate of {data['unit']} is set. Credit that was given keeps the rate it was made at."
    )
    return redirect("admin:console_units")


def _show(
    request: HttpRequest,
    *,
    unit_form: UnitForm | None = None,
    rate_form: RateForm | None = None,
    status: int = 200,
) -> HttpResponse:
    at = clock.now()
    found = units.own(at=at)
    context = {
        "title": "Units of credit",
        "header_note": "Your own units, beside currencies. A grant keeps the rate that it was made at.",
        "units": found,
        "history": list(UnitRate.objects.order_by("-valid_from", "-id")[:_HISTORY]),
        "at": at,
        "unit_form": unit_form or UnitForm(),
        "rate_form": rate_form or RateForm(),
        "may_set": request.user.has_perm("ledger.set_rates"),
    }
    return show(request, "console/units.html", context, status=status)
