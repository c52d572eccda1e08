"""Look at raw events: find them, and tell what became of one. Conflicts and batches are listed here, too."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models import QuerySet

from billing_ops.kit.periods import Period
from metering.models import Batch, Conflict, Source
from metering.rules.aggregation import Verdict
from metering.rules.envelope import BACKFILL_START, key_of
from metering.rules.payload import read_data
from metering.rules.windows import hour_of
from metering.sql import statement
from metering.usage import plain_quantity

_FIRST, _LAST = BACKFILL_START, datetime(2100, 1, 1, tzinfo=UTC)
_SHORTEST = timedelta(minutes=1)

MAX_SOURCES = 5_000
"""An id without a source is looked up in at most so many sources."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A raw event as it was accepted."""

    key: UUID
    source: str
    event_id: str
    occurred_at: datetime
    subject: str
    type: str
    batch: int
    data: dict[str, Any]
    extensions: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one meter makes of one event: the value and the bucket that has it (None: not folded yet), or why not."""

    meter_key: str
    verdict: Verdict
    value: Decimal | None
    bucket_hour: datetime | None


@dataclass(frozen=True, slots=True)
class Story:
    """One event, the batch it came in, every meter's finding, and what was refused under its identity.

    Without a finding no meter listens to its type.
    """

    event: StoredEvent
    batch: Batch
    findings: list[Finding]
    conflicts: list[Conflict]


def find(
    *,
    subject: str | None = None,
    type: str | None = None,
    period: Period | None = None,
    before: tuple[datetime, UUID] | None = None,
    limit: int = 50,
) -> list[StoredEvent]:
    """Events newest first, at most ``limit``; go on with ``before`` = (occurred_at, key) of the last one.

    A subject has an index. Without one, time is walked backwards in spans that grow until there are enough events, so
    a rare type takes as long as reading the period takes.
    """
    start, end = (period.start, period.end) if period else (_FIRST, _LAST)
    if subject is not None:
        return _span(subject=subject, type=type, start=start, end=end, before=before, limit=limit)
    if before is not None:
        end = min(end, before[0] + timedelta(microseconds=1))
    found: list[StoredEvent] = []
    lower, length = max(start, min(end, _arrived_last()) - _SHORTEST), _SHORTEST
    while True:
        found += _span(subject=None, type=type, start=lower, end=end, before=before, limit=limit - len(found))
        if len(found) == limit or lower <= start:
            return found
        length *= 8
        lower, end = max(start, lower - length), lower


def _span(
    *,
    subject: str | None,
    type: str | None,
    start: datetime,
    end: datetime,
    before: tuple[datetime, UUID] | None,
    limit: int,
) -> list[StoredEvent]:
    return _events(
        "find_events",
        subject=subject,
        type=type,
        start=start,
        end=end,
        before_time=before and before[0],
        before_key=before and before[1],
        limit=limit,
    )


def _arrived_last() -> datetime:
    """About when the newest event happened: where to begin walking backwards."""
    newest = Batch.objects.order_by("-pk").values_list("last_occurred_at", flat=True).first()
    return newest or _FIRST


def find_by_id(*, event_id: str, source: str | None = None) -> list[StoredEvent]:
    """The events of that id, of one source or of every source that was folded: by key, whatever the size of history."""
    sources = [source] if source is not None else Source.objects.values_list("source", flat=True)[:MAX_SOURCES]
    return _events("find_keys", keys=[key_of(one, event_id) for one in sources])


def story(event: StoredEvent) -> Story:
    """What became of an event of :func:`find` or :func:`find_by_id`."""
    with connection.cursor() as cursor:
        cursor.execute(statement("story"), {"key": event.key, "batch": event.batch, "occurred_at": event.occurred_at})
        findings = [_finding(row, event) for row in cursor.fetchall()]
    return Story(
        event=event,
        batch=Batch.objects.select_related("fold").get(pk=event.batch),
        findings=findings,
        conflicts=list(Conflict.objects.filter(key=event.key)),
    )


def conflicts(*, subject: str | None = None) -> QuerySet[Conflict]:
    """What was kept out because its identity has another content, newest first."""
    rows = Conflict.objects.order_by("-pk")
    return rows if subject is None else rows.filter(subject=subject)


def batches() -> QuerySet[Batch]:
    """What requests brought, newest first, with the fold that took them."""
    return Batch.objects.select_related("fold").order_by("-pk")


def _finding(row: tuple[Any, ...], event: StoredEvent) -> Finding:
    meter_key, matched, value, missing, folded = row
    hour = hour_of(event.occurred_at) if folded else None
    if not matched:
        return Finding(meter_key, "filtered", None, None)
    if value is None:
        return Finding(meter_key, "missing" if missing else "not_numeric", None, hour)
    return Finding(meter_key, "counted", plain_quantity(value), hour)


def _events(name: str, **parameters: Any) -> list[StoredEvent]:
    with connection.cursor() as cursor:
        cursor.execute(statement(name), parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return [_stored(*row) for row in rows]


def _stored(*row: Any) -> StoredEvent:
    *attributes, data, extensions = row
    key, source, event_id, occurred_at, subject, kind, batch = attributes
    return StoredEvent(
        key=key,
        source=source,
        event_id=event_id,
        occurred_at=occurred_at,
        subject=subject,
        type=kind,
        batch=batch,
        data=read_data(data),
        extensions={} if extensions is None else read_data(extensions),
    )
