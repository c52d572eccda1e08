"""What customers' accounts hold, and the totals of the books."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.db import connection
from django.db.models import Sum

from ledger.models import Account, AccountCode, Balance, CreditGrant
from ledger.opening import default_book
from ledger.queries import statement
from ledger.rules.asof import AsOf
from ledger.rules.chart import GRANT_ACCOUNT, UNITS_QUANTITY

_ZERO = Decimal(0)

Status = Literal["scheduled", "active", "used", "expired", "voided", "moved"]
"""``moved``: what was left went on into another grant, of the next period or of another customer."""


@dataclass(frozen=True, slots=True)
class CustomerBalances:
    """A customer's stored balances in one unit, each on its account's normal side.

    ``unbilled`` is accrued usage not yet invoiced, ``held`` what open holds keep of the credits, ``version`` how many
    lines have moved these balances: the same version is the same state.
    """

    receivable: Decimal = _ZERO
    unbilled: Decimal = _ZERO
    deferred: Decimal = _ZERO
    customer_balance: Decimal = _ZERO
    paid_credits: Decimal = _ZERO
    goodwill_credits: Decimal = _ZERO
    promotional_credits: Decimal = _ZERO
    """Promotional and included."""
    units_money: Decimal = _ZERO
    """Money that stands behind credits in units of the company's own; it is nothing that could be spent."""
    held: Decimal = _ZERO
    version: int = 0

    @property
    def credits_total(self) -> Decimal:
        """All credit that remains, holds not taken off."""
        return self.paid_credits + self.goodwill_credits + self.promotional_credits

    def with_credit(self, *, kind: str, amount: Decimal) -> "CustomerBalances":
        """These balances after one more grant of that kind."""
        name = _FIELD_OF_KIND[kind]
        return replace(self, **{name: getattr(self, name) + amount, "version": self.version + 1})


_FIELD_OF = {
    "1100": "receivable",
    "1110": "unbilled",
    "2100": "deferred",
    "2110": "customer_balance",
    "2000": "paid_credits",
    "2010": "goodwill_credits",
    "2020": "promotional_credits",
    "9010": "promotional_credits",
    "2005": "units_money",
    "2015": "units_money",
    "2025": "units_money",
}
_FIELD_OF_KIND = {kind: _FIELD_OF[code] for kind, code in GRANT_ACCOUNT.items()}
"""Grants in a company's own unit all stand on 9110: there the kind says what they are."""


@dataclass(frozen=True, slots=True)
class GrantBalance:
    """A grant and where its amount is: remaining + used + expired + voided is exactly what was granted.

    What was given back is not used. ``voided`` is all that left in another way: refunded, transferred to another
    customer, rolled over into the next period, or taken back.
    """

    grant: CreditGrant
    remaining: Decimal
    held: Decimal
    used: Decimal
    expired: Decimal
    voided: Decimal
    status: Status
    refunded: Decimal = _ZERO
    transferred: Decimal = _ZERO
    rolled_over: Decimal = _ZERO

    @property
    def taken_back(self) -> Decimal:
        """What was voided and went nowhere."""
        return self.voided - self.refunded - self.transferred - self.rolled_over


@dataclass(frozen=True, slots=True)
class Sums:
    """What lines add up to, and how many they are."""

    debits: Decimal = _ZERO
    credits: Decimal = _ZERO
    lines: int = 0

    @property
    def net(self) -> Decimal:
        """On the debit side."""
        return self.debits - self.credits


@dataclass(frozen=True, slots=True)
class TrialLine:
    """The total of one account code: debits, credits, their difference on the debit side, and the number of lines."""

    code: str
    name: str
    debits: Decimal
    credits: Decimal
    lines: int

    @property
    def net(self) -> Decimal:
        return self.debits - self.credits


def of(*, customer_key: str, unit: str) -> CustomerBalances:
    """A customer's balances in one unit, in one statement; all zero for who never had any."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT a.code, g.kind, sum(b.normal_side * (b.debits - b.credits)), sum(b.held), sum(b.version)"
            "  FROM ledger_account a JOIN ledger_balance b ON b.account_id = a.id"
            "  LEFT JOIN ledger_credit_grant g ON g.account_id = a.id AND a.code = %s"
            " WHERE a.customer_key = %s AND a.unit = %s GROUP BY a.code, g.kind",
            [UNITS_QUANTITY, customer_key, unit],
        )
        rows = cursor.fetchall()
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for code, kind, net, held, _ in rows:
        sums[_field(code, kind)] += net
        sums["held"] += held
    return CustomerBalances(version=int(sum(row[4] for row in rows)), **sums)


def _field(code: str, kind: str | None) -> str:
    return _FIELD_OF_KIND[kind or ""] if code == UNITS_QUANTITY else _FIELD_OF[code]


def units_of(*, customer_key: str) -> list[str]:
    """The units in which a customer has accounts."""
    rows = Account.objects.filter(customer_key=customer_key).values_list("unit_id", flat=True)
    return sorted(set(rows.distinct()))


def grants(
    *, customer_key: str, at: datetime, unit: str | None = None, after: int | None = None, limit: int = 200
) -> list[GrantBalance]:
    """A customer's grants, newest first, each with where its amount is. ``after`` is the last id of the page before."""
    rows = CreditGrant.objects.filter(customer_key=customer_key).order_by("-id")
    if unit is not None:
        rows = rows.filter(unit=unit)
    if after is not None:
        rows = rows.filter(pk__lt=after)
    return with_balances(list(rows[:limit]), at=at)


def with_balances(rows: Sequence[CreditGrant], *, at: datetime) -> list[GrantBalance]:
    """Those grants with where their amounts are, in the same order."""
    with connection.cursor() as cursor:
        cursor.execute(statement("grant_balances"), {"grants": [row.pk for row in rows]})
        parts = {row[0]: row[1:] for row in cursor.fetchall()}
    found = []
    for row in rows:
        remaining, held, used, expired, voided, refunded, *moved = parts[row.pk]
        status = _status(row, remaining, expired, voided, at)
        if status == "voided" and voided == sum(moved):
            status = "moved"
        found.append(GrantBalance(row, remaining, held, used, expired, voided, status, refunded, *moved))
    return found


def _status(grant: CreditGrant, remaining: Decimal, expired: Decimal, voided: Decimal, at: datetime) -> Status:
    if grant.expires_at is not None and at >= grant.expires_at and (remaining or expired):
        return "expired"
    if remaining:
        return "scheduled" if at < grant.effective_at else "active"
    if voided:
        return "voided"
    return "expired" if expired else "used"


def account_total(*, code: str, unit: str, customer_key: str | None = None) -> Decimal:
    """The balance of an account code on its normal side: of one customer, or of the whole company."""
    row = AccountCode.objects.get(pk=code)
    accounts = Account.objects.filter(code=code, unit=unit)
    if customer_key is not None:
        accounts = accounts.filter(customer_key=customer_key)
    if row.materialised:
        sums = Balance.objects.filter(account__in=accounts).aggregate(debits=Sum("debits"), credits=Sum("credits"))
        return row.normal_side * ((sums["debits"] or _ZERO) - (sums["credits"] or _ZERO))
    if customer_key is not None:
        found = sums_of(accounts=list(accounts.values_list("pk", flat=True)))
        return row.normal_side * sum((one.net for one in found.values()), _ZERO)
    return row.normal_side * sum((line.net for line in trial_balance(unit=unit) if line.code == code), _ZERO)


def trial_balance(
    *, unit: str, until: datetime | None = None, known: datetime | None = None, since: date | None = None
) -> list[TrialLine]:
    """Debits and credits of every account code that has lines; the nets add up to zero.

    Effective before ``until``, as far as it was recorded before ``known``. ``since`` leaves out what counts for days
    before it: the movement of a range instead of its balance.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            statement("trial_balance"), {"unit": unit, "since": since, **AsOf(until, known).parameters(zone_of_books())}
        )
        return [TrialLine(*row) for row in cursor.fetchall()]


def as_of(*, account: Account, until: datetime | None = None, known: datetime | None = None) -> Decimal:
    """An account's balance on its normal side, effective before ``until``, as far as it was recorded before ``known``.

    The present balance of an account that stores it is one row: read :class:`Balance`.
    """
    return account.normal_side * sums_of(accounts=[account.pk], until=until, known=known)[account.pk].net


def sums_of(
    *, accounts: Sequence[int], until: datetime | None = None, known: datetime | None = None
) -> dict[int, Sums]:
    """Debits, credits and number of lines of those accounts, as of (effective, recorded); each of them has an item."""
    return _sums(accounts, AsOf(until, known).parameters(zone_of_books()))


def sums_before(
    *, accounts: Sequence[int], day: date, entry: int = 0, line: int = 0, known: datetime | None = None
) -> dict[int, Sums]:
    """The same of all that stands before a line in the order of statements: by day, entry and number."""
    position = {**AsOf(known=known).parameters(zone_of_books()), "until_day": day, "until_edge": day}
    return _sums(accounts, {**position, "entry": entry, "line": line})


def customer_as_of(
    *, customer_key: str, unit: str, until: datetime | None = None, known: datetime | None = None
) -> CustomerBalances:
    """A customer's balances in one unit as of (effective, recorded). What was held then is not known; version is 0."""
    rows = Account.objects.filter(customer_key=customer_key, unit=unit, materialised=True)
    parts: dict[str, Any] = defaultdict(Decimal)
    accounts = {row.pk: row for row in rows}
    units = [row.pk for row in rows if row.code_id == UNITS_QUANTITY]
    kinds = dict(CreditGrant.objects.filter(account__in=units).values_list("account_id", "kind"))
    for pk, found in sums_of(accounts=list(accounts), until=until, known=known).items():
        parts[_field(accounts[pk].code_id, kinds.get(pk))] += accounts[pk].normal_side * found.net
    return replace(CustomerBalances(), **parts)


def zone_of_books() -> ZoneInfo:
    """The zone in which the days of the books begin."""
    return ZoneInfo(default_book().timezone)


def _sums(accounts: Sequence[int], parameters: dict[str, Any]) -> dict[int, Sums]:
    with connection.cursor() as cursor:
        cursor.execute(
            statement("accounts_as_of"), {"accounts": list(accounts), "entry": None, "line": None, **parameters}
        )
        found = {row[0]: Sums(*row[1:]) for row in cursor.fetchall()}
    return {pk: found.get(pk, Sums()) for pk in accounts}
