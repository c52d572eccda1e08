"""Reading what is earned and not invoiced: how far usage was accrued, and what was used since."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal

from billing_ops.kit.periods import Period
from invoicing import charges
from invoicing.models import Accrual
from invoicing.rules import due
from ledger import balances
from plans.models import BillingPeriod, Customer, Price, Subscription, SubscriptionItem


def unbilled(customer: Customer, *, at: datetime) -> dict[str, Decimal]:
    """What the customer used and was not invoiced for, exact, by currency, as of ``at``.

    The ledger's unbilled balance is as old as the last accrual; what was used since is added to it.
    """
    found: dict[str, Decimal] = defaultdict(Decimal)
    for charge in open_usage(customer, at=at):
        found[charge.item.price.version.currency] += next_step(charge, at=at).amount
    for currency in {customer.currency, *found}:
        found[currency] += balances.of(customer_key=customer.key, unit=currency).unbilled
    return dict(found)


def open_usage(customer: Customer, *, at: datetime) -> Iterator[charges.Charge]:
    """The customer's usage of every stored period in which usage can still arrive, rated as of ``at``."""
    for subscription in charges.subscriptions_of(customer):
        for item, span in _open_spans(subscription, at=at):
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


def _open_spans(subscription: Subscription, *, at: datetime) -> Iterator[tuple[SubscriptionItem, Period]]:
    """Usage items and the stored periods of theirs in which usage can still arrive."""
    stored = BillingPeriod.objects.filter(
        subscription=subscription, starts_at__lt=at, ends_at__gt=at - due.LATE_USAGE_WINDOW
    )
    for item in charges.items_of(subscription):
        if item.price.model == Price.Model.FLAT:
            continue
        for period in stored:
            span = charges.usage_span(item, Period(period.starts_at, period.ends_at))
            if span is not None and span.start < at:
                yield item, span
