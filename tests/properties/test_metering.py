"""The SQL equals the pure fold: any events, splits, orders, duplicates, folding in between, and period edges."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing_ops.kit.periods import Period
from metering import aggregating, usage
from metering.models import Meter
from metering.rules import aggregation
from metering.rules.envelope import Window, read
from metering.rules.payload import EventRefusal
from tests.metering.support import accept, fold_all, sum_meter

pytestmark = pytest.mark.django_db

START = datetime(2025, 3, 30, 22, 0, tzinfo=UTC)  # over a month's end, and Europe's change to summer time
NOW = START + timedelta(hours=6)
SUBJECTS = ["cus-1", "cus-2"]
TYPES = ["llm.request", "storage"]

_edges = [timedelta(0), timedelta(microseconds=1), timedelta(minutes=59, seconds=59, microseconds=999_999)]
instants = st.one_of(
    st.integers(0, 5 * 3600 * 10**6).map(lambda us: START + timedelta(microseconds=us)),
    st.tuples(st.integers(0, 4), st.sampled_from(_edges)).map(lambda p: START + timedelta(hours=p[0]) + p[1]),
)
numbers = st.one_of(
    st.integers(-(10**20) + 1, 10**20 - 1),
    st.integers(-100, 100),
    st.decimals(min_value=-(10**6), max_value=10**6, places=12, allow_nan=False),
    st.decimals(min_value=-100, max_value=100, places=1, allow_nan=False),
)
numeric_strings = st.one_of(
    numbers.map(lambda n: format(n, "f")),
    st.sampled_from(
        ["007", "-0", "1e3", "NaN", "Infinity", "", " 1", "1 ", "1.", ".5", "+1", "٣", "0x10", "1\n", "1_0"]
    ),
    st.sampled_from(["9" * 20, "9" * 21, "0." + "1" * 12, "0." + "1" * 13]),
)
leaves = st.one_of(numbers, numeric_strings, st.booleans(), st.none(), st.sampled_from(["large", "small", 'é\\ " \t']))
values = st.one_of(
    leaves, st.lists(leaves, max_size=2), st.dictionaries(st.sampled_from(["a", "b"]), leaves, max_size=2)
)
plain = st.fixed_dictionaries({"a": numbers, "model": st.sampled_from(["large", "small"])})
odd = st.dictionaries(st.sampled_from(["a", "b", "model", "c.d"]), values, max_size=4)
data = st.one_of(plain, plain, odd)  # mostly what is counted: a fold of nothing proves nothing

scalars = st.one_of(st.integers(-3, 3), st.booleans(), st.sampled_from(["large", "small", "1", "", 'é\\ " \t']))
paths = st.sampled_from(["a", "b", "model", "a.b", "b.a", "c.d"])
filters = st.one_of(
    st.builds(lambda p, o, v: {"path": p, "op": o, "value": v}, paths, st.sampled_from(["eq", "ne"]), scalars),
    st.builds(lambda p, v: {"path": p, "op": "in", "value": v}, paths, st.lists(scalars, min_size=1, max_size=3)),
    st.builds(
        lambda p, o, v: {"path": p, "op": o, "value": v},
        paths,
        st.sampled_from(["gt", "gte", "lt", "lte"]),
        st.one_of(st.integers(-100, 100), st.sampled_from(["0.5", "-1.5"])),
    ),
    st.builds(lambda p, v: {"path": p, "op": "exists", "value": v}, paths, st.booleans()),
)
meters = st.builds(
    lambda kind, path, conditions, event_type: {
        "aggregation": kind,
        "value_path": path if kind == "sum" else "",
        "filters": conditions,
        "event_type": event_type,
    },
    st.sampled_from(["sum", "sum", "count"]),
    st.one_of(st.just("a"), st.just("a"), paths),
    st.one_of(st.just([]), st.just([]), st.lists(filters, max_size=2)),
    st.sampled_from(TYPES),
)


@st.composite
def sent_events(draw: st.DrawFn) -> list[bytes]:
    """Bodies as sent: some identities several times, with the same or another content."""
    event = st.fixed_dictionaries(
        {
            "specversion": st.just("1.0"),
            "id": st.integers(0, 12).map(lambda n: f"ev-{n}"),
            "source": st.sampled_from(["/a", "/b"]),
            "type": st.sampled_from([*TYPES, TYPES[0]]),
            "subject": st.sampled_from([*SUBJECTS, SUBJECTS[0]]),
            "time": instants.map(datetime.isoformat),
            "data": data,
        }
    )
    events = draw(st.lists(event, max_size=14))
    repeated = draw(st.lists(st.sampled_from(events), max_size=4)) if events else []
    return [
        msgspec.json.Encoder(decimal_format="number").encode(one) for one in draw(st.permutations(events + repeated))
    ]


periods = st.builds(
    lambda a, b, minutes: Period(
        min(a, b).astimezone(timezone(timedelta(minutes=minutes))), max(a, b) + timedelta(microseconds=1)
    ),
    instants,
    instants,
    st.sampled_from([0, 345, -570]),
)
READERS = Window.live(NOW)


def understood(sent: list[bytes]) -> list[aggregation.Usage]:
    """The events as the rules read them; what is refused is nobody's usage."""
    found = []
    for body in sent:
        try:
            one = read(body, at=NOW, window=READERS)
        except EventRefusal:
            continue
        decoded = json.loads(one.data, parse_float=Decimal)
        found.append(aggregation.Usage((one.source, one.id), one.subject, one.type, one.occurred_at, decoded))
    return found


@contextmanager
def rolled_back() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def check(meter: Meter, body: dict[str, Any], events: list[aggregation.Usage], period: Period) -> None:
    """Every reading of every subject equals the fold."""
    measure = aggregation.Measure(**body)
    for subject in SUBJECTS:
        expected = aggregation.fold(measure, events, subject=subject, period=period)
        reading = usage.quantity(meter=meter, subject=subject, period=period, at=NOW)
        assert (reading.quantity, reading.events) == expected
        hours = aggregation.fold_hours(measure, events, subject=subject, period=period)
        found = usage.hourly(meter=meter, subject=subject, period=period)
        assert {hour.hour_start: (hour.quantity, hour.events) for hour in found} == hours
        assert all_pages(meter, subject, period) == expected


def all_pages(meter: Meter, subject: str, period: Period) -> tuple[Decimal, int]:
    """The sum and the number of counted events over all pages, in an order that is stable."""
    values: list[Decimal] = []
    places: list[tuple[datetime, bytes, bytes]] = []
    page = usage.events_of(meter=meter, subject=subject, period=period, limit=2)
    while True:
        values += [event.value for event in page.events if event.value is not None]
        places += [(event.occurred_at, event.source.encode(), event.event_id.encode()) for event in page.events]
        if page.next is None:
            break
        page = usage.events_of(meter=meter, subject=subject, period=period, after=page.next, limit=2)
    assert places == sorted(set(places))
    with connection.cursor() as cursor:  # Decimals of 32 digits: PostgreSQL adds them exactly
        cursor.execute("SELECT coalesce(sum(v), 0) FROM unnest(%s::numeric[]) AS v", [values])
        row = cursor.fetchone()
    assert row is not None
    return row[0], len(values)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=meters,
    late=meters,
    sent=sent_events(),
    splits=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    folds=st.lists(st.sampled_from(["", "one", "all"]), min_size=1, max_size=8),
    asked=st.lists(periods, min_size=1, max_size=3),
)
def test_sql_equals_the_pure_fold(
    *,
    body: dict[str, Any],
    late: dict[str, Any],
    sent: list[bytes],
    splits: list[int],
    folds: list[str],
    asked: list[Period],
) -> None:
    with rolled_back():
        meter = sum_meter("early", at=NOW, **body)
        second: Meter | None = None
        rest, step = sent, 0
        while rest:
            size = splits[step % len(splits)]
            accept(*rest[:size], at=NOW)
            rest = rest[size:]
            fold = folds[step % len(folds)]
            if fold == "one":
                aggregating.advance(at=NOW, limit=1)
            elif fold == "all":
                fold_all(at=NOW, limit=3)
            if step == 1:
                second = sum_meter("late", at=NOW, **late)
            step += 1
        second = second or sum_meter("late", at=NOW, **late)
        events = understood(sent)
        for period in asked:
            check(meter, body, events, period)
            check(second, late, events, period)
        while aggregating.advance(at=NOW, limit=1).worked:  # every half-way of folding and of catching up
            check(meter, body, events, asked[0])
            check(second, late, events, asked[0])
        for period in asked:
            check(meter, body, events, period)
            check(second, late, events, period)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(data, st.lists(filters, max_size=3)), min_size=1, max_size=20))
def test_filters_in_sql_equal_the_rules(cases: list[tuple[dict[str, Any], list[dict[str, Any]]]]) -> None:
    encoder = msgspec.json.Encoder(decimal_format="number")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT metering_matches(d::jsonb, f::jsonb) "
            "FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS t (d, f, n) ORDER BY n",
            [[encoder.encode(d).decode() for d, _ in cases], [encoder.encode(f).decode() for _, f in cases]],
        )
        found = [row[0] for row in cursor.fetchall()]
    assert found == [aggregation.matches(d, f) for d, f in cases]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(values, min_size=1, max_size=20))
def test_numbers_in_sql_equal_the_rules(cases: list[Any]) -> None:
    encoder = msgspec.json.Encoder(decimal_format="number")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT metering_number(v::jsonb) FROM unnest(%s::text[]) WITH ORDINALITY AS t (v, n) ORDER BY n",
            [[encoder.encode(value).decode() for value in cases]],
        )
        found = [row[0] for row in cursor.fetchall()]
    assert found == [aggregation.number(value) for value in cases]
