"""Half-open periods and the calendar of billing anchors."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from billing_ops.kit.periods import Period, billing_period, edge


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def _edges(anchor: datetime, zone: str, count: int) -> list[str]:
    return [f"{edge(anchor, number, zone):%Y-%m-%d %H:%M}" for number in range(count)]


def test_the_end_belongs_to_the_next_period() -> None:
    period = Period(_utc("2025-01-01"), _utc("2025-02-01"))
    assert _utc("2025-01-01") in period
    assert _utc("2025-01-31T23:59:59.999999") in period
    assert _utc("2025-02-01") not in period
    assert period.seconds == 31 * 86_400


@pytest.mark.parametrize("end", ["2025-01-01", "2024-12-31"])
def test_a_period_has_a_length(end: str) -> None:
    with pytest.raises(ValueError, match="ends after it starts"):
        Period(_utc("2025-01-01"), _utc(end))


def test_a_period_has_aware_instants() -> None:
    with pytest.raises(ValueError, match="aware"):
        Period(datetime(2025, 1, 1), _utc("2025-02-01"))  # noqa: DTZ001  # naive is what is refused


def test_day_31_clamps_to_the_end_of_the_month_and_comes_back() -> None:
    assert _edges(_utc("2025-01-31"), "UTC", 5) == [
        "2025-01-31 00:00",
        "2025-02-28 00:00",
        "2025-03-31 00:00",
        "2025-04-30 00:00",
        "2025-05-31 00:00",
    ]


def test_a_leap_day_comes_every_month_and_in_every_leap_year() -> None:
    assert f"{edge(_utc('2024-02-29'), 12, 'UTC'):%Y-%m-%d}" == "2025-02-28"
    assert f"{edge(_utc('2024-02-29'), 48, 'UTC'):%Y-%m-%d}" == "2028-02-29"
    assert f"{edge(_utc('2024-01-30'), 1, 'UTC'):%Y-%m-%d}" == "2024-02-29"


def test_the_wall_time_is_kept_over_daylight_saving() -> None:
    # Midnight in Berlin is 23:00 UTC in winter and 22:00 UTC in summer.
    anchor = datetime(2025, 2, 1, tzinfo=ZoneInfo("Europe/Berlin"))
    assert _edges(anchor, "Europe/Berlin", 4) == [
        "2025-01-31 23:00",
        "2025-02-28 23:00",
        "2025-03-31 22:00",
        "2025-04-30 22:00",
    ]
    march = billing_period(anchor, 1, "Europe/Berlin")
    assert march.seconds == 31 * 86_400 - 3_600


def test_a_wall_time_that_does_not_exist_moves_forward_with_the_clock() -> None:
    # 02:30 on 9 March 2025 is skipped in New York: 02:30 of the winter clock, which is 03:30 of the summer one.
    anchor = datetime(2025, 2, 9, 2, 30, tzinfo=ZoneInfo("America/New_York"))
    moved = edge(anchor, 1, "America/New_York").astimezone(ZoneInfo("America/New_York"))
    assert f"{moved:%d %H:%M}" == "09 03:30"
    assert f"{edge(anchor, 2, 'America/New_York').astimezone(ZoneInfo('America/New_York')):%d %H:%M}" == "09 02:30"


def test_of_a_wall_time_that_comes_twice_the_first_is_taken() -> None:
    anchor = datetime(2025, 10, 2, 1, 30, tzinfo=ZoneInfo("America/New_York"))
    twice = edge(anchor, 1, "America/New_York")
    assert twice == _utc("2025-11-02T05:30")  # still in summer time


def test_an_anchor_in_the_second_of_two_equal_hours_is_edge_0() -> None:
    second = _utc("2025-11-02T06:30")  # 01:30 in New York for the second time
    assert edge(second, 0, "America/New_York") == second


def test_half_hours_and_a_day_that_was_left_out() -> None:
    assert _edges(datetime(2025, 1, 1, tzinfo=ZoneInfo("Asia/Kathmandu")), "Asia/Kathmandu", 2) == [
        "2024-12-31 18:15",
        "2025-01-31 18:15",
    ]
    # Samoa had no 30 December 2011.
    anchor = datetime(2011, 11, 30, tzinfo=ZoneInfo("Pacific/Apia"))
    moved = edge(anchor, 1, "Pacific/Apia").astimezone(ZoneInfo("Pacific/Apia"))
    assert f"{moved:%Y-%m-%d}" == "2011-12-31"


def test_edges_before_the_anchor() -> None:
    assert [f"{edge(_utc('2025-03-31'), number, 'UTC'):%Y-%m-%d}" for number in (-13, -1)] == [
        "2024-02-29",
        "2025-02-28",
    ]
