"""Reading usage that settles by drawdown: what was drawn and is owed of each service period, what is not drawn yet."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

from django.db import connection
from django.db.models import Exists, OuterRef, QuerySet, Sum

from billing_ops.kit.periods import Period
from invoicing import charges
from invoicing.models import Drawdown, Invoice, InvoiceLine, UsageDraw
from invoicing.rules import due as due_rules
from invoicing.rules.drawdown import exact
from ledger.models import CreditGrant
from metering import usage
from plans import catalog
from plans.models import BillingPeriod, Customer, Price, Subscription, SubscriptionItem

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Violation:
    """A period of which rated is not drawn + owed, or a draw that no period has, and how."""

    subject: str
    detail: str


@dataclass(frozen=True, slots=True)
class Drawn:
    """What of a service period credits paid and what is owed; both are ``rated`` together."""

    drawdown: Drawdown
    drawn: Decimal
    owed: Decimal


def due(*, at: datetime, limit: int, resting: Sequence[int] = (), item_id: int | None = None) -> list[tuple[int, int]]:
    """Items that may have usage which is not drawn, those nobody looked at for longest first; and how many events of
    their customer and type are counted."""
    window = due_rules.LATE_USAGE_WINDOW
    asked = {"at": at, "limit": limit, "resting": list(resting), "item": item_id, "window": window}
    with connection.cursor() as cursor:
        cursor.execute(_statement("drawdowns_due"), asked)  # type: ignore[arg-type]  # the stubs do not know the adapters
        return [(row[0], row[1]) for row in cursor.fetchall()]


def items() -> QuerySet[SubscriptionItem]:
    """Items that settle by drawdown, with all that rating needs."""
    return (
        SubscriptionItem.objects.filter(price__settlement=Price.Settlement.DRAWDOWN)
        .select_related("price__meter", "price__version", "subscription__customer")
        .prefetch_related("price__tiers")
        .order_by("pk")
    )


def among(subscriptions: Sequence[Subscription]) -> bool:
    """Whether one of these subscriptions settles something by drawdown."""
    return items().filter(subscription__in=subscriptions).exists()


def spans(item: SubscriptionItem, *, at: datetime) -> list[Period]:
    """The service periods of an item that have begun and whose rating may have changed.

    Those in which usage can still arrive, those that nobody looked at, and of any age those that a backfill reached
    which their last rating may not have seen.
    """
    stored = BillingPeriod.objects.filter(
        subscription=item.subscription_id, starts_at__lt=at, ends_at__gt=item.starts_at
    )
    if item.ends_at is not None:
        stored = stored.filter(starts_at__lt=item.ends_at)
    looked_at = Drawdown.objects.filter(
        item=item, service_start__gte=OuterRef("starts_at"), service_start__lt=OuterRef("ends_at")
    )
    since = at - due_rules.LATE_USAGE_WINDOW
    open_or_new = stored.filter(ends_at__gt=since) | stored.filter(~Exists(looked_at))
    found = [charges.usage_span(item, Period(row.starts_at, row.ends_at)) for row in open_or_new.order_by("number")]
    return [*_backfilled(item, since), *(one for one in found if one is not None and one.start < at)]


def _backfilled(item: SubscriptionItem, since: datetime) -> list[Period]:
    reached = usage.backfilled(subject=item.subscription.customer.key)
    if not reached:
        return []
    return [
        Period(row.service_start, row.service_end)
        for row in Drawdown.objects.filter(item=item, service_end__lte=since).order_by("service_start")
        if any(
            charges.has_not_seen(
                one, Period(row.service_start, row.service_end), watermark=row.watermark, rated_at=row.rated_at
            )
            for one in reached
        )
    ]


def open_usage(customer: Customer, *, at: datetime) -> Iterator[charges.Charge]:
    """The customer's periods that settle by drawdown, rated as of ``at``; ``unrounded`` is what is not drawn yet."""
    for item in items().filter(customer=customer):
        for span in spans(item, at=at):
            yield charges.drawn_charge(item, span, accounted=_accounted(item, span), at=at)


def _accounted(item: SubscriptionItem, span: Period) -> Decimal:
    rows = Drawdown.objects.filter(item=item, service_start=span.start).values_list("accounted", flat=True)
    return rows.first() or _ZERO


def turns(*, customer_key: str, unit: str, period: Period) -> list[datetime]:
    """The instants within a period at which credit of a customer begins or ends: between two of them every use sees the
    same credit."""
    grants = CreditGrant.objects.filter(customer_key=customer_key, unit=unit)
    terms = grants.filter(effective_at__lt=period.end).exclude(expires_at__lte=period.start)
    found = {instant for pair in terms.values_list("effective_at", "expires_at") for instant in pair}
    return sorted(instant for instant in found if instant is not None and period.start < instant < period.end)


def drawn_of(rows: Sequence[Drawdown]) -> list[Drawn]:
    """What credits paid of service periods and what is owed, in the same order."""
    sums = {
        row["drawdown"]: row
        for row in UsageDraw.objects.filter(drawdown__in=rows)
        .values("drawdown")
        .annotate(drawn=Sum("drawn"), owed=Sum("overage"))
    }
    nothing = {"drawn": _ZERO, "owed": _ZERO}
    return [Drawn(row, sums.get(row.pk, nothing)["drawn"], sums.get(row.pk, nothing)["owed"]) for row in rows]


def present(periods: Sequence[tuple[int, datetime]]) -> dict[tuple[int, datetime], Drawn]:
    """What credits paid of service periods, named by an item's id and the start, and what is owed, billed or not."""
    if not periods:
        return {}
    rows = Drawdown.objects.filter(
        item__in=[item for item, _ in periods], service_start__in=[start for _, start in periods]
    )
    return {(one.drawdown.item_id, one.drawdown.service_start): one for one in drawn_of(list(rows))}


def of_draws(draws: Iterable[int]) -> dict[int, Drawdown]:
    """The service period whose usage each draw paid for; other draws are not in it."""
    rows = UsageDraw.objects.filter(draw__in=set(draws)).select_related("drawdown__item__price")
    return {one.draw_id: one.drawdown for one in rows if one.draw_id is not None}


def unbilled(*, customer_key: str, feature: str, unit: str, at: datetime) -> Decimal:
    """What a customer used of a feature (empty: of all) that credit in that unit may pay and did not yet.

    Usage that arrived and is not drawn, and usage in arrears that no final invoice has: credit is applied to it there.
    The ledger asks this through ``settings.CREDIT_UNBILLED_USAGE``. Never below zero.
    """
    customer = Customer.objects.filter(key=customer_key, currency=unit).first()
    if customer is None:
        return _ZERO
    found = _ZERO
    for charge in open_usage(customer, at=at):
        if feature in ("", charge.item.price.key):
            found += charge.amounts.unrounded
    recent = at - due_rules.LATE_USAGE_WINDOW
    for period in BillingPeriod.objects.filter(
        subscription__customer=customer, starts_at__lt=at, ends_at__gt=recent
    ).select_related("subscription__customer"):
        for item in charges.items_of(period.subscription):
            if charges.in_arrears(item) and feature in ("", item.price.key):
                found += _not_final(item, Period(period.starts_at, period.ends_at), at)
    return max(found, _ZERO)


def _not_final(item: SubscriptionItem, period: Period, at: datetime) -> Decimal:
    span = charges.usage_span(item, period)
    if span is None or span.start >= at:
        return _ZERO
    final = InvoiceLine.objects.filter(item=item, service_start=span.start, service_end=span.end).exclude(
        invoice__status__in=[Invoice.Status.DRAFT, Invoice.Status.VOID]
    )
    billed = final.aggregate(exact=Sum("unrounded_amount", default=_ZERO))["exact"]
    cumulative = charges.usage_charge(item, span, at=at, until=min(at, span.end)).amounts.cumulative
    return Decimal(cumulative - billed)


def violations(*, at: datetime, limit: int = 100) -> list[Violation]:
    """Where rated is not drawn + owed, by item and period, up to ``limit``; an empty list is a proof.

    It reads every draw for usage, and rates every period of the last weeks again: run it where nobody waits.
    """
    with connection.cursor() as cursor:
        cursor.execute(_statement("drawdown_proofs"), {"at": at, "limit": limit})
        found = [Violation(*row) for row in cursor.fetchall()]
    rows = Drawdown.objects.filter(rated_at__gt=at - due_rules.LATE_USAGE_WINDOW).select_related("item__price__version")
    for row in rows.prefetch_related("item__price__tiers").iterator(chunk_size=500):
        rated = exact(catalog.terms_of(row.item.price), row.quantity)
        if rated != row.rated:
            found.append(Violation(f"drawdown {row.pk}", f"rated {row.rated}, its quantity costs {rated}"))
    return found[:limit]


@cache
def _statement(name: str) -> str:
    return (Path(__file__).parent / "sql" / f"{name}.sql").read_text()
