"""Take usage events in: each identity once, answered after the commit, one outcome an event.

1. Read each event on its own (``rules.envelope``); what cannot be read is *rejected* and sinks nothing else.
2. Within the batch, the first of an identity wins; later ones are duplicates or conflicts of it.
3. One transaction: claim the keys, copy the events whose key was free, add the batch row. A key claimed without its
   event, or an event without its key, cannot be: they commit together.
4. Keys that were taken before are duplicates (same content) or conflicts (kept apart in a table, and listed).
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec
from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from billing_ops.kit.actor import Actor
from metering.models import BackfilledSpan, Batch
from metering.rules.bodies import MAX_EVENTS, TooManyEvents
from metering.rules.envelope import ReadEvent, Window, read
from metering.rules.payload import EventRefusal
from metering.sql import statement

RawEvent = bytes | Mapping[str, Any]
"""An event as JSON bytes, or already decoded (tests, imports); the bytes are the quick way."""

Result = Literal["accepted", "duplicate", "conflict", "rejected"]
_COPY = "COPY metering_event (key, batch_id, occurred_at, subject, type, source, event_id, data, extensions) FROM STDIN"
_COPY_CHUNK = 2_000
_known_months: set[tuple[str, int, int]] = set()


class Outcome(msgspec.Struct, omit_defaults=True, gc=False):
    """What became of one event of a request; ``code`` and ``message`` say why it was not accepted."""

    index: int
    id: str | None
    outcome: Result
    code: str = ""
    message: str = ""


class IngestResult(msgspec.Struct):
    """The outcomes in the order of the events, and how many of each. ``batch`` is null when nothing was new."""

    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    batch: int | None
    outcomes: list[Outcome]


def accept(*, events: Sequence[RawEvent], at: datetime, actor: Actor) -> IngestResult:
    """Store the events that are new; see the module for how. ``at`` is when they arrived.

    Raises :class:`TooManyEvents` beyond 10,000.
    """
    if len(events) > MAX_EVENTS:
        raise TooManyEvents(f"The request has {len(events):,} events.", limit=MAX_EVENTS)
    return _ingest(events, at=at, actor=actor, window=Window.live(at), origin=Batch.Origin.LIVE, label="")


def backfill(*, events: Sequence[RawEvent], at: datetime, actor: Actor, label: str) -> IngestResult:
    """Store late events: anything since the year 2000, with the same identity rule. ``label`` names the import.

    For each subject a :class:`BackfilledSpan` is kept, so that periods of any age that were billed are looked at again.
    Raises :class:`TooManyEvents` beyond 10,000.
    """
    if len(events) > MAX_EVENTS:
        raise TooManyEvents(f"The request has {len(events):,} events.", limit=MAX_EVENTS)
    return _ingest(events, at=at, actor=actor, window=Window.backfill(at), origin=Batch.Origin.BACKFILL, label=label)


def _ingest(
    events: Sequence[RawEvent], *, at: datetime, actor: Actor, window: Window, origin: Batch.Origin, label: str
) -> IngestResult:
    outcomes, fresh, contenders = _read_all(events, at, window)
    batch = None
    if fresh:
        _ensure_months(fresh.values())
        batch = _store(fresh, contenders, outcomes, at=at, actor=actor, origin=origin, label=label)
    count = Counter(outcome.outcome for outcome in outcomes)
    return IngestResult(
        accepted=count["accepted"],
        duplicate=count["duplicate"],
        conflict=count["conflict"],
        rejected=count["rejected"],
        batch=batch,
        outcomes=outcomes,
    )


def _read_all(
    events: Sequence[RawEvent], at: datetime, window: Window
) -> tuple[list[Outcome], dict[str, ReadEvent], list[tuple[int, ReadEvent]]]:
    """The outcomes so far (accepted, until the database says otherwise), the first of each identity, and the others."""
    outcomes: list[Outcome] = []
    fresh: dict[str, ReadEvent] = {}
    contenders: list[tuple[int, ReadEvent]] = []
    for index, event in enumerate(events):
        try:
            one = read(event if isinstance(event, bytes) else msgspec.json.encode(event), at=at, window=window)
        except EventRefusal as refusal:
            outcomes.append(Outcome(index, refusal.event_id, "rejected", refusal.code, refusal.message))
            continue
        outcomes.append(Outcome(index, one.id, "accepted"))
        contenders.append((index, one))
        fresh.setdefault(one.key, one)
    return outcomes, fresh, contenders


def _ensure_months(events: Iterable[ReadEvent]) -> None:
    """Have the partitions of these events' months made, before the transaction and its locks; asked once a process.

    Should a month be missing all the same (a transaction around us was rolled back), its events go to the default
    partition: slower to read, never wrong.
    """
    database = str(connection.settings_dict["NAME"])
    months = {(database, event.occurred_at.year, event.occurred_at.month): event.occurred_at for event in events}
    new = months.keys() - _known_months
    if not new:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT metering_ensure_month(month) FROM unnest(%s) AS month", [[months[month] for month in new]]
        )
    if not connection.in_atomic_block:
        _known_months.update(new)


def _store(
    fresh: dict[str, ReadEvent],
    contenders: list[tuple[int, ReadEvent]],
    outcomes: list[Outcome],
    *,
    at: datetime,
    actor: Actor,
    origin: Batch.Origin,
    label: str,
) -> int | None:
    """Write in one transaction; correct the outcomes; return the id of the batch, if anything was new."""
    with transaction.atomic(), connection.cursor() as cursor:
        batch, known = _claim(cursor, fresh)
        stored = [event for key, event in fresh.items() if key not in known] if known else list(fresh.values())
        if stored:
            _copy(cursor, batch, stored)
            Batch.objects.bulk_create(
                [
                    Batch(
                        pk=batch,
                        recorded_at=at,
                        events=len(stored),
                        first_occurred_at=min(event.occurred_at for event in stored),
                        last_occurred_at=max(event.occurred_at for event in stored),
                        origin=origin,
                        label=label,
                        actor_type=actor.type,
                        actor_id=actor.id,
                    )
                ]
            )
            if origin == Batch.Origin.BACKFILL:
                _note_spans(batch, stored, at)
        if len(stored) < len(contenders):
            _keep_conflicts(cursor, _judge(fresh, contenders, known, outcomes), at)
    return batch if stored else None


def _note_spans(batch: int, stored: Iterable[ReadEvent], at: datetime) -> None:
    """Note from when to when each subject's backfilled usage reaches, for whoever billed that time already."""
    spans: dict[str, BackfilledSpan] = {}
    for event in stored:
        span = spans.setdefault(
            event.subject,
            BackfilledSpan(
                batch_id=batch,
                subject=event.subject,
                first_occurred_at=event.occurred_at,
                last_occurred_at=event.occurred_at,
                recorded_at=at,
            ),
        )
        span.first_occurred_at = min(span.first_occurred_at, event.occurred_at)
        span.last_occurred_at = max(span.last_occurred_at, event.occurred_at)
    BackfilledSpan.objects.bulk_create(spans.values(), batch_size=1_000)


def _claim(cursor: CursorWrapper, fresh: dict[str, ReadEvent]) -> tuple[int, dict[str, str]]:
    """Claim the keys; return the batch's id, and the keys that were taken before with the content that took them."""
    keys = sorted(fresh)
    parameters = {
        "keys": _array(keys),
        "contents": _array([fresh[key].content for key in keys]),
        "occurred_at": _array([fresh[key].instant for key in keys]),
    }
    cursor.execute(statement("claim_keys"), parameters)
    batch, claimed = cursor.fetchone() or (0, 0)
    if claimed == len(keys):
        return batch, {}
    cursor.execute(statement("known_keys"), {"keys": parameters["keys"], "batch": batch})
    return batch, {key.hex: content.hex for key, content in cursor.fetchall()}


def _array(items: Iterable[str]) -> str:
    """An array literal of values that need no quoting (hashes, instants)."""
    return "{" + ",".join(items) + "}"


def _copy(cursor: CursorWrapper, batch: int, events: Iterable[ReadEvent]) -> None:
    """COPY in text: a backslash is the only character of these values that needs escaping (see ``envelope``)."""
    lines: list[str] = []
    with cursor.copy(_COPY) as copy:
        for event in events:
            line = (
                f"{event.key}\t{batch}\t{event.instant}\t{event.subject}\t{event.type}\t"
                f"{event.source}\t{event.id}\t{event.data}\t"
            )
            extensions = "\\N" if event.extensions is None else event.extensions.replace("\\", "\\\\")
            lines.append(f"{line.replace(chr(92), chr(92) * 2) if chr(92) in line else line}{extensions}\n")
            if len(lines) == _COPY_CHUNK:
                copy.write("".join(lines))
                lines.clear()
        copy.write("".join(lines))


def _judge(
    fresh: dict[str, ReadEvent],
    contenders: list[tuple[int, ReadEvent]],
    known: dict[str, str],
    outcomes: list[Outcome],
) -> list[ReadEvent]:
    """Say duplicate or conflict where an identity was taken, before this batch or within it; return the conflicts.

    ``known`` has the keys that were taken before, with the content that took them.
    """
    conflicts: list[ReadEvent] = []
    for index, event in contenders:
        if fresh[event.key] is event and event.key not in known:
            continue
        outcome = outcomes[index]
        if event.content == known.get(event.key, fresh[event.key].content):
            outcome.outcome, outcome.code = "duplicate", "event.duplicate"
            outcome.message = "This event was accepted before; it counts once."
        else:
            outcome.outcome, outcome.code = "conflict", "event.conflict"
            outcome.message = "Another event has this source and id. The first one counts; this one is listed apart."
            conflicts.append(event)
    return conflicts


def _keep_conflicts(cursor: CursorWrapper, conflicts: list[ReadEvent], at: datetime) -> None:
    if not conflicts:
        return
    columns: dict[str, Any] = {
        "keys": [event.key for event in conflicts],
        "contents": [event.content for event in conflicts],
        "sources": [event.source for event in conflicts],
        "event_ids": [event.id for event in conflicts],
        "subjects": [event.subject for event in conflicts],
        "types": [event.type for event in conflicts],
        "occurred_at": [event.occurred_at for event in conflicts],
        "data": [event.data for event in conflicts],
        "extensions": [event.extensions for event in conflicts],
    }
    cursor.execute(statement("keep_conflicts"), {"recorded_at": at, **columns})
