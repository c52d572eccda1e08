"""The limits of credit: what each role may give alone, how it came to that, and setting another."""

import hashlib
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from billing_ops.console.days import DayField
from billing_ops.console.frame import in_form, show
from billing_ops.console.people import actor_of, roles_of
from billing_ops.console.roles import ROLES
from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from billing_ops.kit.money import LEDGER_SCALE, BadCurrency, exponent, parse_decimal
from ledger import approved, limiting
from ledger.models import CreditLimit
from ledger.rules.limits import Limit

_HISTORY: Final = 50
_GIVERS: Final = [name for name, permissions in ROLES.items() if "ledger.issue_credit" in permissions]


class LimitForm(forms.Form):
    """Another limit of a role in a unit. Earlier ones stay as history."""

    role = forms.ChoiceField(choices=[(name, name) for name in (*_GIVERS, limiting.API_KEY)])
    unit = forms.CharField(max_length=24, help_text="A currency such as USD, or one of your own units.")
    per_credit = forms.CharField(max_length=40, label="Per credit", required=False)
    per_agent_day = forms.CharField(max_length=40, label="Per agent in 24 hours", required=False)
    per_customer_30_days = forms.CharField(max_length=40, label="Per customer in 30 days", required=False)
    first_day = DayField(label="From day", required=False, help_text="In UTC. Leave empty for at once.")
    reason = forms.CharField(
        max_length=500,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Why: who decided it, and where that stands.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, field in self.fields.items():
            described = f"id_{name}_help id_{name}_error" if field.help_text else f"id_{name}_error"
            field.widget.attrs |= {"aria-describedby": described, "autocomplete": "off"}
            if name in self.errors:
                field.widget.attrs["aria-invalid"] = "true"

    def clean_unit(self) -> str:
        """Currencies are written in capitals."""
        text = str(self.cleaned_data["unit"]).strip()
        return text.upper() if len(text) == 3 else text

    def clean(self) -> dict[str, Any]:
        """The amounts, in the decimals that the unit has."""
        data: dict[str, Any] = super().clean() or {}
        unit = data.get("unit", "")
        try:
            decimals = exponent(unit)
        except BadCurrency:  # a company's own credits
            decimals = LEDGER_SCALE
        for name in limiting.AMOUNTS:
            try:
                data[name] = parse_decimal(str(data.get(name, "")).strip(), field=name, decimals=decimals)
            except BillingError as error:
                self.add_error(name, in_form(error))
        return data

    @property
    def wanted(self) -> Limit:
        """The limit that the form asks for; only after ``is_valid()``."""
        amounts: dict[str, Decimal] = {name: self.cleaned_data[name] for name in limiting.AMOUNTS}
        return Limit(role=self.cleaned_data["role"], unit=self.cleaned_data["unit"], **amounts)


def limits_page(request: HttpRequest) -> HttpResponse:
    """The limits in force, those to come, and their history."""
    return _show(request, LimitForm())


def set_limit(request: HttpRequest) -> HttpResponse:
    """Set a limit. To give a role of one's own more is asked for instead."""
    form, at = LimitForm(request.POST), clock.now()
    if not form.is_valid():
        return _show(request, form, status=422)
    wanted, reason, own = form.wanted, form.cleaned_data["reason"], roles_of(request)
    try:
        if limiting.raises_own(wanted, own_roles=own, at=at):
            row = approved.ask_for_limit(
                wanted=wanted, reason=reason, key=_key(request, wanted, at), actor=actor_of(request), at=at
            )
            messages.info(request, "That gives your own role more: somebody else decides. The request waits here.")
            return redirect("admin:console_approval", row.pk)
        limiting.set_limit(
            role=wanted.role,
            unit=wanted.unit,
            per_credit=wanted.per_credit,
            per_agent_day=wanted.per_agent_day,
            per_customer_30_days=wanted.per_customer_30_days,
            reason=reason,
            actor=actor_of(request),
            at=at,
            own_roles=own,
            valid_from=_starts(form.cleaned_data["first_day"]),
        )
    except BillingError as error:
        name = {"valid_from": "first_day"}.get(error.details.get("field", ""), error.details.get("field", ""))
        form.add_error(name if name in form.fields else None, in_form(error))
        return _show(request, form, status=error.http_status)
    messages.success(request, f"The limits of {wanted.role} in {wanted.unit} are set.")
    return redirect("admin:console_limits")


def _starts(day: date | None) -> datetime | None:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) if day else None


def _key(request: HttpRequest, wanted: Limit, at: datetime) -> str:
    """The same person asking for the same limit on the same day asks once."""
    amounts = "\0".join(str(getattr(wanted, name)) for name in limiting.AMOUNTS)
    said = "\0".join((request.user.get_username(), wanted.role, wanted.unit, amounts, f"{at:%Y-%m-%d}"))
    return f"console:limit:{hashlib.sha256(said.encode()).hexdigest()}"


def _show(request: HttpRequest, form: LimitForm, *, status: int = 200) -> HttpResponse:
    at = clock.now()
    in_force = CreditLimit.objects.filter(valid_from__lte=at).order_by("role", "unit", "-valid_from", "-id")
    context = {
        "title": "Limits of credit",
        "header_note": "What a role gives without a second person; in a unit that is not listed, nothing.",
        "current": list(in_force.distinct("role", "unit")),
        "history": list(CreditLimit.objects.order_by("-valid_from", "-id")[:_HISTORY]),
        "at": at,
        "form": form,
        "own_roles": roles_of(request),
        "may_set": request.user.has_perm("ledger.set_limits"),
    }
    return show(request, "console/limits.html", context, status=status)
