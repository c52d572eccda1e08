"""Identity, outcomes and what is kept."""

import json
from datetime import timedelta

import pytest

from metering import ingesting
from metering.models import Batch, Conflict, Event, EventKey
from metering.rules.bodies import TooManyEvents
from tests.metering.support import ACTOR, AT, accept, cloud_event, iso, raw

pytestmark = pytest.mark.django_db


def outcomes(result: ingesting.IngestResult) -> list[str]:
    return [outcome.outcome for outcome in result.outcomes]


def test_new_events_are_accepted_and_stored_whole() -> None:
    result = accept(raw(1, traceparent="00-ab"), raw(2, subject="cüs \\ 2", data={"a": 'back\\slash\ttab\nline "q"'}))
    assert outcomes(result) == ["accepted", "accepted"]
    assert [(o.index, o.id) for o in result.outcomes] == [(0, "ev-1"), (1, "ev-2")]
    first, second = Event.objects.order_by("event_id")
    assert first.source == "/gateway/eu-1"
    assert first.extensions == {"traceparent": "00-ab"}
    assert first.data == {"context_tokens": 374, "model": "large"}
    assert second.extensions is None
    assert second.subject == "cüs \\ 2"
    assert second.data == {"a": 'back\\slash\ttab\nline "q"'}
    batch = Batch.objects.get()
    assert (batch.pk, batch.events, batch.recorded_at, batch.fold_id) == (result.batch, 2, AT, None)
    assert (batch.actor_type, batch.actor_id) == ("system", "test")
    assert {event.batch_id for event in (first, second)} == {batch.pk}


def test_the_same_event_again_is_a_duplicate_whatever_its_form() -> None:
    accept(raw(1, data={"n": 10, "m": {"b": 1, "a": 2}}, time="2025-03-14T10:15:46.680590Z"))
    same = accept(
        raw(1, data={"m": {"a": 2, "b": 1}, "n": 10.0}, time="2025-03-14T11:15:46.6805900+01:00", traceparent="other")
    )
    assert outcomes(same) == ["duplicate"]
    assert same.outcomes[0].code == "event.duplicate"
    assert same.batch is None
    assert Event.objects.count() == EventKey.objects.count() == Batch.objects.count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"time": "2025-03-14T10:15:46.680591Z"},
        {"time": None},
        {"subject": "cus-2"},
        {"type": "other"},
        {"data": {"context_tokens": 375, "model": "large"}},
        {"data": {"context_tokens": "374", "model": "large"}},
        {"data": None},
    ],
)
def test_the_same_identity_with_other_content_is_a_conflict_and_kept_apart(change: dict[str, object]) -> None:
    accept(raw(1))
    result = accept(raw(1, **change), raw(2))
    assert outcomes(result) == ["conflict", "accepted"]
    conflict = Conflict.objects.get()
    assert (conflict.source, conflict.event_id, conflict.recorded_at) == ("/gateway/eu-1", "ev-1", AT)
    assert conflict.data == change.get("data", cloud_event(1)["data"]) or conflict.data == {}
    assert Event.objects.filter(event_id="ev-1").count() == 1
    accept(raw(1, **change))
    assert Conflict.objects.count() == 1  # sent again, it is the same conflict


def test_identity_is_source_and_id() -> None:
    assert outcomes(accept(raw(1), raw(1, source="/gateway/eu-2"))) == ["accepted", "accepted"]
    # The two are hashed apart: moving a character from one to the other is another identity.
    assert outcomes(accept(raw("x", source="ab", id="c"), raw("x", source="a", id="bc"))) == ["accepted", "accepted"]


def test_within_a_batch_the_first_wins() -> None:
    result = accept(raw(1), raw(1), raw(1, subject="cus-2"), raw(1))
    assert outcomes(result) == ["accepted", "duplicate", "conflict", "duplicate"]
    assert Event.objects.get().subject == "cus-1"
    assert Conflict.objects.get().subject == "cus-2"


def test_within_a_batch_what_was_stored_before_wins_over_the_first() -> None:
    accept(raw(1, subject="stored"))
    result = accept(raw(1, subject="new"), raw(1, subject="stored"), raw(1, subject="new"))
    assert outcomes(result) == ["conflict", "duplicate", "conflict"]
    assert Conflict.objects.get().subject == "new"


def test_without_a_time_it_happened_when_it_arrived_and_a_retry_is_a_duplicate() -> None:
    accept(raw(1, time=None))
    assert Event.objects.get().occurred_at == AT
    assert outcomes(accept(raw(1, time=None), at=AT + timedelta(minutes=5))) == ["duplicate"]


def test_one_bad_event_never_sinks_its_batch() -> None:
    result = accept(raw(1), b"{", b"7", raw(2, subject=None), raw(3, data={"n": "\0"}), raw(4))
    assert outcomes(result) == ["accepted", "rejected", "rejected", "rejected", "rejected", "accepted"]
    assert [(o.id, o.code) for o in result.outcomes if o.code] == [
        (None, "event.malformed_json"),
        (None, "event.not_an_object"),
        ("ev-2", "event.subject_missing"),
        ("ev-3", "event.nul_character"),
    ]
    assert (result.accepted, result.duplicate, result.conflict, result.rejected) == (2, 0, 0, 4)
    assert all(o.message for o in result.outcomes if o.code)


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (AT - timedelta(days=35), "accepted"),
        (AT - timedelta(days=35, microseconds=1), "event.too_old"),
        (AT + timedelta(hours=1), "accepted"),
        (AT + timedelta(hours=1, microseconds=1), "event.too_far_ahead"),
    ],
)
def test_the_window_of_accepted_times_is_closed(time: object, expected: str) -> None:
    outcome = accept(raw(1, time=iso(time))).outcomes[0]  # type: ignore[arg-type]
    assert (outcome.code or outcome.outcome) == expected


def test_a_backfill_takes_old_events_under_the_same_identity() -> None:
    old = raw(1, time="2023-11-16T18:15:46.6805900Z")
    assert accept(old).outcomes[0].code == "event.too_old"
    result = ingesting.backfill(events=[old, raw(2, time="1999-12-31T23:59:59Z")], at=AT, actor=ACTOR, label="trace")
    assert [o.code or o.outcome for o in result.outcomes] == ["accepted", "event.too_old"]
    assert Event.objects.get().occurred_at.isoformat() == "2023-11-16T18:15:46.680590+00:00"
    assert Batch.objects.values_list("origin", "label").get() == ("backfill", "trace")
    again = ingesting.backfill(events=[old], at=AT, actor=ACTOR, label="trace, once more")
    assert outcomes(again) == ["duplicate"]


def test_nothing_new_makes_no_batch() -> None:
    assert accept().batch is None
    assert accept(b"{}").batch is None
    assert not Batch.objects.exists()


def test_more_than_ten_thousand_events_are_refused_as_a_whole() -> None:
    with pytest.raises(TooManyEvents):
        accept(*[b"{}"] * 10_001)
    assert len(accept(*[b"{}"] * 10_000).outcomes) == 10_000


def test_numbers_are_kept_exactly() -> None:
    body = raw(1).replace(b"374", b"99999999999999999999.000000000001")
    assert outcomes(accept(body)) == ["accepted"]
    assert json.loads(json.dumps(Event.objects.extra(select={"text": "data::text"}).values("text").get())) == {
        "text": '{"model": "large", "context_tokens": 99999999999999999999.000000000001}'
    }
