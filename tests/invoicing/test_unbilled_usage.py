"""Usage that nobody is charged for is found, with its cause; what is charged is not."""

from datetime import timedelta

from metering import defining
from metering.models import Stream
from plans import subscribing, unbilled_usage
from plans.models import Subscription
from tests.invoicing.stories import (
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    fold,
    join,
    publish,
    send,
    told,
    usage_price,
    used,
)
from tests.support.billing import World, event

TICK = timedelta(microseconds=1)


def found() -> list[tuple[str, str, int]]:
    return [(one.subject, one.cause, one.events) for one in unbilled_usage.find()]


def test_usage_of_nobody_of_no_charge_and_outside_of_the_subscription(books: World) -> None:
    plan = publish("cents", usage_price("tokens", "0.01"))
    join(plan, "acme")
    join(plan, "later", starts_at=NOON)
    join(plan, "gone")
    subscribing.end(subscription=Subscription.objects.get(customer__key="gone"), at=NOON, actor=TESTER)
    used(1, time=START, subject="acme", generated=1)
    used(2, time=NOON, subject="later", generated=1)
    used(3, time=NOON - TICK, subject="gone", generated=1)
    assert found() == []

    used(4, time=NOON, subject="nobody", generated=1)
    used(5, time=NOON, subject="nobody", generated=1)
    told(6, time=NOON - TICK, at=NOON, subject="later", generated=1)
    told(7, time=MONTH_LATER, at=MONTH_LATER, subject="gone", generated=1)
    expected = [("gone", "outside", 2), ("nobody", "no_customer", 2), ("later", "outside", 2)]
    assert sorted(found()) == sorted(expected)


def test_a_customer_without_a_charge_for_the_type(books: World) -> None:
    join(publish("cents", usage_price("tokens", "0.01")), "acme")
    image = event(1, subject="acme", time=NOON, generated=1) | {"type": "image.request"}
    send([image], at=NOON)
    assert found() == [], "no meter listens: that is said by metering"
    defining.define(
        key="images", name="Images", event_type="image.request", aggregation="count", at=NOON, actor=TESTER,
        value_path="", filters=[], unit="images",
    )  # fmt: skip
    assert Stream.objects.filter(type="image.request").count() == 0
    assert found() == [("acme", "no_charge", 1)], "before it is folded"
    fold(NOON)
    assert found() == [("acme", "no_charge", 1)], "and after"
    assert [one.explanation for one in unbilled_usage.find(limit=1)] == [
        "None of the customer’s subscriptions charges for this type."
    ]
