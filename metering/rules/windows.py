"""A period as buckets see it: whole UTC hours in the middle, cut hours at the edges."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from billing_ops.kit.periods import Period

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Cut:
    """``[start, hours_start)`` and ``[hours_end, end)`` are read from raw events, ``[hours_start, hours_end)`` from
    buckets. Without a whole hour, ``hours_start == hours_end == end`` and the first interval is the whole period."""

    start: datetime
    hours_start: datetime
    hours_end: datetime
    end: datetime


def hour_of(instant: datetime) -> datetime:
    """The start of the UTC hour that contains the instant (zones such as +05:45 begin their days within one)."""
    return instant.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def cut(period: Period) -> Cut:
    """Cut a period at the hours that lie entirely within it."""
    start, end = period.start.astimezone(UTC), period.end.astimezone(UTC)
    hours_start = hour_of(start)
    if hours_start < start:
        hours_start += HOUR
    hours_end = hour_of(end)
    if hours_start >= hours_end:
        return Cut(start, end, end, end)
    return Cut(start, hours_start, hours_end, end)
