"""Subscriptions: starting, going from period to period, and ending.

The customer's row is locked first, then the subscription's: the billing run does the same, so they never deadlock.
"""

from datetime import UTC, datetime

from django.db import transaction
from django.db.models import Q

from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.errors import Conflict, IdempotencyMismatch, InvalidInput
from plans import subscriptions
from plans.models import BillingPeriod, Customer, PlanVersion, Price, Subscription, SubscriptionItem
from plans.rules.details import KEY
from plans.rules.lifecycle import allowed
from plans.rules.schedule import Schedule, schedule

_YEARS = range(2000, 2200)


class SubscriptionInvalid(InvalidInput):
    """A key or an instant that a subscription cannot have."""

    code = "subscription.invalid"


class SubscriptionDiffers(IdempotencyMismatch):
    """A subscription of that key exists with other terms; ``details["differs"]`` names the fields."""

    code = "subscription.differs"
    remedy = "Use another key for another subscription."


class VersionNotPublished(Conflict):
    """The plan version is still a draft."""

    code = "version.not_published"
    remedy = "Publish it first."


class CurrencyMismatch(Conflict):
    """The plan version is in another currency than the customer."""

    code = "subscription.currency_mismatch"
    remedy = "Use a plan in the customer's currency, or a customer of the plan's."


class MeterTaken(Conflict):
    """Another subscription of the customer bills the same meter in the same time."""

    code = "subscription.meter_taken"
    remedy = "End the other subscription first, or let this one start when the other ends."


class PartialPeriod(InvalidInput):
    """The start lies between two edges, and what the plan charges for a whole period cannot be prorated yet."""

    code = "subscription.partial_period"
    remedy = "Leave the anchor out, or give one whose period begins at the start."


class NotStarted(Conflict):
    """A subscription was to be ended before its first period began."""

    code = "subscription.not_started"


class NotDue(Conflict):
    """A period was to be opened although none is due, or another worker opened it."""

    code = "subscription.not_due"


def subscribe(
    *,
    customer: Customer,
    version: PlanVersion,
    key: str,
    starts_at: datetime,
    at: datetime,
    actor: Actor,
    anchor: datetime | None = None,
) -> Subscription:
    """Start a subscription to a published version, with an item for each of its prices and its first period.

    Billing periods are counted from ``anchor`` (default: ``starts_at``) in the customer's time zone; both are kept to
    the second. The first edge, where flat fees are owed, is ``starts_at``. The same key with the same terms is the old
    row. Raises :class:`SubscriptionInvalid`, :class:`SubscriptionDiffers`, :class:`VersionNotPublished`,
    :class:`CurrencyMismatch`, :class:`PartialPeriod` or :class:`MeterTaken`.
    """
    starts_at = _instant(starts_at, "starts_at")
    anchor = starts_at if anchor is None else _instant(anchor, "anchor")
    if not KEY.fullmatch(key):
        raise SubscriptionInvalid(
            f"“{key[:40]}” cannot be a subscription's key.",
            remedy="Use letters, digits and . _ : @ -, beginning with a letter or digit, at most 128 characters.",
            field="key",
        )
    with transaction.atomic():
        customer = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        version = PlanVersion.objects.select_related("plan").get(pk=version.pk)
        wanted = {"customer": customer, "version": version, "starts_at": starts_at, "anchor": anchor}
        known = Subscription.objects.filter(key=key).select_related("customer", "version").first()
        if known is not None:
            return _same(known, wanted)
        _check_version(customer, version)
        prices = list(version.prices.select_related("meter"))
        calendar = schedule(anchor=anchor, starts_at=starts_at, zone=customer.time_zone)
        _check_first_period(calendar, prices)
        _check_meters(customer, prices, starts_at)
        subscription = Subscription.objects.create(key=key, due_at=starts_at, created_at=at, **wanted)
        SubscriptionItem.objects.bulk_create(
            SubscriptionItem(
                subscription=subscription, price=price, customer=customer, meter=price.meter, starts_at=starts_at
            )
            for price in prices
        )
        _store_period(subscription, calendar, 0)
        _audit(subscription, at, actor, "subscription.started", f"Subscribed to {version} from {starts_at:%Y-%m-%d}")
    return subscription


def end(*, subscription: Subscription, at: datetime, actor: Actor) -> Subscription:
    """End a subscription at the end of its current period: usage is billed to that instant, no further fee is owed.

    Ended again it is the same row. Raises :class:`NotStarted` before its first period.
    """
    with transaction.atomic():
        locked = _lock(subscription)
        if locked.ends_at is not None:
            return locked
        if at < locked.starts_at:
            raise NotStarted(
                f"“{locked.key}” starts on {locked.starts_at:%Y-%m-%d}; it can be ended from then on.",
                field="subscription",
            )
        calendar = subscriptions.schedule_of(locked)
        current = calendar.period(calendar.number_at(at)).end
        # The billing run may be ahead of ``at``: a fee that was billed in advance buys its whole period.
        locked.ends_at = max(current, locked.due_at) if locked.due_at else current
        locked.save(update_fields=["ends_at"])
        locked.items.filter(ends_at__isnull=True).update(ends_at=locked.ends_at)
        _audit(locked, at, actor, "subscription.ending", f"Ends on {locked.ends_at:%Y-%m-%d}")
    return locked


def open_next_period(*, subscription: Subscription, at: datetime) -> int:
    """Pass the edge at ``due_at`` and return its number k: period k − 1 ended there, and period k begins.

    Period k is stored (period 0 already is) and ``due_at`` moves to its end; at the subscription's end there is no
    period k, and the subscription becomes *ended*. Called inside the transaction that bills the edge, with the
    subscription's row locked. Raises :class:`NotDue` when the edge is not reached at ``at`` or was passed by another.
    """
    edge = subscription.due_at
    if edge is None or edge > at:
        raise NotDue(f"“{subscription.key}” has nothing to bill at {at:%Y-%m-%d %H:%M:%S}.")
    calendar = subscriptions.schedule_of(subscription)
    with transaction.atomic():
        last = subscription.periods.order_by("-number").first()
        assert last is not None  # period 0 is stored with the subscription
        number = 0 if edge == last.starts_at else last.number + 1
        if edge == subscription.ends_at:
            _move(subscription, edge, due_at=None, status=Subscription.Status.ENDED)
        else:
            period = _store_period(subscription, calendar, number) if number else last
            _move(subscription, edge, due_at=period.ends_at, status=Subscription.Status.ACTIVE)
    return number


def _instant(value: datetime, field: str) -> datetime:
    if value.tzinfo is None or value.year not in _YEARS:
        raise SubscriptionInvalid(
            f"{field}: {value.isoformat()} is not an instant with a time zone between 2000 and 2199.", field=field
        )
    return value.astimezone(UTC).replace(microsecond=0)


def _same(known: Subscription, wanted: dict[str, object]) -> Subscription:
    differing = [field for field, value in wanted.items() if getattr(known, field) != value]
    if differing:
        raise SubscriptionDiffers(
            f"The subscription “{known.key}” exists and differs in {', '.join(differing)}.",
            differs=differing,
            field=differing[0],
        )
    return known


def _check_version(customer: Customer, version: PlanVersion) -> None:
    if version.published_at is None:
        raise VersionNotPublished(f"{version} is a draft.", field="version")
    if version.currency != customer.currency:
        raise CurrencyMismatch(
            f"{version} is in {version.currency}, “{customer.key}” pays in {customer.currency}.", field="version"
        )


def _check_first_period(calendar: Schedule, prices: list[Price]) -> None:
    if calendar.begins_at_an_edge:
        return
    for price in prices:
        if price.model == Price.Model.FLAT or price.included_units:
            what = "fee" if price.model == Price.Model.FLAT else "included units"
            raise PartialPeriod(
                f"The first period would be shorter than the others, and the {what} of “{price.name}” would have to be "
                "prorated, which is not supported yet.",
                field="anchor",
            )


def _check_meters(customer: Customer, prices: list[Price], starts_at: datetime) -> None:
    meters = [price.meter_id for price in prices if price.meter_id is not None]
    taken = (
        SubscriptionItem.objects.filter(customer=customer, meter__in=meters)
        .filter(Q(ends_at__isnull=True) | Q(ends_at__gt=starts_at))
        .select_related("subscription", "meter")
        .first()
    )
    if taken is not None and taken.meter is not None:
        raise MeterTaken(
            f"The meter “{taken.meter.key}” is billed by the subscription “{taken.subscription.key}”: the same usage "
            "would be billed twice.",
            field="version",
        )


def _lock(subscription: Subscription) -> Subscription:
    Customer.objects.select_for_update(no_key=True).get(pk=subscription.customer_id)
    rows = Subscription.objects.select_for_update(of=("self",), no_key=True).select_related("customer")
    return rows.get(pk=subscription.pk)


def _store_period(subscription: Subscription, calendar: Schedule, number: int) -> BillingPeriod:
    period = calendar.period(number)
    return BillingPeriod.objects.create(
        subscription=subscription, number=number, starts_at=period.start, ends_at=period.end
    )


def _move(subscription: Subscription, edge: datetime, *, due_at: datetime | None, status: str) -> None:
    """The one writer of ``status`` and ``due_at``, by compare-and-set on the edge that was billed."""
    if status != subscription.status and not allowed(subscription.status, status):
        raise NotDue(f"“{subscription.key}” does not go from {subscription.status} to {status}.")
    moved = Subscription.objects.filter(pk=subscription.pk, due_at=edge).update(due_at=due_at, status=status)
    if not moved:
        raise NotDue(f"The edge of “{subscription.key}” at {edge:%Y-%m-%d} was billed by another worker.")
    subscription.due_at, subscription.status = due_at, status


def _audit(subscription: Subscription, at: datetime, actor: Actor, action: str, summary: str) -> None:
    record(
        at=at,
        actor=actor,
        action=action,
        subject_type="subscription",
        subject_key=subscription.key,
        customer_key=subscription.customer.key,
        summary=summary[:300],
    )
