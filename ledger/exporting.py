"""The general ledger of a range of days as a file, one row a line, with control totals that equal the trial balance's.

Rows come from the lines, control totals are added up from the rows as they are written, and both are compared with the
movement of the trial balance in the same snapshot. A file that does not add up is removed and the export refused. Rows
pass in pieces: the size of the range does not matter to memory.
"""

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import pyarrow as pa
import pyarrow.parquet as pq
from django.db import connection

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError, InvalidInput
from billing_ops.kit.money import plain
from ledger import balances
from ledger.models import Account
from ledger.queries import snapshot, statement
from ledger.rules.cells import harmless

Format = Literal["csv", "parquet"]
Row = Sequence[Any]

PIECE: Final = 10_000
"""Rows that are in memory at once."""

_INSTANT, _AMOUNT = pa.timestamp("us", tz="UTC"), pa.decimal128(28, 12)
SCHEMA: Final = pa.schema(
    [
        ("entry_id", pa.string()),
        ("line", pa.int16()),
        ("event_type", pa.string()),
        ("event", pa.string()),
        ("effective_on", pa.date32()),
        ("effective_at", _INSTANT),
        ("occurred_at", _INSTANT),
        ("recorded_at", _INSTANT),
        ("account_code", pa.string()),
        ("account_name", pa.string()),
        ("customer", pa.string()),
        ("dimension", pa.string()),
        ("unit", pa.string()),
        ("debit", _AMOUNT),
        ("credit", _AMOUNT),
        ("invoice", pa.string()),
        ("grant", pa.string()),
        ("stripe", pa.string()),
        ("batch", pa.string()),
        ("actor_type", pa.string()),
        ("actor_id", pa.string()),
        ("reason_code", pa.string()),
        ("reason_note", pa.string()),
        ("ticket", pa.string()),
        ("approval_id", pa.int64()),
        ("reversal_of", pa.string()),
        ("fx_rate", _AMOUNT),
        ("source", pa.string()),
        ("idempotency_key", pa.string()),
    ]
)
_CODE, _UNIT, _DEBIT, _CREDIT = (SCHEMA.get_field_index(name) for name in ("account_code", "unit", "debit", "credit"))


class ExportDiffers(BillingError):
    """The rows of an export do not add up to the trial balance: one of the two is wrong."""

    code = "ledger.export_differs"
    http_status = 500
    kept = "The file was removed; nothing else was changed."
    remedy = "Run `manage.py verify_ledger`, which names what is wrong, and do not close the period before it is found."


@dataclass(frozen=True, slots=True)
class Control:
    """What the rows of one account code in one unit add up to."""

    unit: str
    code: str
    rows: int
    debits: Decimal
    credits: Decimal


@dataclass(frozen=True, slots=True)
class Exported:
    """A file that adds up: what is in it and its SHA-256. ``until`` is the day after its last one."""

    path: Path
    format: Format
    since: date
    until: date
    rows: int
    sha256: str
    controls: tuple[Control, ...]

    def manifest(self) -> str:
        """All of that as JSON, to keep beside the file; amounts are text."""
        said = {**asdict(self), "path": self.path.name}
        return json.dumps(
            said, default=lambda value: plain(value) if isinstance(value, Decimal) else str(value), indent=1
        )


def export(*, path: Path, since: date, until: date, form: Format, at: datetime, actor: Actor) -> Exported:
    """Write the lines that count for days from ``since`` to before ``until`` to a file, and record who took them.

    Raises :class:`ExportDiffers` if they do not add up to the trial balance's movement; then there is no file.
    """
    if until <= since:
        raise InvalidInput("until: the range ends before it begins.", field="until")
    try:
        with snapshot():
            sums = _write(path, since, until, form)
            _compare(sums, _movement(since, until))
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    done = Exported(path, form, since, until, sum(one.rows for one in sums), _digest(path), tuple(sums))
    audit.record(
        at=at,
        actor=actor,
        action="ledger.exported",
        subject_type="ledger",
        subject_key=f"{since}:{until}",
        summary=f"General ledger from {since} to before {until}: {done.rows} rows as {form}",
        changes={"rows": [None, done.rows], "sha256": [None, done.sha256]},
    )
    return done


def rows_of(*, since: date, until: date) -> int:
    """How many lines count for days from ``since`` to before ``until``, by the roll-ups and their tail."""
    with snapshot():
        return sum(one.rows for one in _movement(since, until))


def _said(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def _write(path: Path, since: date, until: date, form: Format) -> list[Control]:
    """Write the rows; what they add up to, by unit and code."""
    sums: dict[tuple[str, str], list[Any]] = defaultdict(lambda: [0, Decimal(0), Decimal(0)])
    with _WRITERS[form](path) as write, connection.chunked_cursor() as cursor:
        cursor.execute(statement("export_lines"), {"since": since, "until": until})
        while rows := cursor.fetchmany(PIECE):
            for row in rows:
                total = sums[row[_UNIT], row[_CODE]]
                total[0] += 1
                total[1] += row[_DEBIT] or 0
                total[2] += row[_CREDIT] or 0
            write(rows)
    return [Control(unit, code, *total) for (unit, code), total in sorted(sums.items())]


def _movement(since: date, until: date) -> list[Control]:
    """What the trial balance says of that range."""
    end = datetime.combine(until, time(), balances.zone_of_books())
    units = sorted(Account.objects.values_list("unit_id", flat=True).distinct())
    return [
        Control(unit, line.code, line.lines, line.debits, line.credits)
        for unit in units
        for line in balances.trial_balance(unit=unit, since=since, until=end)
    ]


def _compare(rows: list[Control], books: list[Control]) -> None:
    differing = sorted({(one.unit, one.code) for one in set(rows) ^ set(books)})
    if differing:
        raise ExportDiffers(
            f"The rows do not add up to the trial balance: {', '.join(' '.join(one) for one in differing)}.",
            differing=[list(one) for one in differing],
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _csv(path: Path) -> Iterator[Callable[[Sequence[Row]], None]]:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(SCHEMA.names)
        yield lambda rows: writer.writerows([[harmless(cell) for cell in row] for row in rows])


@contextmanager
def _parquet(path: Path) -> Iterator[Callable[[Sequence[Row]], None]]:
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:

        def write(rows: Sequence[Row]) -> None:
            columns = [
                pa.array(column, field.type) for column, field in zip(zip(*rows, strict=True), SCHEMA, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema=SCHEMA))

        yield write


_WRITERS: Final = {"csv": _csv, "parquet": _parquet}
