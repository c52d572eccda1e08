"""Billing periods tile time: no instant is billed twice and none is left out, in any time zone."""

import zoneinfo
from calendar import monthrange
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from billing_ops.kit.periods import billing_period, edge
from plans.rules.schedule import schedule

ZONES = st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime", "Factory"}))
INSTANTS = st.integers(946_684_800, 2_208_988_800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@settings(max_examples=400)
@given(INSTANTS, ZONES, st.integers(-30, 60))
def test_each_period_ends_where_the_next_begins(anchor: datetime, zone: str, number: int) -> None:
    here, following = billing_period(anchor, number, zone), billing_period(anchor, number + 1, zone)
    assert here.end == following.start
    assert timedelta(days=26) < here.end - here.start < timedelta(days=33)
    assert here.start.tzinfo is UTC


@settings(max_examples=400)
@given(INSTANTS, ZONES, st.integers(1, 60))
def test_an_edge_is_the_anchors_wall_time_on_its_day_or_the_months_last(
    anchor: datetime, zone: str, number: int
) -> None:
    first = anchor.astimezone(ZoneInfo(zone))
    local = edge(anchor, number, zone).astimezone(ZoneInfo(zone))
    months = first.year * 12 + first.month - 1 + number
    year, month = months // 12, months % 12 + 1
    wall = datetime(year, month, min(first.day, monthrange(year, month)[1]), first.hour, first.minute, first.second)  # noqa: DTZ001  # a wall time
    if local.replace(tzinfo=None, fold=0) != wall:  # only a wall time that does not exist may move, and forward
        skipped = wall.replace(tzinfo=ZoneInfo(zone))
        assert skipped.astimezone(UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None) != wall
        assert local.replace(tzinfo=None) > wall


@settings(max_examples=400)
@given(INSTANTS, INSTANTS, ZONES, st.integers(0, 14))
def test_a_schedule_starts_at_the_start_and_finds_the_period_of_an_instant(
    anchor: datetime, starts_at: datetime, zone: str, number: int
) -> None:
    calendar = schedule(anchor=anchor, starts_at=starts_at, zone=zone)
    first = calendar.period(0)
    assert first.start == starts_at
    period = calendar.period(number)
    assert period.end == calendar.period(number + 1).start
    assert calendar.number_at(period.start) == number
    assert calendar.number_at(period.end - timedelta(seconds=1)) == number
    assert calendar.number_at(period.end) == number + 1
    assert calendar.number_at(starts_at - timedelta(days=1)) == 0


@given(INSTANTS, ZONES)
def test_without_an_anchor_of_its_own_the_first_period_is_whole(starts_at: datetime, zone: str) -> None:
    calendar = schedule(anchor=starts_at, starts_at=starts_at, zone=zone)
    assert calendar.first == 0
    assert calendar.begins_at_an_edge


@given(INSTANTS, ZONES, st.integers(-12, 12))
def test_a_start_on_another_edge_of_the_anchor_begins_a_whole_period(anchor: datetime, zone: str, number: int) -> None:
    calendar = schedule(anchor=anchor, starts_at=edge(anchor, number, zone), zone=zone)
    assert calendar.first == number
    assert calendar.begins_at_an_edge
