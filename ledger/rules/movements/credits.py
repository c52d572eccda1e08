"""Credit: given, bought, moved, and taken back. How it is used: ``draws``."""

from collections.abc import Mapping
from decimal import Decimal

from ledger.rules.chart import GRANT_ACCOUNT, UNITS_QUANTITY
from ledger.rules.entries import credit, debit
from ledger.rules.movements.draws import GIVEN_FROM
from ledger.rules.movements.parts import (
    ZERO,
    Lines,
    balanced,
    not_negative,
    place,
    positive,
    tax_lines,
    total_of,
)

_BREAKAGE = ("4030", "2500")


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
    if money_code:
        positive(money=money)
    lines = _taken_back(
        kind=kind,
        customer_key=customer_key,
        unit=unit,
        amount=amount,
        grant=grant,
        code=code,
        money=money,
        currency=currency,
        money_code=money_code,
    )
    return tuple(line.mirrored() for line in reversed(lines[:2])) + tuple(
        line.mirrored() for line in reversed(lines[2:])
    )


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
    return _taken_back(
        kind=kind,
        customer_key=customer_key,
        unit=unit,
        amount=amount,
        grant=grant,
        code=code,
        money=money,
        currency=currency,
        money_code=money_code,
    )


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
    if breakage not in _BREAKAGE:
        raise ValueError(f"breakage is {breakage}: it must be {' or '.join(_BREAKAGE)}")
    if kind != "paid":
        return _taken_back(
            kind=kind,
            customer_key=customer_key,
            unit=unit,
            amount=amount,
            grant=grant,
            code=code,
            money=money,
            currency=currency,
            money_code=money_code,
        )
    account = place(kind, code, unit=unit, money=money, currency=currency, money_code=money_code)
    against = GIVEN_FROM.get(account, breakage)
    lines = debit(account, amount, unit, customer_key=customer_key, dimension=grant) + credit(against, amount, unit)
    if money_code:
        lines += debit(money_code, money, currency, customer_key=customer_key, dimension=grant)
        lines += credit(breakage, money, currency)
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
    """Rows 31 and 32. Credit leaves one grant for a new one: to another customer (transfer) or into the next period
    (rollover). What it is stays what it was: the same accounts, another grant.
    """
    positive(amount=amount)
    not_negative(money=money)
    if from_grant == to_grant:
        raise ValueError(f"{from_grant} must move to another grant")
    if code not in {*GRANT_ACCOUNT.values(), "2020", UNITS_QUANTITY}:
        raise ValueError(f"code is {code}: it must be an account on which grants stand")
    if money_code and (code != UNITS_QUANTITY or money_code not in ("2005", "2015", "2025") or currency in ("", unit)):
        raise ValueError(f"money on {money_code} must stand beside units, in a currency")
    if money and not money_code and code != UNITS_QUANTITY:
        raise ValueError("credit in a currency is its money: none must stand beside it")
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
    if unit in ("", currency):
        if amount not in (ZERO, price):
            raise ValueError(f"amount is {amount}: credit in {currency} must be what was paid for it, {price}")
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
    total_of(tax, name="tax")
    paid_in = currency or unit
    own = paid_in != unit
    lines: Lines = ()
    if own:
        positive(money=money)
        lines += debit("2005", money, paid_in, customer_key=customer_key, dimension=grant)
    else:
        if money not in (ZERO, amount):
            raise ValueError(f"money is {money}: of credit in {unit} it must be its amount, {amount}")
        lines += debit("2000", amount, unit, customer_key=customer_key, dimension=grant)
    lines += tax_lines(tax, paid_in, owed=False)
    lines += debit("6310", rounding, paid_in) + credit("2300", refund, paid_in)
    if own:
        lines += debit(UNITS_QUANTITY, amount, unit, customer_key=customer_key, dimension=grant)
        lines += credit("9100", amount, unit)
    return balanced(lines)


def _taken_back(
    *,
    kind: str,
    customer_key: str,
    unit: str,
    amount: Decimal,
    grant: str,
    code: str,
    money: Decimal,
    currency: str,
    money_code: str,
) -> Lines:
    """Given credit returns to where it came from: the quantity, and the money that stood beside it."""
    if kind == "paid":
        raise ValueError("paid credit is not given: it must be bought, refunded or reversed")
    account = place(kind, code, unit=unit, money=money, currency=currency, money_code=money_code)
    lines = debit(account, amount, unit, customer_key=customer_key, dimension=grant)
    lines += credit(GIVEN_FROM[account], amount, unit)
    if money_code:
        lines += debit(money_code, money, currency, customer_key=customer_key, dimension=grant)
        lines += credit(GIVEN_FROM[money_code], money, currency)
    return lines
