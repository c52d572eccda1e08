"""What every movement needs: its type, and the checks of a calling program's mistakes."""

from collections.abc import Mapping
from decimal import Decimal

from ledger.rules.chart import GRANT_ACCOUNT, UNITS_QUANTITY
from ledger.rules.entries import LineSpec, credit, debit, imbalance

Lines = tuple[LineSpec, ...]

ZERO = Decimal(0)

_STANDS_ON = {
    "paid": ("2000", "9110"),
    "goodwill": ("2010", "9110"),
    "promotional": ("9010", "2020", "9110"),
    "included": ("9010", "9110"),
}
_MONEY_STANDS_ON = {"paid": ("2005",), "goodwill": ("2015",), "promotional": ("2025",), "included": ()}
_NEVER_A_LIABILITY = ("promotional", "included")


def balanced(lines: Lines) -> Lines:
    """The lines, or ``ValueError`` if their debits and credits differ in a unit."""
    off = imbalance(lines)
    if off:
        raise ValueError("the lines do not balance: " + ", ".join(f"{total} {key}" for key, total in off.items()))
    return lines


def positive(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if not amount > 0:
            raise ValueError(f"{name} is {amount}: it must be positive")


def not_negative(**amounts: Decimal) -> None:
    for name, amount in amounts.items():
        if not amount >= 0:
            raise ValueError(f"{name} is {amount}: it must not be negative")


def total_of(parts: Mapping[str, Decimal] | None, *, name: str) -> Decimal:
    """The sum of parts by jurisdiction or grant, none of them negative."""
    for part, amount in (parts or {}).items():
        not_negative(**{f"{name}[{part}]": amount})
    return sum((parts or {}).values(), ZERO)


def tax_lines(tax: Mapping[str, Decimal] | None, currency: str, *, owed: bool) -> Lines:
    """Tax by jurisdiction: ``owed`` credits what is payable, else it comes off."""
    lines: Lines = ()
    for jurisdiction, amount in sorted((tax or {}).items()):
        lines += (credit if owed else debit)("2200", amount, currency, dimension=jurisdiction)
    return lines


def place(kind: str, code: str, *, unit: str, money: Decimal, currency: str, money_code: str) -> str:
    """The account on which credit of a kind stands, if what is said of it and of its money can be true.

    Only credit in a company's own unit (9110) has money beside it; money that was received or promised for it stands on
    its kind's own account and is not to be forgotten.
    """
    if kind not in _STANDS_ON:
        raise ValueError(f"kind is {kind!r}: it must be one of {', '.join(_STANDS_ON)}")
    account = code or GRANT_ACCOUNT[kind]
    if account not in _STANDS_ON[kind]:
        raise ValueError(f"{kind} credit does not stand on {account}: it must be {' or '.join(_STANDS_ON[kind])}")
    not_negative(money=money)
    if account != UNITS_QUANTITY:
        if money or money_code:
            raise ValueError("credit in a currency is its money: none must stand beside it")
        return account
    if money_code and money_code not in _MONEY_STANDS_ON[kind]:
        raise ValueError(f"the money of {kind} credit must not stand on {money_code}")
    if money and not money_code and kind not in _NEVER_A_LIABILITY:
        raise ValueError(f"the money of {kind} credit must be released from its account")
    if (money or money_code) and currency in ("", unit):
        raise ValueError("the money of credit units must be in a currency")
    return account
