"""Credit: given, bought, drawn, given back, moved, and taken back.

A grant in a currency is its money. A grant in a company's own unit is a quantity (memo, 9110 against 9100), and beside
it, where money was received or promised, a liability in that money (2005, 2015, 2025) which is released in proportion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from ledger.rules.chart import BY_CODE, GRANT_ACCOUNT, UNITS_MONEY, UNITS_QUANTITY
from ledger.rules.entries import LineSpec, credit, debit
from ledger.rules.movements.parts import ZERO, Lines, balanced, not_negative, positive

_GIVEN_FROM = {
    "2010": "4910",
    "2015": "4910",
    "2020": "6100",
    "2025": "6100",
    "9010": "9000",
    "9110": "9100",
}
"""Where given credit comes from, and where it returns to when it expires or is voided, by the account it stands on."""


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
        not_negative(money=use.money)
        code = use.code or GRANT_ACCOUNT[use.kind]
        line = LineSpec("debit", code, use.amount, unit, customer_key, use.dimension, use.entry_id)
        if not BY_CODE[code].memo:
            real += (line,)
            continue
        memo += (line,)
        source = _GIVEN_FROM[code]
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
    not_negative(overage=overage)
    real, memo = used(customer_key, unit, uses)
    money = currency or unit
    earned = _by_unit(real)
    lines = real + debit("1110", overage, money, customer_key=customer_key)
    for paid_in, amount in earned.items():
        lines += credit("4000", amount, paid_in)
    return balanced(lines + credit("4020", overage, money) + memo)


def credit_covered(*, customer_key: str, unit: str, uses: Sequence[CreditUse]) -> Lines:
    """Rows 13 and 26. Credit pays for usage that was accrued before: a late credit covers earlier overage."""
    real, memo = used(customer_key, unit, uses)
    lines = real
    for paid_in, amount in _by_unit(real).items():
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
) -> Lines:
    """Row 11. A correction gives back what was drawn: the mirror of :func:`credit_drawn`.

    ``against`` is the revenue account that is reduced: 4000, or 4910 for a concession on an issued invoice.
    """
    not_negative(overage=overage)
    real, memo = used(customer_key, unit, uses)
    money = currency or unit
    lines: Lines = ()
    for paid_in, amount in _by_unit(real).items():
        lines += debit(against, amount, paid_in)
    lines += debit("4020", overage, money)
    lines += tuple(line.mirrored() for line in real)
    lines += credit("1110", overage, money, customer_key=customer_key)
    return balanced(lines + tuple(line.mirrored() for line in reversed(memo)))


def credit_granted(
    *,
    kind: str,
    customer_key: str,
    unit: str,
    amount: Decimal,
    grant: str,
    code: str = "",
    money: Decimal = ZERO,
    currency: str = "",
    money_code: str = "",
) -> Lines:
    """Rows 5 and 6. Goodwill for past service reduces revenue when promised; promotional and included credit is memo.

    Promotional credit may be an expense when it is given instead (``code`` 2020): the company's policy decides. Credit
    in a company's own unit is a quantity, and ``money`` beside it where it is a promise. Paid credit is not granted but
    bought.
    """
    positive(amount=amount)
    account = code or GRANT_ACCOUNT[kind]
    lines = debit(_given_from(account, kind), amount, unit)
    lines += credit(account, amount, unit, customer_key=customer_key, dimension=grant)
    if money_code:
        positive(money=money)
        lines += debit(_given_from(money_code, kind), money, currency)
        lines += credit(money_code, money, currency, customer_key=customer_key, dimension=grant)
    return lines


def credit_voided(
    *,
    kind: str,
    customer_key: str,
    unit: str,
    amount: Decimal,
    grant: str,
    code: str = "",
    money: Decimal = ZERO,
    currency: str = "",
    money_code: str = "",
) -> Lines:
    """Row 10. What remains of a given credit is taken back, and the money that stood beside it."""
    positive(amount=amount)
    not_negative(money=money)
    account = code or GRANT_ACCOUNT[kind]
    lines = debit(account, amount, unit, customer_key=customer_key, dimension=grant)
    lines += credit(_given_from(account, kind), amount, unit)
    if money_code:
        lines += debit(money_code, money, currency, customer_key=customer_key, dimension=grant)
        lines += credit(_given_from(money_code, kind), money, currency)
    return lines


def credit_expired(
    *,
    kind: str,
    customer_key: str,
    unit: str,
    amount: Decimal,
    grant: str,
    code: str = "",
    money: Decimal = ZERO,
    currency: str = "",
    money_code: str = "",
    breakage: str = "4030",
) -> Lines:
    """Row 9. What remains at expiry: breakage if it was paid for, else as if it had not been given.

    ``breakage`` is 4030, or 2500 where the law says that unused credit is the customer's property.
    """
    positive(amount=amount)
    not_negative(money=money)
    account = code or GRANT_ACCOUNT[kind]
    against = breakage if account == "2000" else _given_from(account, kind)
    lines = debit(account, amount, unit, customer_key=customer_key, dimension=grant) + credit(against, amount, unit)
    if money_code:
        against = breakage if money_code == "2005" else _given_from(money_code, kind)
        lines += debit(money_code, money, currency, customer_key=customer_key, dimension=grant)
        lines += credit(against, money, currency)
    return lines


def credit_moved(
    *,
    unit: str,
    amount: Decimal,
    code: str,
    from_customer: str,
    from_grant: str,
    to_customer: str,
    to_grant: str,
    money: Decimal = ZERO,
    currency: str = "",
    money_code: str = "",
) -> Lines:
    """Credit leaves one grant for a new one: to another customer (transfer) or into the next period (rollover)."""
    positive(amount=amount)
    not_negative(money=money)
    lines = debit(code, amount, unit, customer_key=from_customer, dimension=from_grant)
    lines += credit(code, amount, unit, customer_key=to_customer, dimension=to_grant)
    if money_code:
        lines += debit(money_code, money, currency, customer_key=from_customer, dimension=from_grant)
        lines += credit(money_code, money, currency, customer_key=to_customer, dimension=to_grant)
    return lines


def credit_bought(
    *,
    customer_key: str,
    currency: str,
    price: Decimal,
    grant: str,
    unit: str = "",
    amount: Decimal = ZERO,
) -> Lines:
    """Row 4, its second part. A paid top-up becomes credit; the payment itself is ``payment.succeeded``.

    ``unit`` and ``amount``: the quantity bought, if it is credit in a company's own unit.
    """
    positive(price=price)
    lines = debit("2050", price, currency, customer_key=customer_key)
    if not unit or unit == currency:
        return lines + credit("2000", price, currency, customer_key=customer_key, dimension=grant)
    positive(amount=amount)
    return (
        *lines,
        *credit("2005", price, currency, customer_key=customer_key, dimension=grant),
        *debit("9100", amount, unit),
        *credit(UNITS_QUANTITY, amount, unit, customer_key=customer_key, dimension=grant),
    )


def credit_refunded(
    *,
    customer_key: str,
    unit: str,
    amount: Decimal,
    grant: str,
    refund: Decimal,
    currency: str = "",
    money: Decimal = ZERO,
    tax: Mapping[str, Decimal] | None = None,
    rounding: Decimal = ZERO,
) -> Lines:
    """Rows 10b and 18. Unused paid credit goes back as money: ``refund`` is what is owed for it, tax included.

    In a company's own unit, ``money`` is what the quantity was bought for. ``rounding`` is what the exact amount had
    below the currency's minor unit (a gain is negative).
    """
    positive(amount=amount, refund=refund)
    paid_in = currency or unit
    own = paid_in != unit
    lines: Lines = ()
    if own:
        lines += debit("2005", money, paid_in, customer_key=customer_key, dimension=grant)
    else:
        lines += debit("2000", amount, unit, customer_key=customer_key, dimension=grant)
    for jurisdiction, part in sorted((tax or {}).items()):
        lines += debit("2200", part, paid_in, dimension=jurisdiction)
    lines += debit("6310", rounding, paid_in) + credit("2300", refund, paid_in)
    if own:
        lines += debit(UNITS_QUANTITY, amount, unit, customer_key=customer_key, dimension=grant)
        lines += credit("9100", amount, unit)
    return balanced(lines)


def _by_unit(lines: Lines) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = {}
    for line in lines:
        sums[line.unit] = sums.get(line.unit, ZERO) + line.sign * line.amount
    return sums


def _given_from(account: str, kind: str) -> str:
    if account not in _GIVEN_FROM:
        raise ValueError(f"credit of kind {kind!r} is not given")
    return _GIVEN_FROM[account]
