"""What would be invoiced up to a date, by the same functions as the draft, and without writing anything."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.periods import Period
from invoicing import charges, taxing
from invoicing.rules import totals
from ledger import balances, crediting
from plans import subscriptions
from plans.models import Customer, Price, Subscription, SubscriptionItem


class PreviewTooFar(InvalidInput):
    """A preview looks at most a year ahead."""

    code = "invoice.preview_too_far"


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """A line to be, what credits would pay of it, and its tax."""

    charge: charges.Charge
    credits_applied: Decimal
    tax_amount: Decimal


@dataclass(frozen=True, slots=True)
class Preview:
    """One currency's preview: usage as of ``at``, with the largest metering lag behind it."""

    currency: str
    until: datetime
    as_of: datetime
    lag_seconds: Decimal
    lines: tuple[PreviewLine, ...]
    sums: totals.Totals
    tax_note: str


def preview(*, customer: Customer, until: datetime, at: datetime) -> list[Preview]:
    """What the edges up to ``until`` make due, and the usage of the period that ``until`` falls into.

    Lines that are on drafts or invoices already are not in it. Raises :class:`PreviewTooFar`.
    """
    if (until - at).days > 366:
        raise PreviewTooFar("A preview goes at most a year ahead.", field="until")
    found: dict[str, list[charges.Charge]] = defaultdict(list)
    for subscription in charges.subscriptions_of(customer):
        found[subscription.version.currency] += _charges(subscription, until, at)
    return [_add_up(customer, currency, rows, until, at) for currency, rows in sorted(found.items())]


def _charges(subscription: Subscription, until: datetime, at: datetime) -> list[charges.Charge]:
    """In the order of the draft, in which credits are used: what the edges make due, then late usage."""
    rows: list[charges.Charge] = []
    items = charges.items_of(subscription)
    for edge in subscriptions.edges_ahead(subscription, until=until):
        for item in items:
            if item.price.model == Price.Model.FLAT:
                span = charges.fee_span(item, edge.begun)
                rows += [charges.advance(item, span)] if span and edge.at <= until else []
            else:
                span = charges.usage_span(item, edge.ended)
                rows += _usage(item, span, until, at) if span and span.start < until else []
    return rows + charges.late(subscription, before=min(until, at), at=at)


def _usage(item: SubscriptionItem, span: Period, until: datetime, at: datetime) -> list[charges.Charge]:
    return [charges.usage_charge(item, span, at=at, until=until)]


def _add_up(customer: Customer, currency: str, rows: list[charges.Charge], until: datetime, at: datetime) -> Preview:
    amounts = [row.amounts.amount for row in rows]
    needs = [
        crediting.Need(ref=str(index), feature=row.item.price.key, amount=need)
        for index, (row, need) in enumerate(zip(rows, totals.remaining_need(amounts), strict=True))
        if need
    ]
    credits: dict[str, Decimal] = defaultdict(Decimal)
    for use in crediting.quote(customer_key=customer.key, currency=currency, needs=needs, at=at):
        credits[use.ref] += use.amount
    paid = [credits[str(index)] for index in range(len(rows))]
    tax = taxing.resolve(customer, currency, [a - c for a, c in zip(amounts, paid, strict=True)])
    sums = totals.add_up(
        [totals.LineTotal(a, c, t.amount) for a, c, t in zip(amounts, paid, tax.lines, strict=True)],
        customer_balance=balances.of(customer_key=customer.key, unit=currency).customer_balance,
    )
    return Preview(
        currency=currency,
        until=until,
        as_of=at,
        lag_seconds=max((row.lag_seconds for row in rows), default=Decimal(0)),
        lines=tuple(PreviewLine(r, c, t.amount) for r, c, t in zip(rows, paid, tax.lines, strict=True)),
        sums=sums,
        tax_note=tax.note,
    )
