"""How much was used: always current, exact to the microsecond, and with its lag said.

A read is one statement over buckets, cut hours and unfolded batches, so folding never changes a figure. The lag is the
age of the oldest batch that is in no bucket yet: it says how far the aggregator is behind, not that the figure is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import Any

from django.db import connection

from billing_ops.kit.periods import Period
from metering.models import BackfilledSpan, Meter
from metering.rules.aggregation import Verdict
from metering.rules.payload import read_data
from metering.rules.windows import cut
from metering.sql import statement
from metering.unresolved import subjects, unresolved

__all__ = [
    "Arrived",
    "CountedEvent",
    "EventPage",
    "Hour",
    "Lag",
    "Position",
    "Reading",
    "arrived",
    "backfilled",
    "backfilled_subjects",
    "events_of",
    "hourly",
    "lag",
    "plain_quantity",
    "quantity",
    "subjects",
    "unresolved",
]

MAX_PAGE = 1_000
_EXACT = Context(prec=80)


@dataclass(frozen=True, slots=True)
class Reading:
    """A quantity, of how many counted events, as of when.

    ``lag_seconds`` is the age of the oldest unfolded batch; ``watermark`` the highest batch id that was visible.
    """

    quantity: Decimal
    events: int
    as_of: datetime
    lag_seconds: Decimal
    watermark: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """What batches brought of one span of time, and the instant of the last of it."""

    quantity: Decimal
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Hour:
    """What was counted in one UTC hour."""

    hour_start: datetime
    quantity: Decimal
    events: int


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of events ended: the order is (occurred_at, source, event_id)."""

    occurred_at: datetime
    source: str
    event_id: str


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """A raw event that the meter's filters matched: what it counted, or why it counted nothing."""

    source: str
    event_id: str
    occurred_at: datetime
    type: str
    batch: int
    data: dict[str, Any]
    value: Decimal | None
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events in their order, and where to go on; ``next`` is None on the last page."""

    events: list[CountedEvent]
    next: Position | None


@dataclass(frozen=True, slots=True)
class Lag:
    """How far folding is behind. Figures do not depend on it."""

    oldest_unfolded_age_seconds: Decimal
    unfolded_batches: int
    unfolded_events: int
    as_of: datetime


def quantity(*, meter: Meter, subject: str, period: Period, at: datetime) -> Reading:
    """What the subject used of the meter in the period, of everything that is accepted by now (``at``)."""
    edges = cut(period)
    row = _rows(
        "quantity",
        meter=meter.pk,
        subject=subject,
        start=edges.start,
        hours_start=edges.hours_start,
        hours_end=edges.hours_end,
        end=edges.end,
    )[0]
    return Reading(
        quantity=plain_quantity(row[0]), events=row[1], as_of=at, lag_seconds=_age_seconds(row[2], at), watermark=row[3]
    )


def arrived(
    *, meter: Meter, subject: str, period: Period, after: int, through: int, cuts: Sequence[datetime] = ()
) -> list[Arrived]:
    """What the batches after one and up to another (ids) brought of a subject in a period, oldest use first.

    Uses between the same two of the instants ``cuts`` (ascending) are told as one. A batch that commits late, under an
    id below ``after``, is not found: :func:`quantity` has it.
    """
    rows = _rows(
        "arrived",
        meter=meter.pk,
        subject=subject,
        start=period.start,
        end=period.end,
        after=after,
        through=through,
        cuts=list(cuts) or [period.start],
    )
    return [Arrived(plain_quantity(row[0]), row[1]) for row in rows]


def backfilled(*, subject: str) -> list[BackfilledSpan]:
    """From when to when each backfill brought usage of the subject: few rows, however long its history is."""
    return list(BackfilledSpan.objects.filter(subject=subject))


def backfilled_subjects(*, since: datetime) -> set[str]:
    """Whose usage was backfilled after ``since``."""
    return set(BackfilledSpan.objects.filter(recorded_at__gt=since).values_list("subject", flat=True).distinct())


def hourly(*, meter: Meter, subject: str | None, period: Period) -> list[Hour]:
    """The same by UTC hour, of one subject or (``None``) of all; hours without a counted event are left out.

    The hours add up to :func:`quantity`: a cut hour has only what lies within the period. Of all subjects, cut hours
    are read without an index that fits: give whole hours.
    """
    edges = cut(period)
    rows = _rows(
        "hourly",
        meter=meter.pk,
        subject=subject,
        start=edges.start,
        hours_start=edges.hours_start,
        hours_end=edges.hours_end,
        end=edges.end,
    )
    return [Hour(hour_start=row[0], quantity=plain_quantity(row[1]), events=row[2]) for row in rows]


def events_of(
    *, meter: Meter, subject: str, period: Period, after: Position | None = None, limit: int = 100
) -> EventPage:
    """A page of the raw events behind a quantity, oldest first, at most 1,000.

    Events that the filters leave out are not listed. The values of all pages add up to :func:`quantity`.
    """
    limit = max(1, min(limit, MAX_PAGE))
    rows = _rows(
        "events_of",
        meter=meter.pk,
        subject=subject,
        start=period.start,
        end=period.end,
        after_time=after and after.occurred_at,
        after_source=after and after.source,
        after_id=after and after.event_id,
        limit=limit + 1,
    )
    events = [_counted(row) for row in rows[:limit]]
    if len(rows) <= limit:
        return EventPage(events=events, next=None)
    last = events[-1]
    return EventPage(events=events, next=Position(last.occurred_at, last.source, last.event_id))


def lag(*, at: datetime) -> Lag:
    """How much is accepted and not folded yet."""
    batches, events, oldest = _rows("lag")[0]
    return Lag(
        oldest_unfolded_age_seconds=_age_seconds(oldest, at), unfolded_batches=batches, unfolded_events=events, as_of=at
    )


def counted_until() -> datetime | None:
    """Since when accepted usage waits to be counted; None when none waits. What was recorded before is in buckets."""
    oldest: datetime | None = _rows("lag")[0][2]
    return oldest


def plain_quantity(value: Decimal) -> Decimal:
    """The same number without the zeros of its column: 374, not 374.000000000000."""
    whole = value.to_integral_value()
    return whole if value == whole else _EXACT.normalize(value)


def _counted(row: tuple[Any, ...]) -> CountedEvent:
    source, event_id, occurred_at, kind, batch, data, value, missing = row
    verdict: Verdict = "counted" if value is not None else "missing" if missing else "not_numeric"
    value = None if value is None else plain_quantity(value)
    return CountedEvent(source, event_id, occurred_at, kind, batch, read_data(data), value, verdict)


def _age_seconds(since: datetime | None, at: datetime) -> Decimal:
    """Seconds from ``since`` to ``at`` with three decimals; 0 for nothing, or for a clock that runs behind."""
    if since is None or since >= at:
        return Decimal(0)
    return Decimal((at - since) // timedelta(milliseconds=1)).scaleb(-3)


def _rows(name: str, **parameters: object) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement(name), parameters)  # type: ignore[arg-type]  # the stubs do not know the adapters
        rows: list[tuple[Any, ...]] = cursor.fetchall()
        return rows
