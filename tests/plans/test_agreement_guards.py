"""What the database itself refuses about subscriptions, by raw SQL as the application role."""

from itertools import product
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, connection, transaction

from plans import subscribing
from plans.models import Subscription
from plans.rules import lifecycle
from plans.rules.specs import VersionSpec
from tests.plans import stories
from tests.plans.stories import ACTOR, AT, FEE, OUTPUT

pytestmark = pytest.mark.django_db


def _refused(statement: str, match: str, values: list[Any] | None = None) -> None:
    with pytest.raises(IntegrityError, match=match), transaction.atomic():
        connection.cursor().execute(statement, values)


_COLUMNS = {
    "active": "status = 'active', due_at = '2030-01-01', ends_at = '2030-01-01'",
    "ended": "status = 'ended', due_at = NULL, ends_at = '2030-01-01'",
}


def test_the_state_table_is_the_databases() -> None:
    """Every pair of states is tried by raw SQL; the database allows exactly what the table allows."""
    states = [state.value for state in Subscription.Status]
    assert set(lifecycle.SUBSCRIPTION) == set(states) == set(_COLUMNS)
    who, version = stories.customer(), stories.published("fee", VersionSpec("USD", (FEE,)))
    for before, after in product(states, states):
        made = stories.subscribed(who, version, key=f"{before}-{after}")
        connection.cursor().execute(f"UPDATE plans_subscription SET {_COLUMNS[before]} WHERE id = %s", [made.pk])
        change = f"UPDATE plans_subscription SET {_COLUMNS[after]} WHERE id = %s"
        if before == after or lifecycle.allowed(before, after):
            connection.cursor().execute(change, [made.pk])
        else:
            _refused(change, "does not go from", [made.pk])


def test_an_unknown_state_is_refused() -> None:
    stories.subscribed(stories.customer(), stories.published())
    _refused("UPDATE plans_subscription SET status = 'paused'", "does not go from|violates check")


@pytest.mark.parametrize(
    "change",
    [
        "key = 'other'",
        "starts_at = starts_at + interval '1 day'",
        "anchor = anchor + interval '1 day'",
        "created_at = now()",
        "customer_id = (SELECT max(id) FROM plans_customer)",
        "version_id = (SELECT max(id) FROM plans_planversion)",
        "due_at = due_at - interval '1 second'",
        "due_at = NULL",
        "status = 'ended'",
        "ends_at = starts_at",
    ],
)
def test_what_was_agreed_does_not_change(change: str) -> None:
    stories.subscribed(stories.customer(), stories.published())
    stories.customer("cus-2")
    stories.published("other", VersionSpec("USD", (FEE,)))
    _refused(f"UPDATE plans_subscription SET {change}", "does not change|forward only|violates check|does not go from")


def test_an_end_does_not_move() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    subscribing.end(subscription=made, at=AT, actor=ACTOR)
    for end in ("NULL", "ends_at + interval '1 day'"):
        _refused(f"UPDATE plans_subscription SET ends_at = {end}", "does not move")
        _refused(f"UPDATE plans_subscriptionitem SET ends_at = {end}", "closed once")


INSERT = """INSERT INTO plans_subscription (key, customer_id, version_id, status, starts_at, anchor, due_at, created_at)
            VALUES ('raw', %s, %s, %s, %s, %s, %s, %s)"""


def test_a_subscription_is_to_a_published_version_in_the_customers_currency() -> None:
    who, draft = stories.customer(), stories.drafted()
    euro = stories.customer("cus-2", currency="EUR")
    published = stories.published("fee", VersionSpec("USD", (FEE,)))
    _refused(INSERT, "published plan version", [who.pk, draft.pk, "active", AT, AT, AT, AT])
    _refused(INSERT, "in USD, the customer in EUR", [euro.pk, published.pk, "active", AT, AT, AT, AT])
    _refused(INSERT, "born active", [who.pk, published.pk, "ended", AT, AT, AT, AT])
    _refused(INSERT, "due at its start", [who.pk, published.pk, "active", AT, AT, stories.utc("2030-01-01"), AT])


ITEM = """INSERT INTO plans_subscriptionitem (subscription_id, price_id, customer_id, meter_id, quantity, starts_at)
          VALUES (%s, %s, %s, %s, 1, %s)"""


def test_an_item_repeats_its_subscription_and_its_price() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    other = stories.customer("cus-2")
    foreign = stories.published("other", VersionSpec("USD", (OUTPUT,))).prices.get()
    own = made.version.prices.get(key="output")
    says = "repeats its subscription"
    _refused(ITEM, says, [made.pk, own.pk, other.pk, own.meter_id, AT])
    _refused(ITEM, says, [made.pk, own.pk, made.customer_id, None, AT])
    _refused(ITEM, says, [made.pk, foreign.pk, made.customer_id, foreign.meter_id, AT])
    _refused(
        ITEM, "within its subscription", [made.pk, own.pk, made.customer_id, own.meter_id, stories.utc("2020-01-01")]
    )


def test_a_meter_is_not_billed_twice_whatever_the_code_does() -> None:
    who = stories.customer()
    stories.subscribed(who, stories.published("fees", VersionSpec("USD", (OUTPUT,))))
    second = stories.published("more", VersionSpec("USD", (OUTPUT,)))
    with connection.cursor() as cursor:
        cursor.execute(INSERT + " RETURNING id", [who.pk, second.pk, "active", AT, AT, AT, AT])
        (pk,) = cursor.fetchone()
    price = second.prices.get()
    _refused(ITEM, "item_meter_billed_once", [pk, price.pk, who.pk, price.meter_id, AT])


@pytest.mark.parametrize("change", ["quantity = 2", "starts_at = now()", "meter_id = NULL", "ends_at = starts_at"])
def test_an_item_only_closes(change: str) -> None:
    stories.subscribed(stories.customer(), stories.published())
    _refused(f"UPDATE plans_subscriptionitem SET {change} WHERE meter_id IS NOT NULL", "closed once|violates check")


PERIOD = "INSERT INTO plans_billingperiod (subscription_id, number, starts_at, ends_at) VALUES (%s, %s, %s, %s)"


def test_periods_follow_each_other() -> None:
    made = stories.subscribed(stories.customer(), stories.published())
    first = made.periods.get()
    after = stories.utc("2025-06-01")
    for number, starts_at in ((1, AT), (1, stories.utc("2025-02-16")), (2, first.ends_at), (5, after)):
        _refused(PERIOD, "was expected", [made.pk, number, starts_at, after])
    _refused(PERIOD, "violates", [made.pk, 1, first.ends_at, first.ends_at])
    _refused(PERIOD, "duplicate key", [made.pk, 0, AT, after])


@pytest.mark.parametrize("what", ["UPDATE plans_billingperiod SET ends_at = now()", "DELETE FROM plans_billingperiod"])
def test_the_application_may_not_change_periods_or_forget_subscriptions(what: str) -> None:
    stories.subscribed(stories.customer(), stories.published())
    for statement in (what, "DELETE FROM plans_subscription", "DELETE FROM plans_customer"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            connection.cursor().execute(statement)
