"""What credit in a company's own unit is worth, and how the money of a grant is released as its quantity leaves.

The money of a grant depends on what remains of its quantity, and on nothing else: remaining × cost ÷ amount. So however
the quantity leaves, in however many slices, the releases add up to the cost exactly; the last unit takes the rest; and
what is given back brings its money back.
"""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Final, Literal

from billing_ops.kit.money import LEDGER_SCALE
from ledger.rules.chart import EXPENSED, GRANT_ACCOUNT, UNITS_MONEY, UNITS_QUANTITY

PromoPolicy = Literal["memo", "expense_on_grant"]
"""Promotional credit is a discount to come (memo), or an expense when it is given."""

Breakage = Literal["income", "unclaimed_property"]
"""Paid credit that expires is income (4030), or the customer's property still (2500)."""

BREAKAGE_ACCOUNT: Final[dict[str, str]] = {"income": "4030", "unclaimed_property": "2500"}

_ZERO = Decimal(0)
_STEPS = 10**LEDGER_SCALE


@dataclass(frozen=True, slots=True)
class Worth:
    """The money of a grant in a company's own unit; nothing of it for a grant in a currency, which is its money.

    ``rate`` is money in ``currency`` a unit. ``cost`` is what was received or promised for the whole grant and stands
    on ``money_code``; both are empty where the grant is a quantity only (promotional credit as memo, included credit).
    """

    rate: Decimal | None = None
    currency: str = ""
    cost: Decimal | None = None
    money_code: str = ""


NOTHING: Final = Worth()


def is_own(unit: str) -> bool:
    """Whether a unit is a company's own: a currency has three capital letters."""
    return not (len(unit) == 3 and unit.isascii() and unit.isalpha() and unit.isupper())


def account_of(kind: str, *, own: bool, expensed: bool = False) -> str:
    """The account code on which a grant of that kind stands."""
    if own:
        return UNITS_QUANTITY
    return EXPENSED if kind == "promotional" and expensed else GRANT_ACCOUNT[kind]


def money_account_of(kind: str, *, expensed: bool = False) -> str:
    """The account code that keeps the money of a grant in a company's own unit; empty for a quantity only."""
    return UNITS_MONEY.get("expensed" if kind == "promotional" and expensed else kind, "")


def valued(rate: Decimal, quantity: Decimal) -> Decimal:
    """What a quantity is worth at a rate, to twelve decimals, half away from zero."""
    return _rounded(Fraction(rate) * Fraction(quantity))


def money_left(cost: Decimal, amount: Decimal, remaining: Decimal) -> Decimal:
    """The money of a grant of ``amount`` that cost ``cost``, when ``remaining`` of it is left."""
    return _rounded(Fraction(cost) * Fraction(remaining) / Fraction(amount))


def released(cost: Decimal | None, amount: Decimal, *, before: Decimal, after: Decimal) -> Decimal:
    """The money that leaves a grant when what remains of it goes from ``before`` to ``after``; negative: comes back.

    A grant without money (``None``) releases none.
    """
    if cost is None:
        return _ZERO
    return money_left(cost, amount, before) - money_left(cost, amount, after)


def effective_rate(money: Decimal, quantity: Decimal) -> Decimal:
    """Money a unit over a whole entry, to twelve decimals: the rate that an entry across units carries."""
    return _rounded(Fraction(money) / Fraction(quantity))


def _rounded(exact: Fraction) -> Decimal:
    scaled = abs(exact) * _STEPS
    steps = (2 * scaled.numerator + scaled.denominator) // (2 * scaled.denominator)
    digits = Decimal((0, tuple(int(digit) for digit in str(steps)), -LEDGER_SCALE))
    return -digits if exact < 0 and steps else digits
