"""Copy decided entries and their lines into the journal: COPY in text format, one statement a table."""

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID

from django.db import connection

from ledger.models import Book
from ledger.rules.entries import EntryDraft, LineSpec


@dataclass(frozen=True, slots=True)
class Day:
    """When an entry counts: its accounting instant, day and period, and its own date if that was closed."""

    effective_at: datetime
    effective_on: date
    period_id: int
    occurred_at: datetime | None


@dataclass(frozen=True, slots=True)
class LineRow:
    """A line with its account, and its place in that account if it keeps a balance."""

    account_id: int
    line: LineSpec
    version: int | None
    balance_after: Decimal | None


@dataclass(frozen=True, slots=True)
class Row:
    """An entry that is decided."""

    draft: EntryDraft
    day: Day
    lines: Sequence[LineRow]


Numbered = tuple[int, UUID, Row]

_ENTRY_COLUMNS = (
    "id, public_id, book_id, source, idempotency_key, event_type, effective_at, effective_on, occurred_at, period_id, "
    "line_count, reverses_id, customer_key, invoice_ref, grant_ref, stripe_ref, batch_ref, actor_type, actor_id, "
    "reason_code, reason_note, ticket, approval_id, fx_rate, metadata"
)
_LINE_COLUMNS = "entry_id, line_no, account_id, unit, side, amount, account_version, balance_after, effective_on"

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def ordered_uuid(at: datetime) -> UUID:
    """A random UUID (version 7) that sorts by ``at``, so that its index grows at one end."""
    milliseconds = int(at.timestamp() * 1000) & ((1 << 48) - 1)
    random = int.from_bytes(os.urandom(10), "big")
    return UUID(int=milliseconds << 80 | 7 << 76 | (random >> 68 & 0xFFF) << 64 | 2 << 62 | random & ((1 << 62) - 1))


def copy_in(book: Book, rows: Sequence[Numbered]) -> None:
    """Write them. Database errors come as Django's."""
    with connection.cursor() as cursor, connection.wrap_database_errors:
        with cursor.copy(f"COPY ledger_entry ({_ENTRY_COLUMNS}) FROM STDIN") as copy:
            copy.write(entry_text(book.pk, rows))
        with cursor.copy(f"COPY ledger_line ({_LINE_COLUMNS}) FROM STDIN") as copy:
            copy.write(line_text(rows))


def entry_text(book_id: int, rows: Iterable[Numbered]) -> str:
    """The entries in the text format of COPY."""
    return "".join([_entry(book_id, entry_id, public_id, row) for entry_id, public_id, row in rows])


def _entry(book_id: int, entry_id: int, public_id: UUID, row: Row) -> str:
    draft, day, refs = row.draft, row.day, row.draft.refs
    free = (
        draft.customer_key,
        refs.get("invoice", ""),
        refs.get("grant", ""),
        refs.get("stripe", ""),
        refs.get("batch", ""),
        draft.actor.type,
        draft.actor.id,
        draft.reason_code,
        draft.reason_note,
        draft.ticket,
    )
    texts = "\t".join([text.translate(_ESCAPES) if text else "" for text in free])
    metadata = json.dumps(dict(draft.metadata)).translate(_ESCAPES) if draft.metadata else "{}"
    return (
        f"{entry_id}\t{public_id}\t{book_id}\t{draft.source.translate(_ESCAPES)}\t{draft.key.translate(_ESCAPES)}\t"
        f"{draft.movement.translate(_ESCAPES)}\t{day.effective_at.isoformat()}\t{day.effective_on.isoformat()}\t"
        f"{_null(day.occurred_at and day.occurred_at.isoformat())}\t{day.period_id}\t{len(row.lines)}\t"
        f"{_null(draft.reverses_id)}\t{texts}\t{_null(draft.approval_id)}\t{_null(draft.fx_rate)}\t{metadata}\n"
    )


def line_text(rows: Iterable[Numbered]) -> str:
    """The lines in the text format of COPY."""
    return "".join(
        [
            f"{entry_id}\t{number}\t{at.account_id}\t{at.line.unit}\t{at.line.sign}\t{at.line.amount}\t"
            f"{_null(at.version)}\t{_null(at.balance_after)}\t{row.day.effective_on.isoformat()}\n"
            for entry_id, _, row in rows
            for number, at in enumerate(row.lines, 1)
        ]
    )


def _null(value: object) -> object:
    return "\\N" if value is None else value
