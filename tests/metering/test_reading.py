"""What people look at: lag, what is not billed and why, an event and its story, conflicts and batches."""

from datetime import timedelta
from decimal import Decimal

import pytest

from billing_ops.kit.periods import Period
from metering import aggregating, defining, events, ingesting, tasks, usage
from metering.models import Batch, Bucket, MeterProgress
from metering.rules.definition import BadMeter
from tests.metering.support import ACTOR, AT, HOUR, accept, fold_all, iso, raw, sum_meter
from tests.support.clock import VirtualClock

pytestmark = pytest.mark.django_db

DAY = Period(AT - timedelta(days=1), AT + timedelta(days=1))


def test_lag_is_the_age_of_the_oldest_unfolded_batch() -> None:
    meter = sum_meter()
    assert usage.lag(at=AT) == usage.Lag(Decimal(0), 0, 0, AT)
    first = accept(raw(1), raw(2))
    second = accept(raw(3), at=AT + timedelta(seconds=2))
    later = AT + timedelta(seconds=5, milliseconds=250)
    assert usage.lag(at=later) == usage.Lag(Decimal("5.250"), 2, 3, later)
    reading = usage.quantity(meter=meter, subject="nobody", period=DAY, at=later)
    assert (reading.quantity, reading.events, reading.as_of) == (Decimal(0), 0, later)
    assert (reading.lag_seconds, reading.watermark) == (Decimal("5.250"), second.batch)
    assert usage.lag(at=AT - HOUR).oldest_unfolded_age_seconds == 0  # a clock that runs behind
    aggregating.advance(at=later, limit=1)
    fold_all()
    assert usage.lag(at=later).unfolded_batches == 0
    assert first.batch is not None


def test_what_is_not_billed_is_grouped_by_cause_folded_or_not() -> None:
    sum_meter("large", filters=[{"path": "model", "op": "eq", "value": "large"}])
    sent = [
        raw(1),
        raw(2, data={"model": "large"}),
        raw(3, data={"model": "large", "context_tokens": None}, subject="cus-2"),
        raw(4, data={"model": "large", "context_tokens": "many"}),
        raw(5, data={"model": "large", "context_tokens": True}),
        raw(6, data={"model": "small"}),
        raw(7, type="storage"),
        raw(8, type="storage", subject="cus-2", time="2025-03-14T11:00:00Z"),
    ]
    for event in sent:
        accept(event)
    for _ in range(2):
        groups = usage.unresolved()
        assert [(g.cause, g.type, g.meter_key, g.value_path, g.events, g.subjects) for g in groups] == [
            ("missing", "llm.request", "large", "context_tokens", 2, 2),
            ("no_meter", "storage", "", "", 2, 2),
            ("not_numeric", "llm.request", "large", "context_tokens", 2, 1),
        ]
        assert all(group.explanation for group in groups)
        storage = groups[1]
        assert (iso(storage.first_at), iso(storage.last_at)) == (
            "2025-03-14T10:15:46.680590+00:00",
            "2025-03-14T11:00:00+00:00",
        )
        assert [(g.cause, g.events) for g in usage.unresolved(subject="cus-2")] == [("missing", 1), ("no_meter", 1)]
        seen = [(s.subject, s.events) for s in usage.subjects()]
        assert seen == [("cus-1", 6), ("cus-2", 2)]
        assert [s.subject for s in usage.subjects(after="cus-1", limit=1)] == ["cus-2"]
        fold_all()


def test_what_was_not_billed_heals_once_a_meter_listens() -> None:
    accept(raw(1, type="storage", data={"gb": "1.5"}), raw(2, type="storage", data={"gb": 2}))
    fold_all()
    assert [g.cause for g in usage.unresolved()] == ["no_meter"]
    meter = sum_meter("storage", event_type="storage", value_path="gb")
    assert usage.unresolved() == []
    assert usage.quantity(meter=meter, subject="cus-1", period=DAY, at=AT).quantity == Decimal("3.5")
    assert not Bucket.objects.exists()
    fold_all()
    assert Bucket.objects.get().quantity == Decimal("3.5")
    assert MeterProgress.objects.get().caught_up_at == AT
    assert usage.quantity(meter=meter, subject="cus-1", period=DAY, at=AT).quantity == Decimal("3.5")


def test_an_event_is_found_by_source_and_id_by_id_alone_and_by_customer_type_and_time() -> None:
    accept(*[raw(n, time=iso(AT - n * HOUR), source=f"/gateway/{n % 2}") for n in range(5)], raw("x", subject="cus-2"))
    accept(raw(1, source="/gateway/0"))
    assert [e.event_id for e in events.find_by_id(event_id="ev-3", source="/gateway/1")] == ["ev-3"]
    assert events.find_by_id(event_id="ev-3", source="/gateway/0") == []
    assert events.find_by_id(event_id="ev-1") == []  # sources are known once they are folded
    fold_all()
    assert [e.source for e in events.find_by_id(event_id="ev-1")] == ["/gateway/0", "/gateway/1"]
    found = events.find_by_id(event_id="ev-2")[0]
    assert (found.subject, found.occurred_at, found.data) == (
        "cus-1",
        AT - 2 * HOUR,
        {"context_tokens": 374, "model": "large"},
    )

    newest = events.find(subject="cus-1", limit=3)
    assert [e.event_id for e in newest][:2] == ["ev-0", "ev-1"]
    rest = events.find(subject="cus-1", before=(newest[-1].occurred_at, newest[-1].key))
    assert len({e.key for e in newest + rest}) == 6
    assert [e.occurred_at for e in newest + rest] == sorted((e.occurred_at for e in newest + rest), reverse=True)
    hour = Period(AT - 3 * HOUR, AT - 2 * HOUR)
    assert {e.event_id for e in events.find(period=hour)} == {"ev-3", "ev-1", "ev-x"}
    assert [e.event_id for e in events.find(period=hour, subject="cus-2", type="llm.request")] == ["ev-x"]
    assert events.find(type="storage") == []
    everything = events.find(limit=100)
    assert len(everything) == 7
    walked: list[events.StoredEvent] = []
    while page := events.find(before=(walked[-1].occurred_at, walked[-1].key) if walked else None, limit=2):
        walked += page
    assert walked == everything
    assert [e.occurred_at for e in everything] == sorted((e.occurred_at for e in everything), reverse=True)


def test_the_story_of_an_event_says_what_each_meter_made_of_it() -> None:
    sum_meter("a-large", filters=[{"path": "model", "op": "eq", "value": "large"}])
    sum_meter("b-small", filters=[{"path": "model", "op": "eq", "value": "small"}])
    sum_meter("c-generated", value_path="generated_tokens")
    sum_meter("d-model", value_path="model")
    sum_meter("e-requests", aggregation="count", value_path="")
    sum_meter("f-other", event_type="storage")
    accept(raw(1))
    accept(raw(1, subject="other"))
    (event,) = events.find(subject="cus-1")
    before = events.story(event)
    assert {finding.bucket_hour for finding in before.findings} == {None}
    fold_all()
    sum_meter("g-late")
    after = events.story(event)
    hour = AT.replace(hour=10, minute=0)
    assert [(f.meter_key, f.verdict, f.value, f.bucket_hour) for f in after.findings] == [
        ("a-large", "counted", Decimal(374), hour),
        ("b-small", "filtered", None, None),
        ("c-generated", "missing", None, hour),
        ("d-model", "not_numeric", None, hour),
        ("e-requests", "counted", Decimal(1), hour),
        ("g-late", "counted", Decimal(374), None),
    ]
    fold_all()
    assert events.story(event).findings[-1].bucket_hour == hour
    assert [c.subject for c in after.conflicts] == ["other"]
    assert after.batch.fold is not None
    assert list(events.conflicts(subject="cus-1")) == []
    assert events.conflicts().get().content != event.key
    assert [b.pk for b in events.batches()] == [event.batch]


def test_the_task_folds_all_there_is(clock: VirtualClock) -> None:
    clock.set(AT)
    sum_meter()
    for n in range(5):
        accept(raw(n))
    late = sum_meter("late")
    assert tasks.advance() == 5
    assert tasks.advance() == 0
    assert not Batch.objects.filter(fold=None).exists()
    assert Bucket.objects.get(meter=late).events == 5
    assert Batch.objects.first().fold.folded_at == AT  # type: ignore[union-attr]


def test_a_meter_is_the_same_or_it_is_refused() -> None:
    meter = sum_meter()
    assert sum_meter(at=AT + HOUR) == meter
    with pytest.raises(defining.MeterDiffers) as caught:
        sum_meter(value_path="other", unit="x")
    assert caught.value.details["differs"] == ["value_path", "unit"]
    with pytest.raises(BadMeter):
        sum_meter("UPPER")


def test_quantities_of_thirty_digits_are_exact() -> None:
    meter = sum_meter()
    huge = b"99999999999999999999.999999999999"
    accept(*[raw(n).replace(b"374", huge) for n in range(3)])
    expected = Decimal("299999999999999999999.999999999997")
    for _ in range(2):
        assert usage.quantity(meter=meter, subject="cus-1", period=DAY, at=AT).quantity == expected
        assert usage.hourly(meter=meter, subject=None, period=DAY)[0].quantity == expected
        fold_all()


def test_a_backfill_is_counted_in_its_own_time() -> None:
    meter = sum_meter()
    old = AT - timedelta(days=500)
    ingesting.backfill(events=[raw(1, time=iso(old))], at=AT, actor=ACTOR, label="2023")
    period = Period(old, old + timedelta(microseconds=1))
    for _ in range(2):
        assert usage.quantity(meter=meter, subject="cus-1", period=period, at=AT).events == 1
        assert usage.quantity(meter=meter, subject="cus-1", period=DAY, at=AT).events == 0
        fold_all()
