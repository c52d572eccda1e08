"""Reading what is earned and not invoiced: how far usage was accrued, and what was used since."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from billing_ops.kit.periods import Period
from invoicing import charges, drawdowns
from invoicing.models import Accrual
from invoicing.rules import due
from ledger import balances
from plans.models import BillingPeriod, Customer, Subscription, SubscriptionItem


def unbilled(customer: Customer, *, at: datetime) -> dict[str, Decimal]:
    """What the customer used and was not invoiced for, exact, by currency, as of ``at``.

    The ledger's unbilled balance is as old as the last accrual; what was used since is added to it, and what is not
    drawn from credits yet.
    """
    found: dict[str, Decimal] = defaultdict(Decimal)
    for charge in open_usage(customer, at=at):
        found[charge.item.price.version.currency] += next_step(charge, at=at).amount
    for charge in drawdowns.open_usage(customer, at=at):
        found[charge.item.price.version.currency] += charge.amounts.unrounded
    for currency in {customer.currency, *found}:
        found[currency] += balances.of(customer_key=customer.key, unit=currency).unbilled
    return dict(found)


def open_usage(customer: Customer, *, at: datetime) -> Iterator[charges.Charge]:
    """The customer's usage of every stored period in which usage can still arrive, rated as of ``at``."""
    for subscription, periods in _open_periods(customer, at=at).items():
        for item, span in _open_spans(subscription, periods, at=at):
            yield charges.usage_charge(item, span, at=at, until=min(at, span.end))


def next_step(charge: charges.Charge, *, at: datetime) -> Accrual:
    """The next step of the charge's accrual, with what it adds (perhaps nothing); not written yet."""
    last = (
        Accrual.objects.filter(item=charge.item, service_start=charge.period.start, service_end=charge.period.end)
        .order_by("-step")
        .first()
    )
    step, before = (last.step + 1, last.cumulative_amount) if last else (1, Decimal(0))
    return Accrual(
        item=charge.item,
        service_start=charge.period.start,
        service_end=charge.period.end,
        step=step,
        quantity=charge.amounts.quantity,
        cumulative_amount=charge.amounts.cumulative,
        amount=charge.amounts.cumulative - before,
        watermark=charge.watermark,
        accrued_at=at,
    )


def _open_periods(customer: Customer, *, at: datetime) -> dict[Subscription, list[Period]]:
    """The stored periods in which usage can still arrive, found at once: what ended long ago costs nothing."""
    stored = BillingPeriod.objects.filter(
        subscription__customer=customer, starts_at__lt=at, ends_at__gt=at - due.LATE_USAGE_WINDOW
    )
    found: dict[Subscription, list[Period]] = defaultdict(list)
    for row in stored.select_related("subscription__customer").order_by("subscription_id", "number"):
        found[row.subscription].append(Period(row.starts_at, row.ends_at))
    return found


def _open_spans(
    subscription: Subscription, periods: Sequence[Period], *, at: datetime
) -> Iterator[tuple[SubscriptionItem, Period]]:
    """Usage items of a subscription and what of ``periods`` is theirs and has begun."""
    for item in charges.items_of(subscription):
        if not charges.in_arrears(item):
            continue
        for period in periods:
            span = charges.usage_span(item, period)
            if span is not None and span.start < at:
                yield item, span
