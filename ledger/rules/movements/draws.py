"""Credit that is used: what is taken from grants, what it pays for, and what a correction gives back.

A grant in a currency is its money. A grant in a company's own unit is a quantity (memo, 9110 against 9100), and beside
it, where money was received or promised, a liability in that money (2005, 2015, 2025) which is released in proportion.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from ledger.rules.chart import BY_CODE, UNITS_MONEY, UNITS_QUANTITY
from ledger.rules.entries import LineSpec, credit, debit
from ledger.rules.movements.parts import ZERO, Lines, balanced, not_negative, place, positive

GIVEN_FROM = {
    "2010": "4910",
    "2015": "4910",
    "2020": "6100",
    "2025": "6100",
    "9010": "9000",
    "9110": "9100",
}
"""Where given credit comes from, and where it returns to when it expires or is voided, by the account it stands on."""

_REDUCED = ("4000", "4910", "2100")


@dataclass(frozen=True, slots=True)
class CreditUse:
    """What is taken from one grant: its kind, its account's dimension, and how much.

    ``code`` is the account of the grant's quantity (default: its kind's). A grant in a company's own unit also says
    what the quantity is worth: ``money`` in ``currency``, from its liability ``money_code``; promotional credit that
    was never a liability has no ``money_code``. ``entry_id`` is the reserved id under which the draws were written.
    """

    kind: str
    dimension: str
    amount: Decimal
    entry_id: int | None = None
    code: str = ""
    money: Decimal = ZERO
    currency: str = ""
    money_code: str = ""


def money_account(kind: str, *, expensed: bool = False) -> str:
    """The account that keeps the money of a grant in a company's own unit; empty for one that is a quantity only."""
    return UNITS_MONEY.get("expensed" if kind == "promotional" and expensed else kind, "")


def credit_used(*, customer_key: str, unit: str, uses: Sequence[CreditUse]) -> Lines:
    """Rows 7 and 13, the debit side: credit pays for what the caller credits.

    Paid and goodwill credit is a liability that is released. Promotional and included credit was never one: its use
    reduces revenue (4900), and the memo accounts follow.
    """
    real, memo = used(customer_key, unit, uses)
    return real + memo


def used(customer_key: str, unit: str, uses: Sequence[CreditUse]) -> tuple[Lines, Lines]:
    """The debit side of what was used: the lines in money, and the memo lines."""
    real: Lines = ()
    memo: Lines = ()
    given: dict[str, Decimal] = {}
    back: dict[str, Decimal] = {}
    for use in uses:
        positive(amount=use.amount)
        code = place(use.kind, use.code, unit=unit, money=use.money, currency=use.currency, money_code=use.money_code)
        line = LineSpec("debit", code, use.amount, unit, customer_key, use.dimension, use.entry_id)
        if not BY_CODE[code].memo:
            real += (line,)
            continue
        memo += (line,)
        source = GIVEN_FROM[code]
        back[source] = back.get(source, ZERO) + use.amount
        if code != UNITS_QUANTITY:
            given[unit] = given.get(unit, ZERO) + use.amount
        elif use.money_code:
            real += debit(use.money_code, use.money, use.currency, customer_key=customer_key, dimension=use.dimension)
        elif use.money:
            given[use.currency] = given.get(use.currency, ZERO) + use.money
    for currency, amount in given.items():
        real += debit("4900", amount, currency)
    for source, amount in back.items():
        memo += credit(source, amount, unit)
    return real, memo


def credit_drawn(
    *,
    customer_key: str,
    unit: str,
    uses: Sequence[CreditUse],
    overage: Decimal = ZERO,
    currency: str = "",
) -> Lines:
    """Rows 7, 7b and 2 in one entry: credit pays for usage as it happens, and what it does not cover is owed.

    ``overage`` is money in ``currency`` (default: the unit). Usage that only included credit in a company's own unit
    pays for is no revenue: the plan's fee is.
    """
    real, memo = used(customer_key, unit, uses)
    money = _money_for(overage, unit, currency, uses)
    lines = real + debit("1110", overage, money, customer_key=customer_key)
    for paid_in, amount in _by_unit(real).items():
        lines += credit("4000", amount, paid_in)
    return balanced(lines + credit("4020", overage, money) + memo)


def credit_covered(
    *,
    customer_key: str,
    unit: str,
    uses: Sequence[CreditUse],
    accrued: Decimal | None = None,
    currency: str = "",
) -> Lines:
    """Rows 13 and 26. Credit pays for usage that was accrued before: a late credit covers earlier overage.

    ``accrued`` is what stood for it on 1110 (default: what the credit is worth), in ``currency`` (default: the unit).
    Units were sold at their own price: where that differs from what was accrued, the overage was not that much
    revenue (4020). Included units cover overage that then was none.
    """
    real, memo = used(customer_key, unit, uses)
    worth = _by_unit(real)
    lines = real
    if accrued is not None:
        positive(accrued=accrued)
        money = _money_for(accrued, unit, currency, uses)
        lines += debit("4020", accrued - worth.get(money, ZERO), money)
        worth[money] = accrued
    for paid_in, amount in worth.items():
        lines += credit("1110", amount, paid_in, customer_key=customer_key)
    return balanced(lines + memo)


def credit_returned(
    *,
    customer_key: str,
    unit: str,
    uses: Sequence[CreditUse],
    overage: Decimal = ZERO,
    currency: str = "",
    against: str = "4000",
    contract: str = "",
) -> Lines:
    """Row 11. A correction gives back what was drawn: the mirror of :func:`credit_drawn`.

    ``against`` is what is reduced: revenue (4000), a concession on an issued invoice (4910), or what is deferred of a
    fee that credit had paid for (2100, of ``contract``).
    """
    if against not in _REDUCED:
        raise ValueError(f"against is {against}: it must be one of {', '.join(_REDUCED)}")
    real, memo = used(customer_key, unit, uses)
    money = _money_for(overage, unit, currency, uses)
    deferred = {"customer_key": customer_key, "dimension": contract} if against == "2100" else {}
    lines: Lines = ()
    for paid_in, amount in _by_unit(real).items():
        lines += debit(against, amount, paid_in, **deferred)
    lines += debit("4020", overage, money)
    lines += tuple(line.mirrored() for line in real)
    lines += credit("1110", overage, money, customer_key=customer_key)
    return balanced(lines + tuple(line.mirrored() for line in reversed(memo)))


def _money_for(amount: Decimal, unit: str, currency: str, uses: Sequence[CreditUse]) -> str:
    """The currency of an amount that is owed: a quantity of a company's own unit is none."""
    not_negative(overage=amount)
    if amount and not currency and any(use.code == UNITS_QUANTITY for use in uses):
        raise ValueError(f"what is owed beside {unit} must have a currency")
    return currency or unit


def _by_unit(lines: Lines) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for line in lines:
        sums[line.unit] = sums.get(line.unit, ZERO) + line.sign * line.amount
    return sums
