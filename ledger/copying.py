"""Copy decided entries into the journal: COPY in text format, one statement a table.

The entries are decided, formatted and sent in pieces, so that the server reads one while the next is made.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.db import connection

from ledger.rules.entries import EntryDraft

ENTRY_COLUMNS = (
    "id, public_id, book_id, source, idempotency_key, event_type, effective_at, effective_on, occurred_at, period_id, "
    "line_count, reverses_id, customer_key, invoice_ref, grant_ref, stripe_ref, batch_ref, actor_type, actor_id, "
    "reason_code, reason_note, ticket, approval_id, fx_rate, metadata"
)
LINE_COLUMNS = "entry_id, line_no, account_id, unit, side, amount, account_version, balance_after, effective_on"

_PIECE = 100
_NULL = "\\N"
_NO_REFS = "\t\t\t"
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(slots=True)
class Day:
    """When an entry counts: its accounting instant, day and period, and its own date if that was closed."""

    effective_at: datetime
    effective_on: date
    period_id: int
    occurred_at: datetime | None = None

    @property
    def text(self) -> str:
        """Its four columns in the text format of COPY."""
        occurred = _NULL if self.occurred_at is None else self.occurred_at.isoformat()
        return f"{self.effective_at.isoformat()}\t{self.effective_on.isoformat()}\t{occurred}\t{self.period_id}"


@dataclass(slots=True)
class Decided:
    """An entry that is decided: its ids, its day, and its lines in the text format of COPY."""

    id: int
    public_hex: str
    draft: EntryDraft
    day: Day
    lines: str

    @property
    def public_id(self) -> UUID:
        return UUID(hex=self.public_hex)


def ordered_hex(at: datetime, count: int) -> Iterator[str]:
    """Random UUIDs (version 7), as hexadecimal digits, that sort by ``at``: their index grows at one end."""
    head = f"{int(at.timestamp() * 1000) & ((1 << 48) - 1):012x}7"
    digits = os.urandom(10 * count).hex()
    for start in range(0, 20 * count, 20):
        variant = "89ab"[int(digits[start + 3], 16) & 3]
        yield head + digits[start : start + 3] + variant + digits[start + 4 : start + 19]


def copy_in(book_id: int, rows: Iterable[Decided]) -> list[Decided]:
    """Write them and return them. Database errors come as Django's.

    ``rows`` may be decided while they are asked for: the server reads one piece while the next is decided.
    """
    written: list[Decided] = []
    remaining = iter(rows)
    with connection.cursor() as cursor, connection.wrap_database_errors:
        with cursor.copy(f"COPY ledger_entry ({ENTRY_COLUMNS}) FROM STDIN") as copy:
            while piece := list(islice(remaining, _PIECE)):
                copy.write(entry_text(book_id, piece))
                written += piece
        with cursor.copy(f"COPY ledger_line ({LINE_COLUMNS}) FROM STDIN") as copy:
            copy.write(line_text(written))
    return written


def entry_text(book_id: int, rows: Sequence[Decided]) -> str:
    """The entries in the text format of COPY. What an entry shares with the one before it is formatted once."""
    lines = []
    day: Day | None = None
    last: EntryDraft | None = None
    dated = signed = ""
    for row in rows:
        draft = row.draft
        if row.day is not day:
            day, dated = row.day, row.day.text
        if last is None or not _signed_alike(draft, last):
            signed = _signature(draft)
        last = draft
        metadata = clean(json.dumps(dict(draft.metadata))) if draft.metadata else "{}"
        lines.append(
            f"{row.id}\t{row.public_hex}\t{book_id}\t{clean(draft.source)}\t{clean(draft.key)}\t{clean(draft.movement)}\t"
            f"{dated}\t{len(draft.lines)}\t{_null(draft.reverses_id)}\t{clean(draft.customer_key)}\t"
            f"{_refs(draft.refs) if draft.refs else _NO_REFS}\t{signed}\t{metadata}\n"
        )
    return "".join(lines)


def line_text(rows: Sequence[Decided]) -> str:
    """The lines in the text format of COPY."""
    return "".join([row.lines for row in rows])


def _signed_alike(one: EntryDraft, two: EntryDraft) -> bool:
    return (
        one.actor is two.actor
        and one.reason_code == two.reason_code
        and one.reason_note == two.reason_note
        and one.ticket == two.ticket
        and one.approval_id == two.approval_id
        and one.fx_rate == two.fx_rate
    )


def _signature(draft: EntryDraft) -> str:
    return (
        f"{draft.actor.type}\t{clean(draft.actor.id)}\t{clean(draft.reason_code)}\t{clean(draft.reason_note)}\t"
        f"{clean(draft.ticket)}\t{_null(draft.approval_id)}\t{_null(draft.fx_rate)}"
    )


def _refs(refs: Mapping[str, str]) -> str:
    return "\t".join([clean(refs.get(name, "")) for name in ("invoice", "grant", "stripe", "batch")])


def clean(text: str) -> str:
    """A text in the text format of COPY."""
    return text if text.isprintable() and "\\" not in text else text.translate(_ESCAPES)


def _null(value: Any) -> Any:
    return _NULL if value is None else value
