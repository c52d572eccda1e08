"""What would be invoiced up to a date, by the same functions as the draft, and without writing anything."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.periods import Period
from invoicing import charges, drawdowns, overages, taxing
from invoicing.models import Invoice, InvoiceLine
from invoicing.rules import totals
from ledger import balances, crediting
from plans import subscriptions
from plans.models import Customer, Price, Subscription, SubscriptionItem

_TICK = timedelta(microseconds=1)


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
    """One currency's preview: usage as of ``at``, with the largest metering lag behind it.

    ``overage`` is the use beyond credits that the bill would take up, ``overage_line`` what credits and tax make of it.
    """

    currency: str
    until: datetime
    as_of: datetime
    lag_seconds: Decimal
    lines: tuple[PreviewLine, ...]
    sums: totals.Totals
    tax_note: str
    overage: overages.Overage | None = None
    overage_line: totals.LineTotal | None = None


def preview(*, customer: Customer, until: datetime, at: datetime) -> list[Preview]:
    """What the edges up to ``until`` make due, and the usage of the period that ``until`` falls into.

    Lines that are on drafts or invoices already are not in it. Raises :class:`PreviewTooFar`.
    """
    if (until - at).days > 366:
        raise PreviewTooFar("A preview goes at most a year ahead.", field="until")
    found: dict[str, list[charges.Charge]] = defaultdict(list)
    for subscription in charges.subscriptions_of(customer):
        found[subscription.version.currency] += _charges(subscription, until, at)
    coming = [charge for charge in drawdowns.open_usage(customer, at=at) if charge.amounts.unrounded]
    if coming or _beyond_credits(customer, customer.currency):
        found[customer.currency] += []
    return [
        _add_up(
            customer,
            currency,
            rows,
            [one for one in coming if one.item.price.version.currency == currency],
            until=until,
            at=at,
        )
        for currency, rows in sorted(found.items())
    ]


def _charges(subscription: Subscription, until: datetime, at: datetime) -> list[charges.Charge]:
    """In the order of the draft, in which credits are used: what the edges make due, then late usage."""
    rows: list[charges.Charge] = []
    items = charges.items_of(subscription)
    for edge in subscriptions.edges_ahead(subscription, until=until):
        for item in items:
            if item.price.model == Price.Model.FLAT:
                span = charges.fee_span(item, edge.begun)
                rows += [charges.advance(item, span)] if span and edge.at <= until else []
            elif charges.in_arrears(item):
                span = charges.usage_span(item, edge.ended)
                rows += _usage(item, span, until, at) if span and span.start < until else []
    return rows + charges.late(subscription, before=min(until, at), at=at)


def _usage(item: SubscriptionItem, span: Period, until: datetime, at: datetime) -> list[charges.Charge]:
    return [charges.usage_charge(item, span, at=at, until=until)]


def _beyond_credits(customer: Customer, currency: str, coming: Sequence[overages.Part] = ()) -> overages.Overage | None:
    """Use beyond credits, unless a draft has it already. ``coming``: what usage that is not drawn yet adds to it."""
    drafts = InvoiceLine.objects.filter(invoice__customer=customer, invoice__status=Invoice.Status.DRAFT)
    if drafts.filter(kind=InvoiceLine.Kind.OVERAGE, currency=currency).exists():
        return None
    return overages.to_bill(customer_key=customer.key, currency=currency, coming=coming)


def _add_up(
    customer: Customer,
    currency: str,
    rows: list[charges.Charge],
    coming: Sequence[charges.Charge],
    *,
    until: datetime,
    at: datetime,
) -> Preview:
    draws = [
        crediting.Need(f"draw:{index}", one.item.price.key, one.amounts.unrounded, min(at, one.period.end - _TICK))
        for index, one in enumerate(coming)
        if one.amounts.unrounded > 0
    ]
    drawn: dict[str, Decimal] = defaultdict(Decimal)
    for use in crediting.quote(customer_key=customer.key, currency=currency, needs=draws, at=at):
        drawn[use.ref] += use.amount
    beyond = _beyond_credits(customer, currency, _to_be_owed(coming, drawn, at))
    amounts = [row.amounts.amount for row in rows] + ([beyond.amount] if beyond else [])
    features = [row.item.price.key for row in rows] + ([""] if beyond else [])
    needs = [
        crediting.Need(ref=str(index), feature=feature, amount=need)
        for index, (feature, need) in enumerate(zip(features, totals.remaining_need(amounts), strict=True))
        if need
    ]
    credits: dict[str, Decimal] = defaultdict(Decimal)
    for use in crediting.quote(customer_key=customer.key, currency=currency, needs=[*draws, *needs], at=at):
        credits[use.ref] += use.amount
    paid = [credits[str(index)] for index in range(len(amounts))]
    tax = taxing.resolve(customer, currency, [a - c for a, c in zip(amounts, paid, strict=True)])
    line_totals = [totals.LineTotal(a, c, t.amount) for a, c, t in zip(amounts, paid, tax.lines, strict=True)]
    sums = totals.add_up(
        line_totals,
        customer_balance=balances.of(customer_key=customer.key, unit=currency).customer_balance,
    )
    return Preview(
        currency=currency,
        until=until,
        as_of=at,
        lag_seconds=max((row.lag_seconds for row in rows), default=Decimal(0)),
        lines=tuple(PreviewLine(row, one.credits, one.tax) for row, one in zip(rows, line_totals, strict=False)),
        sums=sums,
        tax_note=tax.note,
        overage=beyond,
        overage_line=line_totals[-1] if beyond else None,
    )


def _to_be_owed(coming: Sequence[charges.Charge], drawn: Mapping[str, Decimal], at: datetime) -> list[overages.Part]:
    """What usage that is not drawn yet adds to what is owed: what credits do not cover.

    A correction takes back what its period owes, then credit.
    """
    drawn_before = drawdowns.present([(one.item.pk, one.period.start) for one in coming if one.amounts.unrounded < 0])
    owed = {period: one.owed for period, one in drawn_before.items()}
    parts = []
    for index, one in enumerate(coming):
        pending = one.amounts.unrounded
        if pending > 0:
            amount = pending - drawn[f"draw:{index}"]
        else:
            amount = -min(-pending, owed.get((one.item.pk, one.period.start), Decimal(0)))
        if amount:
            last = min(at, one.period.end - _TICK)
            note = f"{one.description} by now, not drawn yet"
            parts.append(overages.Part("credit.drawn", 1, amount, one.period.start, last, note=note))
    return parts
