"""What a customer is to be charged: the one place where agreement, usage and earlier bills meet to make line amounts.

It only reads. Drafts, re-rating at finalisation, previews and accruals all come here, so they cannot disagree.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db.models import Count, Max, Q, Sum

from billing_ops.kit.money import grouped
from billing_ops.kit.periods import Period
from invoicing.models import Invoice, InvoiceLine
from invoicing.rules import due, lines
from metering import usage
from metering.models import BackfilledSpan
from plans import catalog
from plans.models import BillingPeriod, Customer, Price, Subscription, SubscriptionItem

_IN_FLIGHT = timedelta(days=1)
"""Longer than any transaction lasts that stores usage: a batch may commit after one with a higher id."""


@dataclass(frozen=True, slots=True)
class Charge:
    """One line to be: which item, for which service period, how much, and what it was rated from."""

    item: SubscriptionItem
    kind: InvoiceLine.Kind
    period: Period
    amounts: lines.LineAmounts
    description: str
    watermark: int | None
    lag_seconds: Decimal
    rated_at: datetime

    @property
    def set_aside(self) -> bool:
        """Whether its usage is too large to be charged."""
        return self.amounts.rule == lines.RULE_SET_ASIDE


def at_edge(
    subscription: Subscription, number: int, *, at: datetime, items: Sequence[SubscriptionItem] | None = None
) -> list[Charge]:
    """What edge ``number`` of a subscription makes due: arrears of the period before, the advance of the one it opens.

    Edge ``n`` is the start of period ``n``. An ended subscription has no period after its last edge. ``items`` are
    those of :func:`items_of`, if the caller has them already.
    """
    periods = {row.number: row for row in subscription.periods.filter(number__in=[number - 1, number])}
    ended, begun = _stored(periods.get(number - 1)), _stored(periods.get(number))
    charges: list[Charge] = []
    for item in items_of(subscription) if items is None else items:
        if item.price.model == Price.Model.FLAT:
            span = fee_span(item, begun)
            charges += [advance(item, span)] if span else []
        elif in_arrears(item):
            span = usage_span(item, ended)
            charges += [usage_charge(item, span, at=at)] if span else []
    return charges


def late(
    subscription: Subscription, *, before: datetime, at: datetime, items: Sequence[SubscriptionItem] | None = None
) -> list[Charge]:
    """Differences that late usage made to periods that were billed and finalised, and ended before ``before``.

    Rated again are, and no others, so that the cost does not grow with history:

    1. The periods of which live usage could still arrive when the item was last drafted: some 36 days.
    2. Of any age, the periods into which a backfill reached that their last bill may not have seen. Live usage cannot
       be that old, and metering keeps a row for each backfill of a customer, which says from when to when it reaches.
       Unseen is a batch above the bill's watermark, or one recorded less than a day before the bill was rated: it had
       perhaps its id already and was not committed. To rate once too often changes nothing.
    """
    found = [item for item in (items_of(subscription) if items is None else items) if in_arrears(item)]
    looks = _looks(found)
    spans = usage.backfilled(subject=subscription.customer.key) if any(looks.values()) else []
    charges: list[Charge] = []
    for item in found:
        for span in _open_to_usage(looks[item.pk], spans, before=before):
            charge = usage_charge(item, span, at=at)
            if charge.amounts.unrounded or charge.set_aside:
                charges.append(charge)
    return charges


def advance(item: SubscriptionItem, period: Period) -> Charge:
    """The flat fee of a period to come."""
    amounts = lines.advance(catalog.terms_of(item.price), Decimal(item.quantity))
    quantity = f" × {item.quantity}" if item.quantity > 1 else ""
    return Charge(
        item=item,
        kind=InvoiceLine.Kind.ADVANCE,
        period=period,
        amounts=amounts,
        description=f"{item.price.name}{quantity}",
        watermark=None,
        lag_seconds=Decimal(0),
        rated_at=period.start,
    )


def usage_charge(
    item: SubscriptionItem, period: Period, *, at: datetime, until: datetime | None = None, revision: int | None = None
) -> Charge:
    """A service period's usage up to ``until`` (default: its end), less what revisions before ``revision`` billed."""
    price, meter = item.price, item.price.meter
    assert meter is not None  # a usage price has a meter: constraint price_meter_iff_usage
    cut = period if until is None or until >= period.end else Period(period.start, until)
    reading = usage.quantity(meter=meter, subject=item.subscription.customer.key, period=cut, at=at)
    amounts = lines.usage(catalog.terms_of(price), reading.quantity, billed(item, period, below=revision))
    note = ", late usage" if amounts.revision > 1 else ""
    return _of_usage(item, period, reading=reading, amounts=amounts, note=note, at=at)


def drawn_charge(item: SubscriptionItem, period: Period, *, accounted: Decimal, at: datetime) -> Charge:
    """What usage that settles by drawdown comes to in a service period: ``unrounded`` is what of it is not drawn yet.

    ``accounted`` was drawn before. It makes no line of an invoice.
    """
    price, meter = item.price, item.price.meter
    assert meter is not None  # a usage price has a meter: constraint price_meter_iff_usage
    reading = usage.quantity(meter=meter, subject=item.subscription.customer.key, period=period, at=at)
    amounts = lines.usage(catalog.terms_of(price), reading.quantity, lines.Billed(exact=accounted))
    return _of_usage(item, period, reading=reading, amounts=amounts, note="", at=at)


def _of_usage(
    item: SubscriptionItem,
    period: Period,
    *,
    reading: usage.Reading,
    amounts: lines.LineAmounts,
    note: str,
    at: datetime,
) -> Charge:
    price = item.price
    unit = price.meter.unit if price.meter else ""
    if amounts.rule == lines.RULE_SET_ASIDE:
        note = ", set aside: too large to be charged"
    return Charge(
        item=item,
        kind=InvoiceLine.Kind.USAGE,
        period=period,
        amounts=amounts,
        description=f"{price.name}: {grouped(reading.quantity)} {unit}{note}".strip(),
        watermark=reading.watermark,
        lag_seconds=Decimal(reading.lag_seconds),
        rated_at=at,
    )


def billed(item: SubscriptionItem, period: Period, *, below: int | None = None) -> lines.Billed:
    """What earlier revisions billed for that service period, drafts included: their lines exist only once."""
    rows = InvoiceLine.objects.filter(item=item, price=item.price, service_start=period.start, service_end=period.end)
    if below is not None:
        rows = rows.filter(revision__lt=below)
    counts = ~Q(invoice__status=Invoice.Status.VOID)  # a void line bills nothing, and its revision is not used again
    sums = rows.aggregate(
        last=Max("revision"),
        exact=Sum("unrounded_amount", filter=counts, default=Decimal(0)),
        rounded=Sum("amount", filter=counts, default=Decimal(0)),
    )
    return lines.Billed(revision=sums["last"] or 0, exact=sums["exact"], rounded=Decimal(sums["rounded"]))


def items_of(subscription: Subscription) -> list[SubscriptionItem]:
    """The subscription's items with all that rating needs, in the order of the plan."""
    return list(
        subscription.items.select_related("price__meter", "price__version", "subscription__customer").prefetch_related(
            "price__tiers"
        )
    )


def subscriptions_of(customer: Customer) -> list[Subscription]:
    """Every subscription of a customer, the ended ones included, in a stable order."""
    return list(Subscription.objects.filter(customer=customer).select_related("customer").order_by("pk"))


def in_arrears(item: SubscriptionItem) -> bool:
    """Whether its usage is billed when a period has ended; a fee is not, nor is what is drawn as it arrives."""
    return item.price.meter_id is not None and item.price.settlement == Price.Settlement.ARREARS


def fee_span(item: SubscriptionItem, begun: Period | None) -> Period | None:
    """The period whose fee the item owes in advance when it begins; None when it owes none."""
    return due.owed_in_advance(begun, starts_at=item.starts_at, ends_at=item.ends_at)


def usage_span(item: SubscriptionItem, ended: Period | None) -> Period | None:
    """The service period of the item's usage in a billing period; None when the item was not in force in it."""
    return due.owed_in_arrears(ended, starts_at=item.starts_at, ends_at=item.ends_at)


def _stored(row: BillingPeriod | None) -> Period | None:
    return None if row is None else Period(row.starts_at, row.ends_at)


def has_not_seen(span: BackfilledSpan, period: Period, *, watermark: int, rated_at: datetime) -> bool:
    """Whether a backfill reached into a period and may not be in what was rated then."""
    reaches = span.first_occurred_at < period.end and span.last_occurred_at >= period.start
    return reaches and (span.batch_id > watermark or span.recorded_at > rated_at - _IN_FLIGHT)


@dataclass(frozen=True, slots=True)
class _Look:
    """One service period of an item that was billed: when it was drafted last, the highest batch and the instant that
    its bills have seen, and whether a draft holds it now."""

    period: Period
    drafted_at: datetime
    watermark: int
    rated_at: datetime
    on_draft: bool

    def has_not_seen(self, span: BackfilledSpan) -> bool:
        """Whether the backfill reached into this period and may not be in its bills."""
        return has_not_seen(span, self.period, watermark=self.watermark, rated_at=self.rated_at)


def _looks(items: Sequence[SubscriptionItem]) -> dict[int, list[_Look]]:
    """Every billed service period of each item, in their order."""
    looks: dict[int, list[_Look]] = {item.pk: [] for item in items}
    rows = (
        InvoiceLine.objects.filter(item__in=looks, kind=InvoiceLine.Kind.USAGE)
        .values("item_id", "service_start", "service_end")
        .annotate(
            drafted_at=Max("invoice__drafted_at"),
            watermark=Max("watermark", default=0),
            rated_at=Max("rated_at"),
            drafts=Count("pk", filter=Q(invoice__status=Invoice.Status.DRAFT)),
        )
        .order_by("service_start", "service_end")
    )
    for row in rows:
        period = Period(row["service_start"], row["service_end"])
        looks[row["item_id"]].append(
            _Look(period, row["drafted_at"], row["watermark"], row["rated_at"], on_draft=bool(row["drafts"]))
        )
    return looks


def _open_to_usage(looks: Sequence[_Look], spans: Sequence[BackfilledSpan], *, before: datetime) -> list[Period]:
    """Periods that ended before ``before``, whose last bill is final (a draft re-rates itself), and which were not
    closed to live usage when the item was last drafted, or have unseen backfills; the others were looked at then.

    Counted from that draft and not from ``at``: what arrives after a month's draft, and only just in time to be
    accepted, is more than the window old when the next draft is made.
    """
    if not looks:
        return []
    since = max(look.drafted_at for look in looks) - due.LATE_USAGE_WINDOW
    return [
        look.period
        for look in looks
        if not look.on_draft
        and look.period.end < before
        and (look.period.end > since or any(look.has_not_seen(span) for span in spans))
    ]
