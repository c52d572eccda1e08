"""A customer's credits in one unit: locked, and as the burn-down sees them."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from billing_ops.kit.errors import BillingError
from ledger import holders, opening
from ledger.queries import statement
from ledger.rules.burndown import Purse

Owner = tuple[str, str]
"""customer_key, unit"""


@dataclass(frozen=True, slots=True)
class Source:
    """A grant of which something is available, and what stands on its account."""

    wallet_id: int
    purse: Purse
    public_id: str
    code: str
    """The account of its quantity."""
    net: Decimal
    """What remains of it, holds not taken off."""
    granted: Decimal
    cost: Decimal | None
    rate: Decimal | None
    currency: str
    money_code: str


@dataclass(frozen=True, slots=True)
class Breakage:
    """A booked expiry of a grant that was in force before."""

    wallet_id: int
    effective_at: datetime
    expires_at: datetime
    scope: tuple[str, ...]
    entry_id: int


def lock(customer_key: str, unit: str) -> int:
    """Lock a customer's credits in one unit until the transaction ends, and return the wallet's id."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_lock_wallet(%s, %s)", [customer_key, unit])
        return int(cursor.fetchone()[0])


def lock_all(owners: Collection[Owner]) -> None:
    """Lock the wallets of known holders in the one order: by id, and those that are made now come last."""
    columns = [json.dumps(column) for column in zip(*owners, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT customer_key, unit FROM ledger_lock_wallets(%s, %s)", columns)
        found = {(row[0], row[1]) for row in cursor.fetchall()}
    for customer_key, unit in sorted(set(owners) - found):
        lock(customer_key, unit)


def lock_or_make(owners: Collection[Owner]) -> tuple[dict[Owner, int], dict[Owner, BillingError]]:
    """Lock their wallets in one order; a wallet is made on first use. The second part: who cannot hold that credit.

    ``CREDIT_HOLDER_CHECK`` is asked only for who has no wallet yet.
    """
    columns = [json.dumps(column) for column in zip(*owners, strict=True)]
    with connection.cursor() as cursor:
        cursor.execute("SELECT customer_key, unit, wallet_id FROM ledger_lock_wallets(%s, %s)", columns)
        found = {(row[0], row[1]): int(row[2]) for row in cursor.fetchall()}
    made, unknown = make(set(owners) - found.keys())
    return found | made, unknown


def make(owners: Collection[Owner]) -> tuple[dict[Owner, int], dict[Owner, BillingError]]:
    """Make and lock wallets, for whom ``CREDIT_HOLDER_CHECK`` lets hold credit; the second part: for whom not."""
    made: dict[Owner, int] = {}
    unknown: dict[Owner, BillingError] = {}
    for customer_key, unit in sorted(owners):
        try:
            holders.check(customer_key=customer_key, unit=unit)
            opening.register_units({unit})
        except BillingError as error:
            unknown[customer_key, unit] = error
        else:
            made[customer_key, unit] = lock(customer_key, unit)
    return made, unknown


def sources(wallets: Iterable[int], *, held_too: bool = False) -> list[Source]:
    """The wallets' grants of which something is available; with ``held_too`` those that are wholly held as well."""
    with connection.cursor() as cursor:
        cursor.execute(statement("open_grants"), {"wallets": list(wallets), "held_too": held_too})
        return [source(row) for row in cursor.fetchall()]


def source(row: Sequence[Any]) -> Source:
    """A row of ``ledger/sql/open_grants.sql``."""
    return Source(row[0], Purse(row[1], row[2], row[3], row[4], row[5], tuple(row[6]), row[7]), *row[8:])


def booked_breakage(wallets: Sequence[int], *, since: datetime, at: datetime) -> list[Breakage]:
    """What was booked as expired at ``at`` of grants that a use at ``since`` could have taken."""
    with connection.cursor() as cursor:
        cursor.execute(statement("booked_breakage"), {"wallets": list(wallets), "since": since, "at": at})
        return [Breakage(row[0], row[1], row[2], tuple(row[3]), row[4]) for row in cursor.fetchall()]
