"""Statements: what stood at the beginning, each line with what it left, what stands at the end.

Lines come by the day for which they count and, within it, in the order in which they were posted, as a bank's do. A
page is found by the position of its first line, and what stood before it is computed anew for each page: no page shows
a balance that an entry of meanwhile has made untrue.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal
from uuid import UUID

from django.db import connection

from billing_ops.kit.errors import InvalidInput
from ledger import balances
from ledger.models import Account
from ledger.queries import snapshot, statement
from ledger.rules.chart import BY_CODE
from ledger.rules.routes import BY_TYPE

MAX_PAGE: Final = 500

Scope = Literal["due", "credits", "all"]
"""What of a customer: what is invoiced and not paid, less the customer's own money; credits that remain; everything."""


@dataclass(frozen=True, slots=True)
class Position:
    """Where a line stands in the order of statements."""

    day: date
    entry: int
    line: int


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line, and the balance that it left."""

    position: Position
    account: Account
    entry_id: UUID
    event_type: str
    label: str
    effective_at: datetime
    occurred_at: datetime | None
    recorded_at: datetime
    refs: Mapping[str, str]
    reason_code: str
    ticket: str
    actor_type: str
    actor_id: str
    reverses: UUID | None
    reversed_by: UUID | None
    debit: Decimal | None
    credit: Decimal | None
    balance: Decimal

    @property
    def late(self) -> bool:
        """It was told when its own period was closed: it counts for the first open day and keeps its own date."""
        return self.occurred_at is not None


@dataclass(frozen=True, slots=True)
class Statement:
    """A page of a statement. ``side`` is +1 when debits raise the balance, -1 when credits do.

    ``opening`` and ``closing`` are those of the whole range; ``brought_forward`` stands before this page's first line.
    """

    unit: str
    side: int
    opening: Decimal
    brought_forward: Decimal
    lines: tuple[StatementLine, ...]
    closing: Decimal
    next_after: Position | None


@dataclass(frozen=True, slots=True)
class Range:
    """Which lines: counting for days from ``since`` to before ``until``, written before ``known``; None is no limit."""

    since: date | None = None
    until: date | None = None
    known: datetime | None = None


EVERYTHING: Final = Range()


def of_account(
    *, account: Account, within: Range = EVERYTHING, after: Position | None = None, limit: int = 50
) -> Statement:
    """A page of an account's statement, on its normal side. ``after`` is the last position of the page before."""
    return _statement([account], account.normal_side, account.unit_id, within=within, after=after, limit=limit)


def of_customer(
    *,
    customer_key: str,
    unit: str,
    scope: Scope = "due",
    within: Range = EVERYTHING,
    after: Position | None = None,
    limit: int = 50,
) -> Statement:
    """A page of a customer's statement over the accounts of that scope in one unit.

    ``due`` and ``all`` are what the customer owes (debits raise it), ``credits`` what remains of them.
    """
    rows = Account.objects.filter(customer_key=customer_key, unit=unit, materialised=True).select_related("code")
    accounts = [row for row in rows.order_by("id") if _belongs(row, scope)]
    side = -1 if scope == "credits" else 1
    return _statement(accounts, side, unit, within=within, after=after, limit=limit)


def stored_balance(*, customer_key: str, unit: str, scope: Scope = "due") -> Decimal:
    """What the stored balances say to the end of :func:`of_customer` without any limit."""
    rows = Account.objects.filter(customer_key=customer_key, unit=unit, materialised=True).select_related("balance")
    side = -1 if scope == "credits" else 1
    return sum((side * row.normal_side * row.balance.net for row in rows if _belongs(row, scope)), Decimal(0))


def _belongs(account: Account, scope: Scope) -> bool:
    if scope == "due":
        return account.code_id in ("1100", "2110")
    if scope == "credits":
        return account.for_grant
    return not account.memo


def _statement(
    accounts: Sequence[Account], side: int, unit: str, *, within: Range, after: Position | None, limit: int
) -> Statement:
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit: a page has 1 to {MAX_PAGE} lines.", field="limit")
    if within.since is not None and within.until is not None and within.until < within.since:
        raise InvalidInput("until: the range ends before it begins.", field="until")
    by_id = {account.pk: account for account in accounts}
    with snapshot():
        opening = side * _net(by_id, within.since, None, within.known) if within.since else Decimal(0)
        closing = side * _net(by_id, within.until, None, within.known)
        brought = opening if after is None else side * _net(by_id, after.day, after, within.known)
        rows = _rows(list(by_id), within, after, limit + 1)
    lines = []
    balance = brought
    for row in rows[:limit]:
        balance += side * row["side"] * row["amount"]
        lines.append(_line(row, by_id[row["account_id"]], balance))
    following = lines[-1].position if len(rows) > limit else None
    return Statement(unit, side, opening, brought, tuple(lines), closing, following)


def _net(accounts: Mapping[int, Account], day: date | None, after: Position | None, known: datetime | None) -> Decimal:
    """What stands before a day, or up to and with a position, on the debit side."""
    ids = list(accounts)
    if day is None:
        found = balances.sums_of(accounts=ids, known=known)
    elif after is None:
        found = balances.sums_before(accounts=ids, day=day, known=known)
    else:
        found = balances.sums_before(accounts=ids, day=day, entry=after.entry, line=after.line + 1, known=known)
    return sum((one.net for one in found.values()), Decimal(0))


def _rows(accounts: Sequence[int], within: Range, after: Position | None, limit: int) -> list[dict[str, Any]]:
    asked = {
        "accounts": list(accounts),
        "since": within.since,
        "until": within.until,
        "known": within.known,
        "day": after.day if after else None,
        "entry": after.entry if after else None,
        "line": after.line if after else None,
        "limit": limit,
    }
    with connection.cursor() as cursor:
        cursor.execute(statement("statement_lines"), asked)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _line(row: Mapping[str, Any], account: Account, balance: Decimal) -> StatementLine:
    named = ("invoice", "grant", "stripe", "batch")
    return StatementLine(
        position=Position(row["effective_on"], row["entry_id"], row["line_no"]),
        account=account,
        entry_id=row["public_id"],
        event_type=row["event_type"],
        label=BY_TYPE[row["event_type"]].label,
        effective_at=row["effective_at"],
        occurred_at=row["occurred_at"],
        recorded_at=row["recorded_at"],
        refs={name: row[f"{name}_ref"] for name in named if row[f"{name}_ref"]},
        reason_code=row["reason_code"],
        ticket=row["ticket"],
        actor_type=row["actor_type"],
        actor_id=row["actor_id"],
        reverses=row["reverses"],
        reversed_by=row["reversed_by"],
        debit=row["amount"] if row["side"] > 0 else None,
        credit=row["amount"] if row["side"] < 0 else None,
        balance=balance,
    )


def name_of(account: Account) -> str:
    """The account's code and name as the chart says."""
    return f"{account.code_id} {BY_CODE[account.code_id].name}"
