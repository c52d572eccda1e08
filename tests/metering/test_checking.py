"""Buckets are compared with their events: who wrote past the aggregator is found, and the buckets are rebuilt."""

from datetime import timedelta
from decimal import Decimal

import psycopg
import pytest
from django.core.management import CommandError, call_command

from billing_ops.kit.periods import Period
from billing_ops.models import FailedWork
from metering import aggregating, checking
from metering.models import Bucket
from tests.metering.support import AT, TOKENS, accept, cloud_event, fold_all, sum_meter
from tests.support.database import Database

WEEK = Period(AT - timedelta(days=7), AT + timedelta(days=1))


def used(number: int, tokens: object = 10, subject: str = "cus-1") -> None:
    time = (AT - timedelta(hours=number)).isoformat()
    accept(cloud_event(number, subject=subject, time=time, data={"context_tokens": tokens}))


@pytest.fixture
def folded(fresh_db: Database) -> Database:
    """Three hours of two subjects, one event without a number, one without the property, and one not folded yet."""
    sum_meter()
    for number, tokens in enumerate((10, 20, "many", None, 5)):
        used(number, tokens, subject=f"cus-{number % 2}")
    fold_all()
    used(9)
    return fresh_db


TAMPERING = {
    "more": "UPDATE metering_bucket SET quantity = quantity + 1 WHERE subject = 'cus-1' AND events > 0",
    "one event more": "UPDATE metering_bucket SET events = events + 1 WHERE subject = 'cus-1' AND events > 0",
    "all resolved": "UPDATE metering_bucket SET not_numeric = 0 WHERE not_numeric > 0",
    "nothing missing": "UPDATE metering_bucket SET missing = 0 WHERE missing > 0",
    "out of the air": "INSERT INTO metering_bucket SELECT meter_id, 'nobody', hour_start, 7, 1, 0, 0"
    " FROM metering_bucket WHERE events > 0 LIMIT 1",
}


@pytest.mark.parametrize("how", TAMPERING)
def test_what_was_written_past_the_aggregator_is_found_and_rebuilt(folded: Database, how: str) -> None:
    right = sorted(Bucket.objects.exclude(subject="nobody").values_list())
    assert checking.differences(period=WEEK) == []
    with folded.connect() as app:
        assert app.execute(TAMPERING[how]).rowcount == 1
    (found,) = checking.differences(period=WEEK)
    assert (checking.check(at=AT), FailedWork.objects.get(task=checking.TASK).customer_key) == (1, found.subject)
    with pytest.raises(CommandError, match="1 buckets differ"):
        call_command("check_usage", since=WEEK.start, until=WEEK.end)
    call_command("check_usage", since=WEEK.start, until=WEEK.end, rebuild=True)
    assert sorted(Bucket.objects.exclude(subject="nobody").values_list()) == right
    assert not Bucket.objects.filter(subject="nobody", quantity__gt=0).exists()
    assert (checking.check(at=AT), FailedWork.objects.count()) == (0, 0)


def test_buckets_are_rebuilt_from_nothing_but_events(folded: Database) -> None:
    right = sorted(Bucket.objects.values_list())
    with folded.connect(role="owner") as owner:
        owner.execute("DELETE FROM metering_bucket")
    assert {one.stored for one in checking.rebuild(period=WEEK)} == {Decimal(0)}
    assert sorted(Bucket.objects.values_list()) == right
    fold_all()  # what was not folded is folded once
    assert checking.differences(period=WEEK) == []


def test_a_meter_that_catches_up_is_compared_with_what_it_has_seen(folded: Database) -> None:
    sum_meter("later", event_type=TOKENS)
    assert checking.differences(period=WEEK) == []
    seen = 0
    while aggregating.advance(at=AT, limit=1).worked:
        seen += 1
        assert checking.differences(period=WEEK) == checking.rebuild(period=WEEK) == []
    assert seen > 2


def test_the_key_of_a_bucket_is_not_the_applications_to_change(folded: Database) -> None:
    with folded.connect() as app, pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("UPDATE metering_bucket SET subject = 'cus-2'")
