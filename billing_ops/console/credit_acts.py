"""A customer's credits beyond a single grant: top-ups, automatic top-ups, credit that comes again, transfers."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from moneyed import Money

from billing_ops.console import act_flow
from billing_ops.console.act_flow import Act, ActForm, Shown
from billing_ops.console.credit_form import REASONS
from billing_ops.console.days import DayField
from billing_ops.console.frame import in_form, show
from billing_ops.console.people import actor_of, authority_of, conflicts_of
from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from billing_ops.kit.fields import display
from billing_ops.kit.money import currency as known_currency
from billing_ops.kit.money import grouped, parse_money
from invoicing import auto_topping_up, topping_up
from invoicing.models import AutoTopUp, TopUp
from ledger import balances, holders, issuing, journal, limiting, policies, scheduling, transferring, units
from ledger.api.fields import quantity_of
from ledger.models import CreditGrant, CreditSchedule
from ledger.rules import movements
from ledger.rules.recurrence import Rollover, period_of
from ledger.rules.schedules import ScheduleTerms, check_schedule
from ledger.rules.worth import account_of, is_own
from plans.models import Customer

_ROWS = 20


class _InUnit(ActForm):
    """A form with an amount in a unit: the customer's currency, or one of the company's own."""

    def prepare(self) -> None:
        """The units to choose from."""
        own = [one.unit.pk for one in units.own(at=self.at)]
        choice = self.fields["unit"]
        assert isinstance(choice, forms.ChoiceField)
        choice.choices = [(code, code) for code in (self.customer.currency, *own)]

    def clean(self) -> dict[str, Any]:
        """The amounts, in the decimals of the unit."""
        data: dict[str, Any] = super().clean() or {}
        for name in self.amounts:
            text = str(data.get(name) or "").strip()
            if not text and name in self.optional:
                data[name] = None
                continue
            try:
                zero = name in self.zero
                data[name] = quantity_of(text, data.get("unit") or self.customer.currency, field=name, allow_zero=zero)
            except BillingError as error:
                self.add_error(name, in_form(error))
        return data

    amounts: tuple[str, ...] = ("amount",)
    optional: tuple[str, ...] = ()
    zero: tuple[str, ...] = ()


def _unit_field() -> forms.ChoiceField:
    return forms.ChoiceField(label="Unit", help_text="The customer’s currency, or one of your own units.")


def _note_field() -> forms.CharField:
    return forms.CharField(
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="For colleagues. The customer does not see it.",
    )


class TopUpForm(_InUnit):
    """What is ordered."""

    unit = _unit_field()
    amount = forms.CharField(max_length=40, required=False, help_text="Money without tax, or a quantity of the unit.")
    valid_days = forms.IntegerField(
        label="Valid for days", required=False, min_value=1, max_value=36_500,
        help_text="Counted from the payment. Leave empty for credit that does not expire.",
    )  # fmt: skip
    ticket = forms.CharField(max_length=64, required=False)
    note = _note_field()

    @property
    def order(self) -> topping_up.Order:
        """The order that the form asks for."""
        data = self.cleaned_data
        return topping_up.Order(
            unit=data["unit"], quantity=data["amount"], valid_days=data["valid_days"], ticket=data["ticket"],
            note=data["note"],
        )  # fmt: skip


def _preview_top_up(request: HttpRequest, form: TopUpForm) -> Shown:
    priced = topping_up.price(customer=form.customer, order=form.order, at=form.at)
    sums, code = priced.sums, priced.currency
    facts = {
        "Price": _money(priced.price, code),
        "Tax": _money(sums.tax_total, code),
        "Paid from the customer balance": _money(sums.balance_applied, code),
        "Due on the invoice": _money(sums.amount_due, code),
    }
    return Shown(
        f"{_amount(form.order.quantity, form.order.unit)} of paid credit",
        facts,
        topping_up.preview_lines(priced, form.customer.key),
        f"{priced.tax.note} The credit can be used once the invoice is paid, not before.",
    )


def _order_top_up(request: HttpRequest, form: TopUpForm, key: str) -> tuple[str, str]:
    made = topping_up.order(
        customer_id=form.customer.pk, order=form.order, key=key, at=form.at, actor=actor_of(request)
    )
    url = reverse("admin:console_invoice", args=[made.invoice_id])
    return url, f"Ordered: invoice {made.invoice.number} is {made.invoice.get_status_display().lower()}."


class AutoTopUpForm(_InUnit):
    """A rule for topping up by itself."""

    unit = _unit_field()
    enabled = forms.ChoiceField(label="Switched", choices=[("yes", "On"), ("no", "Off")])
    threshold = forms.CharField(max_length=40, required=False, label="Below", help_text="Of available credit.")
    amount = forms.CharField(max_length=40, required=False, label="Buy", help_text="Money, or a quantity of the unit.")
    monthly_cap = forms.CharField(
        max_length=40, label="At most a month", help_text="Money without tax, in the customer’s currency."
    )
    reason = forms.CharField(max_length=500, help_text="Who asked for it, and where that stands.")
    amounts = ("threshold", "amount")
    zero = ("threshold",)

    def clean_monthly_cap(self) -> Money:
        """Money in the customer's currency."""
        try:
            text = str(self.cleaned_data["monthly_cap"]).strip()
            return parse_money(text, self.customer.currency, field="monthly_cap", allow_zero=True)
        except BillingError as error:
            raise forms.ValidationError(in_form(error)) from None


def _preview_rule(request: HttpRequest, form: AutoTopUpForm) -> Shown:
    data = form.cleaned_data
    order = topping_up.Order(data["unit"], data["amount"])
    priced = topping_up.price(customer=form.customer, order=order, at=form.at)
    found = balances.of(customer_key=form.customer.key, unit=data["unit"])
    available = found.credits_total - found.held
    begins = "at once" if available < data["threshold"] else "when credit falls below the threshold"
    facts = {
        "Switched": "On" if data["enabled"] == "yes" else "Off",
        "Below": _amount(data["threshold"], data["unit"]),
        "Buys": _amount(data["amount"], data["unit"]),
        "Price": f"{_money(priced.price, priced.currency)} and {_money(priced.sums.tax_total, priced.currency)} tax",
        "At most a month": display(data["monthly_cap"]),
        "Available now": _amount(available, data["unit"]),
    }
    note = (
        f"The first order is made {begins}." if data["enabled"] == "yes" else "Nothing is ordered by itself any more."
    )
    return Shown("Automatic top-up", facts, (), note)


def _set_rule(request: HttpRequest, form: AutoTopUpForm, key: str) -> tuple[str, str]:
    data = form.cleaned_data
    auto_topping_up.set_rule(
        customer_id=form.customer.pk, unit=data["unit"], enabled=data["enabled"] == "yes",
        threshold=data["threshold"], quantity=data["amount"], monthly_cap=data["monthly_cap"], reason=data["reason"],
        at=form.at, actor=actor_of(request),
    )  # fmt: skip
    return _credits_url(form.customer), "The rule is set."


class ScheduleForm(_InUnit):
    """Credit that comes again."""

    kind = forms.ChoiceField(
        choices=[("promotional", "Promotional"), ("goodwill", "Goodwill"), ("included", "Included")]
    )
    unit = _unit_field()
    amount = forms.CharField(max_length=40, required=False, label="Amount a period")
    every = forms.ChoiceField(
        choices=[("month", "Month"), ("week", "Week"), ("day", "Day"), ("year", "Year")], label="Every"
    )
    first_day = DayField(label="First day", help_text="In the customer’s time zone. Day 31 is a shorter month’s last.")
    last_day = DayField(label="Last day a period can begin", required=False, help_text="Leave empty for no end.")
    rollover = forms.ChoiceField(
        label="What is left at the end", choices=[("no", "Expires"), ("yes", "Rolls over, within the bounds below")]
    )
    keep_min = forms.CharField(max_length=40, required=False, label="Keep at least", help_text="Filled up if needed.")
    keep_max = forms.CharField(max_length=40, required=False, label="Keep at most", help_text="Empty: no ceiling.")
    reason_code = forms.ChoiceField(label="Reason", choices=REASONS)
    ticket = forms.CharField(max_length=64)
    note = _note_field()
    amounts = ("amount", "keep_min", "keep_max")
    optional = ("keep_min", "keep_max")
    zero = ("keep_min",)

    @property
    def terms(self) -> ScheduleTerms:
        """The terms that the form asks for."""
        data, zone = self.cleaned_data, self.customer.time_zone
        rollover = Rollover(data["keep_min"] or Decimal(0), data["keep_max"]) if data["rollover"] == "yes" else None
        last: date | None = data["last_day"]
        return ScheduleTerms(
            customer_key=self.customer.key, kind=data["kind"], amount=data["amount"], unit=data["unit"],
            every=data["every"], anchor_at=_midnight(data["first_day"], zone), time_zone=zone,
            ends_at=_midnight(last + timedelta(days=1), zone) if last else None, rollover=rollover,
            reason_code=data["reason_code"], currency=self.customer.currency if is_own(data["unit"]) else "",
            ticket=data["ticket"], note=data["note"],
        )  # fmt: skip


def _preview_schedule(request: HttpRequest, form: ScheduleForm) -> Shown:
    terms, policy = form.terms, policies.promo()
    check_schedule(terms)
    periods = [period_of(terms.anchor_at, n, every=terms.every, zone=terms.time_zone) for n in range(3)]
    starts = [one for one in periods if terms.ends_at is None or one.start < terms.ends_at]
    first = terms.of_period(starts_at=periods[0].start, ends_at=periods[0].end)
    worth = units.worth_of(first, at=max(form.at, terms.anchor_at), promo_policy=policy)
    own = is_own(terms.unit)
    code = account_of(terms.kind, own=own, expensed=policy == "expense_on_grant")
    rollover = terms.rollover
    kept = "It expires"
    if rollover is not None:
        most = "without a ceiling" if rollover.most is None else f"at most {_amount(rollover.most, terms.unit)}"
        kept = f"At least {_amount(rollover.least, terms.unit)}, {most}"
    facts = {
        "Given": f"Every {terms.every}, in {terms.time_zone}",
        "First periods begin": ", ".join(f"{one.start:%-d %B %Y %H:%M} UTC" for one in starts),
        "What is left at the end": kept,
        "Ends": f"{terms.ends_at:%-d %B %Y %H:%M} UTC" if terms.ends_at else "Never",
    }
    lines = issuing.lines_for(first, movements.CREDIT_GRANTED, code, worth, "(each period’s grant)")
    return Shown(
        f"{_amount(terms.amount, terms.unit)} of {terms.kind} credit every {terms.every}",
        facts,
        journal.lines_of(lines),
        "These lines are written for each period when it begins.",
    )


def _make_schedule(request: HttpRequest, form: ScheduleForm, key: str) -> tuple[str, str]:
    holders.check(customer_key=form.customer.key, unit=form.terms.unit)
    scheduling.schedule(
        terms=form.terms, key=key, actor=actor_of(request), at=form.at, authority=authority_of(request, form.customer)
    )
    return _credits_url(form.customer), "The schedule is made. Its first credit comes within a minute of its first day."


class TransferForm(_InUnit):
    """Credit that is to go to another customer."""

    to_customer = forms.CharField(max_length=128, label="To customer", help_text="The other customer’s key.")
    unit = _unit_field()
    amount = forms.CharField(max_length=40, required=False)
    reason_code = forms.CharField(max_length=60, label="Reason", help_text="E.g. merger, wrong account.")
    ticket = forms.CharField(max_length=64)
    note = _note_field()

    def clean_to_customer(self) -> str:
        """The key of a customer that is there."""
        key = str(self.cleaned_data["to_customer"]).strip()
        if not Customer.objects.filter(key=key).exists():
            raise forms.ValidationError("There is no customer of that key.")
        return key


def _preview_transfer(request: HttpRequest, form: TransferForm) -> Shown:
    data = form.cleaned_data
    holders.check(customer_key=data["to_customer"], unit=data["unit"])
    chosen = transferring.choose(customer_key=form.customer.key, unit=data["unit"], amount=data["amount"], at=form.at)
    facts = {"From": form.customer.key, "To": data["to_customer"]}
    for grant, part in chosen:
        facts[f"Credit of {grant.created_at:%-d %B %Y}, {grant.kind}"] = _amount(part, data["unit"])
    lines = journal.lines_of(transferring.lines_of(chosen, to_customer=data["to_customer"]))
    note = "Somebody else approves it. Kind, priority, expiry and scope stay what they are; money travels along."
    return Shown(f"Transfer {_amount(data['amount'], data['unit'])}", facts, lines, note)


def _ask_for_transfer(request: HttpRequest, form: TransferForm, key: str) -> tuple[str, str]:
    data = form.cleaned_data
    other = Customer.objects.get(key=data["to_customer"])
    row = transferring.ask(
        from_customer=form.customer.key, to_customer=other.key, unit=data["unit"], amount=data["amount"],
        reason_code=data["reason_code"], ticket=data["ticket"], note=data["note"], key=key, at=form.at,
        actor=actor_of(request), flags=conflicts_of(request, [form.customer.email, other.email]),
    )  # fmt: skip
    return reverse("admin:console_approval", args=[row.pk]), "Asked for. Nothing moves before somebody else approves."


TOP_UP = Act(
    "topup", "Order a top-up", "Order it", "An invoice of its own, final at once and collected like any other.",
    TopUpForm, _preview_top_up, _order_top_up, lambda customer: {"unit": customer.currency},
)  # fmt: skip
AUTO_TOP_UP = Act(
    "autotopup", "Automatic top-up", "Set the rule", "Below a threshold, a top-up is ordered by itself, one at a time.",
    AutoTopUpForm, _preview_rule, _set_rule, lambda customer: {"unit": customer.currency},
)  # fmt: skip
SCHEDULE = Act(
    "schedule", "Schedule credit", "Make the schedule", "The same credit every period: given once, whatever happens.",
    ScheduleForm, _preview_schedule, _make_schedule, lambda customer: {"unit": customer.currency},
)  # fmt: skip
TRANSFER = Act(
    "transfer", "Transfer credit", "Ask for it", "Credit goes to another customer once somebody else has approved it.",
    TransferForm, _preview_transfer, _ask_for_transfer, lambda customer: {"unit": customer.currency},
)  # fmt: skip


def top_up(request: HttpRequest, pk: int) -> HttpResponse:
    """Order a top-up."""
    return act_flow.run(request, pk, TOP_UP)


def auto_top_up(request: HttpRequest, pk: int) -> HttpResponse:
    """Set a rule for topping up by itself."""
    return act_flow.run(request, pk, AUTO_TOP_UP)


def schedule(request: HttpRequest, pk: int) -> HttpResponse:
    """Make a schedule."""
    return act_flow.run(request, pk, SCHEDULE)


def transfer(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a transfer."""
    return act_flow.run(request, pk, TRANSFER)


def credits_page(request: HttpRequest, pk: int) -> HttpResponse:
    """A customer's top-ups, rules and schedules, and what can be done about them."""
    customer = get_object_or_404(Customer, pk=pk)
    rules: dict[str, AutoTopUp] = {}
    versions = list(AutoTopUp.objects.filter(customer=customer).order_by("-id")[:_ROWS])
    for row in versions:
        rules.setdefault(row.unit, row)
    schedules = scheduling.of_customer(customer_key=customer.key)[:_ROWS]
    top_ups = TopUp.objects.filter(customer=customer).select_related("invoice", "grant").order_by("-id")[:_ROWS]
    context = {
        **act_flow.frame(customer, "Top-ups, schedules and transfers"),
        "top_ups": list(top_ups),
        "rules": list(rules.values()),
        "versions": versions,
        "schedules": [(row, scheduling.upcoming(row)) for row in schedules],
        "moved": list(
            CreditGrant.objects.filter(customer_key=customer.key, from_grant__isnull=False, schedule__isnull=True)
            .select_related("from_grant")
            .order_by("-id")[:_ROWS]
        ),
        "as_of": clock.now(),
    }
    context["breadcrumbs"] = context["breadcrumbs"][:-1]
    return show(request, "console/credits.html", context)


def end_schedule(request: HttpRequest, pk: int) -> HttpResponse:
    """Give nothing more from now on."""
    row = get_object_or_404(CreditSchedule, pk=pk)
    customer = get_object_or_404(Customer, key=row.customer_key)
    reason = request.POST.get("reason", "").strip()[:500] or "Ended in the console"
    try:
        scheduling.end(schedule=row, reason=reason, actor=actor_of(request), at=clock.now())
        messages.success(request, "The schedule is ended. What was given stays until it expires.")
    except BillingError as error:
        messages.error(request, str(error))
    return redirect(_credits_url(customer))


def give_up(request: HttpRequest, pk: int) -> HttpResponse:
    """Give up a top-up of which nothing was paid."""
    row = get_object_or_404(TopUp.objects.select_related("customer"), pk=pk)
    try:
        topping_up.give_up(top_up=row, reason_code="given_up", at=clock.now(), actor=actor_of(request))
        messages.success(request, "The top-up is given up: its invoice is void and nothing is owed.")
    except BillingError as error:
        messages.error(request, str(error))
    return redirect(_credits_url(row.customer))


def _credits_url(customer: Customer) -> str:
    return reverse("admin:console_credits", args=[customer.pk])


def _midnight(day: date, zone: str) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(zone)).astimezone(UTC)


def _money(amount: Decimal, code: str) -> str:
    return display(Money(amount, known_currency(code)))


def _amount(amount: Decimal, unit: str) -> str:
    return f"{grouped(amount)} {unit}" if is_own(unit) else limiting.shown(amount, unit)
