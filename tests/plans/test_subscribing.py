"""Subscriptions: what they agree to, their periods, and how they end."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from billing_ops.models import AuditEntry
from plans import catalog, subscribing, subscriptions
from plans.models import BillingPeriod, Subscription, SubscriptionItem
from plans.rules.specs import VersionSpec
from tests.plans import stories
from tests.plans.stories import ACTOR, AT, CONTEXT, FEE, OUTPUT, utc

pytestmark = pytest.mark.django_db

USAGE_ONLY = VersionSpec("USD", (OUTPUT,))


def _spans(subscription: Subscription) -> list[str]:
    return [
        f"{period.number}: {period.starts_at:%Y-%m-%d %H:%M} – {period.ends_at:%Y-%m-%d %H:%M}"
        for period in subscription.periods.order_by("number")
    ]


def _bill(subscription: Subscription, edges: int) -> list[int]:
    """Pass edges as the billing run does, each when it is reached."""
    numbers = []
    for _ in range(edges):
        assert subscription.due_at is not None
        numbers.append(subscribing.open_next_period(subscription=subscription, at=subscription.due_at))
    return numbers


def test_an_item_for_each_price_and_the_first_period() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    assert (made.status, made.starts_at, made.anchor, made.due_at, made.ends_at) == ("active", AT, AT, AT, None)
    items = SubscriptionItem.objects.filter(subscription=made).select_related("price", "meter")
    assert [(i.price.key, i.meter and i.meter.key, i.starts_at, i.ends_at) for i in items] == [
        ("fee", None, AT, None),
        ("context", "context", AT, None),
        ("output", "output", AT, None),
    ]
    assert _spans(made) == ["0: 2025-01-15 09:30 – 2025-02-15 09:30"]
    assert AuditEntry.objects.get(action="subscription.started").customer_key == "cus-1"


def test_the_same_again_is_the_old_row_and_other_terms_are_named() -> None:
    who, version = stories.customer(), stories.published()
    made = stories.subscribed(who, version)
    assert stories.subscribed(who, version).pk == made.pk
    assert Subscription.objects.count() == 1
    with pytest.raises(subscribing.SubscriptionDiffers) as refused:
        stories.subscribed(stories.customer("cus-2"), version, starts_at=AT + timedelta(days=1), anchor=AT)
    assert refused.value.details["differs"] == ["customer", "starts_at"]


def test_instants_are_kept_to_the_second() -> None:
    made = stories.subscribed(stories.customer(), stories.published(), starts_at=AT.replace(microsecond=999_999))
    assert (made.starts_at, made.anchor) == (AT, AT)


@pytest.mark.parametrize("starts_at", [datetime(2025, 1, 1), utc("1999-12-31"), utc("2200-01-01")])  # noqa: DTZ001
def test_an_instant_without_a_zone_or_far_away_is_refused(starts_at: datetime) -> None:
    with pytest.raises(subscribing.SubscriptionInvalid) as refused:
        stories.subscribed(stories.customer(), stories.published(), starts_at=starts_at)
    assert refused.value.details["field"] == "starts_at"


def test_a_key_that_cannot_stand_in_a_url_is_refused() -> None:
    with pytest.raises(subscribing.SubscriptionInvalid) as refused:
        stories.subscribed(stories.customer(), stories.published(), key="a/b")
    assert refused.value.details["field"] == "key"


def test_a_draft_cannot_be_subscribed_to() -> None:
    with pytest.raises(subscribing.VersionNotPublished):
        stories.subscribed(stories.customer(), stories.drafted())


def test_the_plan_must_be_in_the_customers_currency() -> None:
    with pytest.raises(subscribing.CurrencyMismatch, match=r"USD.*EUR"):
        stories.subscribed(stories.customer(currency="EUR"), stories.published())
    assert not Subscription.objects.exists()


def test_a_meter_is_billed_by_one_subscription_at_a_time() -> None:
    who = stories.customer()
    first = stories.subscribed(who, stories.published())
    other = stories.published("usage", USAGE_ONLY)
    with pytest.raises(subscribing.MeterTaken, match=r"output.*sub-1"):
        stories.subscribed(who, other, key="sub-2")
    stories.subscribed(stories.customer("cus-2"), other, key="sub-2")
    stories.subscribed(who, stories.published("fee", VersionSpec("USD", (FEE,))), key="sub-3")
    ended = subscribing.end(subscription=first, at=AT, actor=ACTOR)
    assert ended.ends_at is not None
    with pytest.raises(subscribing.MeterTaken):
        stories.subscribed(who, other, key="sub-4", starts_at=ended.ends_at - timedelta(seconds=1))
    assert stories.subscribed(who, other, key="sub-4", starts_at=ended.ends_at).status == "active"


# Periods


def test_edges_open_one_period_after_the_other() -> None:
    made = stories.subscribed(stories.customer(), stories.published(), starts_at=utc("2025-01-31"))
    assert _bill(made, 4) == [0, 1, 2, 3]
    assert _spans(made) == [
        "0: 2025-01-31 00:00 – 2025-02-28 00:00",
        "1: 2025-02-28 00:00 – 2025-03-31 00:00",
        "2: 2025-03-31 00:00 – 2025-04-30 00:00",
        "3: 2025-04-30 00:00 – 2025-05-31 00:00",
    ]
    assert made.due_at == utc("2025-05-31")
    made.refresh_from_db()
    assert made.due_at == utc("2025-05-31")


def test_billing_months_begin_at_the_customers_midnight() -> None:
    who = stories.customer(time_zone="Europe/Berlin")
    made = stories.subscribed(who, stories.published(), starts_at=utc("2025-02-28T23:00"))
    _bill(made, 2)
    assert _spans(made) == [
        "0: 2025-02-28 23:00 – 2025-03-31 22:00",
        "1: 2025-03-31 22:00 – 2025-04-30 22:00",
    ]


def test_an_edge_is_not_passed_before_its_time_and_only_once() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    with pytest.raises(subscribing.NotDue):
        subscribing.open_next_period(subscription=made, at=AT - timedelta(seconds=1))
    stale = Subscription.objects.select_related("customer").get()
    _bill(made, 1)
    with pytest.raises(subscribing.NotDue, match="another worker"):
        subscribing.open_next_period(subscription=stale, at=AT)
    assert BillingPeriod.objects.count() == 1


def test_an_anchor_whose_edge_is_the_start_brings_day_31_back() -> None:
    made = stories.subscribed(
        stories.customer(), stories.published(), starts_at=utc("2025-02-28"), anchor=utc("2024-12-31")
    )
    _bill(made, 2)
    assert _spans(made) == ["0: 2025-02-28 00:00 – 2025-03-31 00:00", "1: 2025-03-31 00:00 – 2025-04-30 00:00"]


@pytest.mark.parametrize("prices", [(FEE,), (CONTEXT,)])
def test_a_part_of_a_period_is_refused_when_it_would_need_proration(prices: tuple[object, ...]) -> None:
    version = stories.published("p", VersionSpec("USD", prices))  # type: ignore[arg-type]
    with pytest.raises(subscribing.PartialPeriod) as refused:
        stories.subscribed(stories.customer(), version, starts_at=utc("2025-01-15"), anchor=utc("2025-02-01"))
    assert refused.value.details["field"] == "anchor"


def test_a_part_of_a_period_of_usage_alone_needs_none() -> None:
    version = stories.published("usage", USAGE_ONLY)
    made = stories.subscribed(stories.customer(), version, starts_at=utc("2025-01-15"), anchor=utc("2025-02-01"))
    _bill(made, 2)
    assert _spans(made) == ["0: 2025-01-15 00:00 – 2025-02-01 00:00", "1: 2025-02-01 00:00 – 2025-03-01 00:00"]


# The end


def test_it_ends_at_the_end_of_the_current_period_and_is_billed_to_there() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    _bill(made, 2)
    ending = subscribing.end(subscription=made, at=utc("2025-03-01"), actor=ACTOR)
    assert (ending.status, ending.ends_at, ending.due_at) == ("active", utc("2025-03-15T09:30"), ending.ends_at)
    assert {item.ends_at for item in ending.items.all()} == {ending.ends_at}
    assert _bill(ending, 1) == [2]
    ending.refresh_from_db()
    assert (ending.status, ending.due_at) == ("ended", None)
    assert len(_spans(ending)) == 2  # no period begins at the end
    with pytest.raises(subscribing.NotDue):
        subscribing.open_next_period(subscription=ending, at=utc("2026-01-01"))


def test_when_the_billing_run_is_behind_it_still_ends_with_the_current_period() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    ending = subscribing.end(subscription=made, at=utc("2025-03-01"), actor=ACTOR)
    assert ending.ends_at == utc("2025-03-15T09:30")
    assert _bill(ending, 3) == [0, 1, 2]
    assert ending.status == "ended"
    assert len(_spans(ending)) == 2


def test_when_the_billing_run_is_ahead_the_fee_paid_in_advance_buys_its_period() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    _bill(made, 2)
    ending = subscribing.end(subscription=made, at=AT, actor=ACTOR)
    assert ending.ends_at == utc("2025-03-15T09:30")


def test_ending_twice_is_the_same_row() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    first = subscribing.end(subscription=made, at=AT, actor=ACTOR)
    second = subscribing.end(subscription=made, at=utc("2025-06-01"), actor=ACTOR)
    assert first.ends_at == second.ends_at
    assert AuditEntry.objects.filter(action="subscription.ending").count() == 1


def test_what_has_not_started_is_not_ended() -> None:
    made = stories.subscribed(stories.customer(), stories.published(), starts_at=AT + timedelta(days=3))
    with pytest.raises(subscribing.NotStarted):
        subscribing.end(subscription=made, at=AT, actor=ACTOR)


# Looking ahead


def _ahead(subscription: Subscription, until: str) -> list[tuple[int, str, bool, bool]]:
    return [
        (edge.number, f"{edge.at:%m-%d}", edge.ended is not None, edge.begun is not None)
        for edge in subscriptions.edges_ahead(subscription, until=utc(until))
    ]


def test_edges_ahead_are_the_ones_that_the_billing_run_will_pass() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    assert _ahead(made, "2025-03-01") == [
        (0, "01-15", False, True),
        (1, "02-15", True, True),
        (2, "03-15", True, True),
    ]
    seen = list(subscriptions.edges_ahead(made, until=utc("2025-06-01")))
    for edge in seen[:-1]:
        assert made.due_at == edge.at
        assert _bill(made, 1) == [edge.number]
        stored = made.periods.get(number=edge.number)
        assert edge.begun is not None
        assert (edge.begun.start, edge.begun.end) == (stored.starts_at, stored.ends_at)
    assert _ahead(made, "2025-06-01") == [(seen[-1].number, "06-15", True, True)]


def test_edges_ahead_stop_at_the_end() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    ending = subscribing.end(subscription=made, at=utc("2025-02-20"), actor=ACTOR)
    assert _ahead(ending, "2025-12-31")[-1] == (2, "03-15", True, False)
    _bill(ending, 3)
    assert _ahead(ending, "2025-12-31") == []


# Reading


def test_reading() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    assert subscriptions.get("sub-1").pk == made.pk
    current = subscriptions.current_period(made, at=utc("2025-02-01"))
    assert current is not None
    assert current.number == 0
    assert subscriptions.current_period(made, at=utc("2025-02-15T09:30")) is None
    assert [row.key for row in subscriptions.listing(customer_key="cus-1")] == ["sub-1"]
    assert not subscriptions.listing(customer_key="cus-2")
    with pytest.raises(subscriptions.SubscriptionNotFound):
        subscriptions.get("nothing")


def test_a_new_version_leaves_subscriptions_on_the_one_they_were_sold() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    dearer = replace(stories.SPEC, prices=(replace(FEE, unit_amount=Decimal(99)),))
    stories.published("pro", dearer)
    assert catalog.version("pro").number == 2
    fee = subscriptions.get(made.key).items.get(price__key="fee").price
    assert catalog.terms_of(fee).unit_amount == 20
