"""Open what a posting needs: accounts, units and the period of its day. Safe when many do it at once."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from django.db import connection

from billing_ops.kit.errors import Conflict, InvalidInput
from billing_ops.kit.money import BadCurrency, exponent
from ledger.rules.entries import LineSpec

Key = tuple[str, str, str, str]
"""code, customer_key, dimension, unit"""


class UnknownUnit(InvalidInput):
    """A unit that is neither registered nor a currency of ISO 4217."""

    code = "ledger.unknown_unit"


class PeriodClosed(Conflict):
    """The books of that day are closed."""

    code = "ledger.period_closed"
    remedy = "Date it to an open day, or ask finance to open the period."


@dataclass(slots=True)
class Place:
    """An account as the door needs it."""

    id: int
    normal_side: int
    materialised: bool
    net: Decimal
    held: Decimal | None
    floor: Decimal | None
    version: int


def key_of(line: LineSpec) -> Key:
    """What an account is found by, within its book."""
    return (line.code, line.customer_key, line.dimension, line.unit)


@dataclass(frozen=True, slots=True)
class OneBook:
    """A book as the door needs it."""

    pk: int
    timezone: str


def default_book() -> OneBook:
    """The one book that every posting goes to until there are more."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT id, timezone FROM ledger_book WHERE key = 'main'")
        return OneBook(*cursor.fetchone())


def enter_periods(book: OneBook, days: Iterable[date]) -> dict[date, tuple[int, str]]:
    """Each day's period (id, status), opened as its calendar month if there is none; it cannot be closed meanwhile."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT day, period_id, status FROM ledger_enter_periods(%s, %s::date[])", [book.pk, sorted(set(days))]
        )
        return {day: (period_id, status) for day, period_id, status in cursor.fetchall()}


_LOCK = "SELECT * FROM ledger_lock_accounts(%s, %s, %s, %s, %s)"

_OPEN = """
INSERT INTO ledger_account (public_id, book_id, code, customer_key, dimension, unit)
SELECT gen_random_uuid(), %s, code, customer_key, dimension, unit
  FROM ROWS FROM (json_array_elements_text(%s::json), json_array_elements_text(%s::json),
                  json_array_elements_text(%s::json), json_array_elements_text(%s::json))
       AS k (code, customer_key, dimension, unit)
 ORDER BY customer_key, code, dimension, unit
ON CONFLICT DO NOTHING
"""


def lock_accounts(book: OneBook, keys: Collection[Key]) -> dict[Key, Place]:
    """The account of each key, made now if it is new; their stored balances are locked in the order of the ids."""
    found = _lock(book, keys)
    missing = [key for key in keys if key not in found]
    if missing:
        register_units({key[3] for key in missing})
        with connection.cursor() as cursor:
            cursor.execute(_OPEN, [book.pk, *_columns(missing)])
        found = _lock(book, keys)
    return found


def _lock(book: OneBook, keys: Collection[Key]) -> dict[Key, Place]:
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [book.pk, *_columns(keys)])
        return {row[:4]: Place(*row[4:]) for row in cursor.fetchall()}


def _columns(keys: Collection[Key]) -> list[str]:
    """The parts of the keys as four JSON arrays: cheaper to make and to read than arrays of text."""
    return [json.dumps(column) for column in zip(*keys, strict=True)] if keys else ["[]"] * 4


def register_units(codes: set[str]) -> None:
    """Make a unit of each currency that is not there yet; another code raises :class:`UnknownUnit`."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT code FROM ledger_unit WHERE code = ANY (%s)", [sorted(codes)])
        for code in sorted(codes - {row[0] for row in cursor.fetchall()}):
            try:
                scale = exponent(code)
            except BadCurrency:
                raise UnknownUnit(
                    f"“{code}” is neither a currency nor a registered credit unit.", field="unit", unit=code
                ) from None
            cursor.execute(
                "INSERT INTO ledger_unit (code, kind, posting_scale) VALUES (%s, 'fiat', %s) ON CONFLICT DO NOTHING",
                [code, scale],
            )
