"""Fold batches of events into hourly buckets, each batch into each meter exactly once, by any number of aggregators.

A *fold* is one transaction: it claims unfolded batches (``SKIP LOCKED``), adds them to the buckets of every meter and
marks them. A batch that commits late is simply found later; one that is claimed by an aggregator that dies is unfolded
again.

A meter that is defined late has to take the batches of earlier folds too. Folding holds an advisory lock shared,
defining a meter takes it exclusively (``defining.define``). So no fold is under way while a meter is born, and the
folds that did not see the meter are exactly those with an id up to the one it notes (``MeterProgress.after_fold``):
a fixed set of batches, which *catching up* folds for this meter alone in the order of their ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection, transaction
from django.db.backends.utils import CursorWrapper

from metering.models import Batch, Fold, MeterProgress
from metering.sql import statement

FOLD_EVENTS = 50_000
"""About how many events one fold takes: enough to be quick, few enough to commit within a second or two."""

FOLD_LOCK = 7_262_100
"""Advisory lock: shared by folds, exclusive for the birth of a meter."""

_FETCH = 16
_PLAN = """
    SELECT set_config('enable_sort', 'off', true),
           set_config('work_mem', '64MB', true),
           set_config('jit', 'off', true)
"""
"""For the transaction: nobody knows how many groups fresh batches have, so hash them instead of sorting the events."""

_Claim = tuple[int, int]  # a batch: its id and how many events it has


@dataclass(frozen=True, slots=True)
class FoldResult:
    """What one step did: batches and events newly folded, and batches that late meters caught up with."""

    batches: int
    events: int
    caught_up: int

    @property
    def worked(self) -> bool:
        """Whether there was anything to do; while there was, there may be more."""
        return bool(self.batches or self.caught_up)


def advance(*, at: datetime, limit: int = FOLD_EVENTS) -> FoldResult:
    """Fold the oldest unfolded batches, about ``limit`` events; without any, let one late meter catch up as much.

    One transaction. Call it again while it ``worked``.
    """
    batches, events = _fold(at, limit)
    caught_up = 0 if batches else _catch_up(at, limit)
    return FoldResult(batches=batches, events=events, caught_up=caught_up)


def _fold(at: datetime, limit: int) -> tuple[int, int]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [FOLD_LOCK])
        claimed = _claim(cursor, limit)
        if not claimed:
            return 0, 0
        batches, events = len(claimed), sum(events for _, events in claimed)
        fold = Fold.objects.create(folded_at=at, batches=batches, events=events)
        cursor.execute(_PLAN)
        _add(cursor, "fold_streams", claimed)
        _add(cursor, "fold_buckets", claimed)
        Batch.objects.filter(pk__in=[batch for batch, _ in claimed]).update(fold=fold)
        return batches, events


def _claim(cursor: CursorWrapper, limit: int) -> list[_Claim]:
    claimed: list[_Claim] = []
    cursor.execute(statement("claim_batches"))
    while sum(events for _, events in claimed) < limit:
        cursor.execute("FETCH %s FROM metering_claim", [_FETCH])
        fetched = cursor.fetchall()
        claimed += fetched
        if len(fetched) < _FETCH:
            break
    cursor.execute("CLOSE metering_claim")
    return claimed


def _add(cursor: CursorWrapper, name: str, batches: Sequence[_Claim], meter: int | None = None) -> None:
    cursor.execute(statement(name), {"batches": [batch for batch, _ in batches], "meter": meter})


def _catch_up(at: datetime, limit: int) -> int:
    """Fold the next batches that one late meter has not seen, and note how far it is; return how many."""
    with transaction.atomic(), connection.cursor() as cursor:
        late = MeterProgress.objects.select_for_update(skip_locked=True).filter(caught_up_at=None)
        progress = late.order_by("meter_id").first()
        if progress is None:
            return 0
        candidates = Batch.objects.filter(pk__gt=progress.cursor, fold__lte=progress.after_fold).order_by("pk")
        rows = candidates.values_list("pk", "events")
        chunk: list[_Claim] = []
        events = 0
        for row in rows[: max(1, limit // 100)]:
            chunk.append(row)
            events += row[1]
            if events >= limit:
                break
        if chunk:
            cursor.execute(_PLAN)
            _add(cursor, "fold_buckets", chunk, progress.meter_id)
            MeterProgress.objects.filter(pk=progress.pk).update(cursor=chunk[-1][0])
        else:
            MeterProgress.objects.filter(pk=progress.pk).update(caught_up_at=at)
        return max(1, len(chunk))
