"""Reading subscriptions: which there are, and where their periods lie."""

from collections.abc import Iterator
from datetime import datetime

from django.db.models import QuerySet

from billing_ops.kit.errors import NotFound
from billing_ops.kit.periods import Period
from plans.models import BillingPeriod, Subscription
from plans.rules.schedule import Edge, Schedule, schedule


class SubscriptionNotFound(NotFound):
    """No subscription has that key."""

    code = "subscription.not_found"


def get(key: str) -> Subscription:
    """The subscription of that key with its customer, version, items and periods.

    Raises :class:`SubscriptionNotFound`.
    """
    found = _with_all(Subscription.objects.filter(key=key)).first()
    if found is None:
        raise SubscriptionNotFound(f"There is no subscription “{key[:128]}”.", field="subscription")
    return found


def listing(*, customer_key: str = "") -> QuerySet[Subscription]:
    """Subscriptions, of one customer if given, oldest first, with customer, version, items and periods."""
    found = Subscription.objects.order_by("id")
    return _with_all(found.filter(customer__key=customer_key) if customer_key else found)


def current_period(subscription: Subscription, *, at: datetime) -> BillingPeriod | None:
    """The stored period that holds ``at``; None before the start, after the end, or when the billing run is behind."""
    return subscription.periods.filter(starts_at__lte=at, ends_at__gt=at).first()


def edges_ahead(subscription: Subscription, *, until: datetime) -> Iterator[Edge]:
    """The edges not billed yet: those at or before ``until``, then the one after it, where the period it falls in ends.

    Periods that are stored are read, those to come are computed. Nothing is written.
    """
    if subscription.due_at is None:
        return
    calendar = schedule_of(subscription)
    last = subscription.periods.order_by("-number").first()
    assert last is not None  # period 0 is stored with the subscription
    stored = Period(last.starts_at, last.ends_at)
    if subscription.due_at == stored.start:
        number, ended, begun = last.number, None, stored
    else:
        number, ended, begun = last.number + 1, stored, calendar.period(last.number + 1)
    while True:
        at = begun.start
        if at == subscription.ends_at:
            yield Edge(number, at, ended, None)
            return
        yield Edge(number, at, ended, begun)
        if at > until:
            return
        number, ended, begun = number + 1, begun, calendar.period(number + 1)


def schedule_of(subscription: Subscription) -> Schedule:
    """The subscription's calendar, in its customer's time zone."""
    return schedule(anchor=subscription.anchor, starts_at=subscription.starts_at, zone=subscription.customer.time_zone)


def _with_all(rows: QuerySet[Subscription]) -> QuerySet[Subscription]:
    return rows.select_related("customer", "version__plan").prefetch_related("items__price__meter", "periods")
