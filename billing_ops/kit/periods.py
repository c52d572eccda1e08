"""Half-open periods of time and the calendar of billing anchors.

A period is ``[start, end)``: an instant at ``end`` belongs to the next one. Instants are aware and in UTC; months are
calendar months in a billing time zone. A billing period is computed once and then stored, never recomputed.
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True, order=True)
class Period:
    """A half-open interval ``[start, end)`` of aware instants."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError("a period has aware instants")
        if self.end <= self.start:
            raise ValueError("a period ends after it starts")

    def __contains__(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    @property
    def seconds(self) -> int:
        """Length in whole seconds."""
        return int((self.end - self.start) / timedelta(seconds=1))


def add_months(local: datetime, months: int, *, anchor_day: int) -> datetime:
    """The same wall time ``months`` later, on ``anchor_day`` or the month's last day if the month is shorter."""
    index = local.year * 12 + local.month - 1 + months
    year, month = divmod(index, 12)
    day = min(anchor_day, calendar.monthrange(year, month + 1)[1])
    return local.replace(year=year, month=month + 1, day=day, fold=0)


def edge(anchor: datetime, number: int, zone: str) -> datetime:
    """Start of billing period ``number`` (0 is the one that starts at ``anchor``), in UTC.

    Counted from the anchor, not from the last edge, so day 31 clamps to the month's last day and comes back to 31. The
    wall time is kept over daylight-saving changes; a wall time that does not exist moves forward with the clock, and of
    one that comes twice the first is taken. The anchor itself is edge 0 even when it is such a second time.
    """
    if number == 0:
        return anchor.astimezone(UTC)
    local = anchor.astimezone(ZoneInfo(zone))
    moved = add_months(local, number, anchor_day=local.day)
    return moved.astimezone(UTC)


def billing_period(anchor: datetime, number: int, zone: str) -> Period:
    """Billing period ``number`` of an anniversary anchor in the billing time zone."""
    return Period(edge(anchor, number, zone), edge(anchor, number + 1, zone))
