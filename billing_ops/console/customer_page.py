"""The customer page: who they are, what they have and owe, what they use and what happened, on one page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from billing_ops.console import charts
from billing_ops.console.frame import crumb, show
from billing_ops.console.timeline import happenings
from billing_ops.kit import clock
from billing_ops.kit.periods import Period
from invoicing import accruals, drawdowns
from invoicing.models import Invoice
from invoicing.rules import lines
from ledger import balances, holds
from metering import usage
from plans import catalog
from plans.models import Customer, Price, Subscription, SubscriptionItem

_INVOICES = 12
_OTHER_UNITS = 6
_GRANTS = 20
_MOST_METERS = 4


@dataclass(frozen=True)
class Act:
    """A button that stays visible; ``refusal`` says why it cannot be pressed."""

    title: str
    url: str
    refusal: str = ""
    key: str = ""  # names the request, so that a second click on the same page is the same request


@dataclass(frozen=True)
class MeterUse:
    """What an item of the subscription used in its present period, and what that costs so far."""

    item: SubscriptionItem
    period: Period
    reading: usage.Reading
    cost: Decimal
    chart: charts.Chart
    drawn: drawdowns.Drawn | None = None
    """What credits paid of it and what is owed, of a price that settles by drawdown and was looked at."""

    @property
    def not_drawn(self) -> Decimal:
        """What arrived and is not drawn from credits yet."""
        return self.cost - self.drawn.drawdown.accounted if self.drawn else self.cost

    @property
    def settles_by_drawdown(self) -> bool:
        """Whether it is drawn from credits as it arrives."""
        return self.item.price.settlement == Price.Settlement.DRAWDOWN

    @property
    def included(self) -> Decimal:
        """Free units of the period."""
        return self.item.price.included_units


@dataclass(frozen=True)
class Standing:
    """The balances, each apart; ``available`` is what credits still cover after unbilled use and holds."""

    stored: balances.CustomerBalances
    unbilled: Decimal
    """Used and on no invoice, as of now: what the books accrued, and what was used since."""

    @property
    def available(self) -> Decimal:
        """Credits less holds and unbilled use, never below zero."""
        return max(self._left, Decimal(0))

    @property
    def shortfall(self) -> Decimal:
        """Unbilled use that credits do not cover: it will be invoiced."""
        return max(-self._left, Decimal(0))

    @property
    def _left(self) -> Decimal:
        return self.stored.credits_total - self.stored.held - self.unbilled


@dataclass(frozen=True)
class OtherUnit:
    """Credit in a company's own unit, or in a currency the customer is not billed in."""

    unit: str
    stored: balances.CustomerBalances

    @property
    def available(self) -> Decimal:
        """What of it is not held."""
        return self.stored.credits_total - self.stored.held


def customer_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Everything of one customer, in a number of queries that does not grow with their history."""
    at = clock.now()
    customer = get_object_or_404(Customer, pk=pk)
    subscriptions = list(
        customer.subscriptions.select_related("version__plan").order_by("-status", "-starts_at", "-id")[:10]
    )
    invoices = list(Invoice.objects.filter(customer=customer).order_by("-id")[:_INVOICES])
    present = [one for one in subscriptions if one.status == Subscription.Status.ACTIVE]
    context = {
        "title": customer.name,
        "header_note": f"{customer.key} · {customer.email}" if customer.email else customer.key,
        "breadcrumbs": [crumb("Customers", reverse("admin:plans_customer_changelist"))],
        "customer": customer,
        "subscriptions": subscriptions,
        "present": present,
        "standing": Standing(
            balances.of(customer_key=customer.key, unit=customer.currency),
            accruals.unbilled(customer, at=at)[customer.currency],
        ),
        "others": _others(customer),
        "holds": holds.open_of(customer_key=customer.key),
        "uses": _uses(customer, present, at),
        "invoices": invoices,
        "more_invoices": len(invoices) == _INVOICES,
        "grants": balances.grants(customer_key=customer.key, at=at, limit=_GRANTS),
        "happenings": happenings(customer.key),
        "acts": _acts(request, customer, invoices),
        "as_of": at,
    }
    return show(request, "console/customer.html", context)


def _others(customer: Customer) -> list[OtherUnit]:
    """What they hold in units other than the one they are billed in."""
    units = [unit for unit in balances.units_of(customer_key=customer.key) if unit != customer.currency]
    return [OtherUnit(unit, balances.of(customer_key=customer.key, unit=unit)) for unit in units[:_OTHER_UNITS]]


def _acts(request: HttpRequest, customer: Customer, invoices: Sequence[Invoice]) -> list[Act]:
    may_issue = request.user.has_perm("ledger.issue_credit")
    issue = Act(
        "Issue a credit",
        reverse("admin:console_credit", args=[customer.pk]),
        "" if may_issue else "Your role does not include issuing credits.",
    )
    unpaid = [one for one in invoices if one.status == Invoice.Status.OPEN]
    more = Act("Top-ups, schedules, transfers", reverse("admin:console_credits", args=[customer.pk]))
    return [issue, more, _collecting(request, customer, unpaid)]


def _collecting(request: HttpRequest, customer: Customer, unpaid: Sequence[Invoice]) -> Act:
    title = "Open the oldest unpaid invoice"
    if not request.user.has_perm("invoicing.collect_invoice"):
        return Act(title, "", "Finance collects invoices.")
    if not unpaid:
        return Act(title, "", "No invoice is open.")
    if not customer.default_payment_method:
        return Act(title, "", "The customer has no payment method.")
    return Act(title, reverse("admin:console_invoice", args=[unpaid[-1].pk]))


def _uses(customer: Customer, present: Sequence[Subscription], at: datetime) -> list[MeterUse]:
    items = (
        SubscriptionItem.objects.filter(subscription__in=present)
        .exclude(price__model=Price.Model.FLAT)
        .select_related("price__meter", "price__version")
        .prefetch_related("price__tiers", "subscription__periods")
        .order_by("subscription_id", "price__position", "id")
    )
    found = (_use(customer, item, at) for item in items[:_MOST_METERS])
    return _with_draws([one for one in found if one])


def _with_draws(uses: list[MeterUse]) -> list[MeterUse]:
    rows = drawdowns.present([(one.item.pk, one.period.start) for one in uses if one.settles_by_drawdown])
    return [replace(one, drawn=rows.get((one.item.pk, one.period.start))) for one in uses]


def _use(customer: Customer, item: SubscriptionItem, at: datetime) -> MeterUse | None:
    stored = next((row for row in item.subscription.periods.all() if row.starts_at <= at < row.ends_at), None)
    meter = item.price.meter
    if stored is None or meter is None:
        return None
    start = max(stored.starts_at, item.starts_at)
    end = min(stored.ends_at, item.ends_at) if item.ends_at else stored.ends_at
    if start >= end:
        return None
    period = Period(start, end)
    reading = usage.quantity(meter=meter, subject=customer.key, period=period, at=at)
    hours = usage.hourly(meter=meter, subject=customer.key, period=period)
    until = min(end, at + timedelta(days=1))
    chart = charts.by_day(item.price.name, hours, start=start, end=max(until, start), unit=meter.unit)
    cost = lines.rate_usage(catalog.terms_of(item.price), reading.quantity).amount
    return MeterUse(item=item, period=period, reading=reading, cost=cost, chart=chart)
