"""Guards of the agreement that need real commits: other roles, and two connections at once."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import psycopg
import pytest
from django.db import OperationalError, connection, transaction

from plans import customers, subscribing
from plans.models import BillingPeriod, Subscription
from tests.plans import stories
from tests.plans.stories import AT
from tests.support.database import Database

PUBLISH = "UPDATE plans_planversion SET published_at = now()"


def test_the_owner_cannot_change_or_empty_what_was_agreed_either(fresh_db: Database) -> None:
    stories.subscribed(stories.customer(), stories.published())
    with fresh_db.connect(role="owner") as owner:
        for statement, says in (
            ("UPDATE plans_price SET unit_amount = 0 WHERE key = 'fee'", "published"),
            ("UPDATE plans_billingperiod SET ends_at = now()", "facts"),
            ("DELETE FROM plans_billingperiod", "facts"),
            ("TRUNCATE plans_planversion CASCADE", "TRUNCATE"),
            ("TRUNCATE plans_price CASCADE", "TRUNCATE"),
            ("TRUNCATE plans_pricetier", "TRUNCATE"),
            ("TRUNCATE plans_billingperiod", "TRUNCATE"),
        ):
            with pytest.raises(psycopg.IntegrityError, match=says):
                owner.execute(statement)


def test_a_price_added_while_the_version_is_published_waits_and_is_refused(fresh_db: Database) -> None:
    version = stories.drafted()
    with fresh_db.connect(autocommit=False) as publisher, fresh_db.connect() as other:
        publisher.execute(PUBLISH)
        other.execute("SET lock_timeout = '200ms'")
        insert = (
            "INSERT INTO plans_price (version_id, key, name, position, model, settlement, unit_amount, included_units)"
            " VALUES (%s, 'more', 'More', 9, 'flat', 'arrears', 1, 0)"
        )
        with pytest.raises(Exception, match="lock timeout"):
            other.execute(insert, [version.pk])
        publisher.commit()
        with pytest.raises(Exception, match="was published"):
            other.execute(insert, [version.pk])


def test_the_currency_cannot_change_while_a_subscription_is_made(fresh_db: Database) -> None:
    who, version = stories.customer(), stories.published()
    change = "UPDATE plans_customer SET currency = 'EUR' WHERE id = %s"
    with fresh_db.connect() as other:
        other.execute("SET lock_timeout = '200ms'")
        with transaction.atomic():
            stories.subscribed(who, version)
            with pytest.raises(psycopg.errors.LockNotAvailable):
                other.execute(change, [who.pk])
        with pytest.raises(psycopg.IntegrityError, match="fixed"):
            other.execute(change, [who.pk])


def test_a_subscription_waits_for_a_change_of_currency_and_is_refused(fresh_db: Database) -> None:
    who, version = stories.customer(), stories.published()
    with fresh_db.connect(autocommit=False) as other:
        other.execute("UPDATE plans_customer SET currency = 'EUR' WHERE id = %s", [who.pk])
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '200ms'")
            with pytest.raises(OperationalError, match="lock timeout"):
                stories.subscribed(who, version)
        other.commit()
    with pytest.raises(subscribing.CurrencyMismatch):
        stories.subscribed(who, version)


def test_two_subscribers_to_one_meter_at_once(fresh_db: Database) -> None:
    """Both start before either commits; one subscription is made and the other refused."""
    who, version = stories.customer(), stories.published()
    ready = Barrier(2)

    def attempt(key: str) -> str:
        ready.wait(timeout=10)
        try:
            return stories.subscribed(who, version, key=key).key
        except subscribing.MeterTaken as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(2) as pool:
        answers = sorted(pool.map(attempt, ["a", "b"]))
    assert answers[1] == "subscription.meter_taken"
    assert answers[0] in ("a", "b")


def test_workers_at_one_edge_open_one_period(fresh_db: Database) -> None:
    stories.subscribed(stories.customer(), stories.published())
    ready = Barrier(4)

    def pass_the_edge(_worker: int) -> str:
        stale = Subscription.objects.select_related("customer").get()
        ready.wait(timeout=10)
        try:
            return str(subscribing.open_next_period(subscription=stale, at=AT))
        except subscribing.NotDue as error:
            return error.code
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        answers = sorted(pool.map(pass_the_edge, range(4)))
    assert answers == ["0", *["subscription.not_due"] * 3]
    assert BillingPeriod.objects.count() == 1


def test_credit_waits_for_a_change_of_currency_and_is_refused(fresh_db: Database) -> None:
    who = stories.customer()
    with fresh_db.connect(autocommit=False) as other:
        other.execute("UPDATE plans_customer SET currency = 'EUR' WHERE id = %s", [who.pk])
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '200ms'")
            with pytest.raises(OperationalError, match="lock timeout"):
                customers.check_credit_holder(customer_key=who.key, unit="USD")
        other.commit()
    with pytest.raises(customers.CurrencyDiffers), transaction.atomic():
        customers.check_credit_holder(customer_key=who.key, unit="USD")
