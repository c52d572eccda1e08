"""Amounts: the one module that rounds, splits and parses money.

Money is :class:`moneyed.Money`: a Decimal and a currency. Rule set: money is rounded once, half away from zero, to the
currency's exponent (ISO 4217: JPY 0, USD 2, KWD 3); a split re-adds exactly by largest remainder.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal, Inexact, localcontext
from fractions import Fraction

from moneyed import Currency, CurrencyDoesNotExist, Money, get_currency

from billing_ops.kit.errors import InvalidInput

LEDGER_SCALE = 12
"""Decimals kept of an unrounded amount and of a unit price."""

_PRECISION = 100  # digits: above every product of a price and a quantity, so that quantizing never overflows
_MAX_INTEGER_DIGITS = 13
_AMOUNT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)


class BadAmount(InvalidInput):
    """An amount that is missing, malformed or not expressible in the currency."""

    code = "amount.invalid"


class BadCurrency(InvalidInput):
    """A currency code that ISO 4217 does not know, or another than the one expected."""

    code = "currency.invalid"


def currency(code: str) -> Currency:
    """Return the ISO 4217 currency of that upper-case code, or raise :class:`BadCurrency`."""
    try:
        return get_currency(code)
    except (CurrencyDoesNotExist, TypeError):
        raise BadCurrency(
            f"“{code}” is not a currency code.", remedy="Use an ISO 4217 code such as USD.", field="currency"
        ) from None


def exponent(currency_code: str) -> int:
    """Decimals of the currency's minor unit: 2 for USD, 0 for JPY, 3 for KWD."""
    sub_unit = int(currency(currency_code).sub_unit)
    return len(str(sub_unit)) - 1


def quantum(currency_code: str) -> Decimal:
    """The smallest amount that can be paid in the currency: ``Decimal("0.01")`` for USD."""
    return Decimal(1).scaleb(-exponent(currency_code))


def round_amount(amount: Decimal, currency_code: str) -> Decimal:
    """Round half away from zero to the currency's minor unit."""
    return _round(amount, quantum(currency_code))


def round_scale(amount: Decimal) -> Decimal:
    """Round half away from zero to the ledger's twelve decimals."""
    return _round(amount, Decimal(1).scaleb(-LEDGER_SCALE))


def _round(amount: Decimal, unit: Decimal) -> Decimal:
    _require_finite(amount)
    with localcontext() as context:
        context.prec = _PRECISION
        rounded = amount.quantize(unit, rounding=ROUND_HALF_UP)
    return rounded if rounded else rounded.copy_abs()  # a small negative rounds to zero, not to "-0.00"


def _require_finite(amount: Decimal) -> None:
    if not amount.is_finite():
        raise BadAmount(f"{amount} is not an amount.", field="amount")


def round_money(value: Money) -> Money:
    """Round half away from zero to the minor unit of the money's own currency."""
    return Money(round_amount(value.amount, value.currency.code), value.currency)


def zero(currency_code: str) -> Money:
    """No money, in that currency."""
    return Money(Decimal(0).quantize(quantum(currency_code)), currency(currency_code))


def to_minor(value: Money) -> int:
    """The amount in minor units (cents); raises ``BadAmount`` if it is not whole."""
    _require_finite(value.amount)
    minor = Fraction(value.amount) / Fraction(quantum(value.currency.code))
    if minor.denominator != 1:
        raise BadAmount(f"{value.amount} {value.currency.code} is not a whole number of minor units.", field="amount")
    return minor.numerator


def from_minor(minor: int, currency_code: str) -> Money:
    """Money from minor units: ``from_minor(1999, "USD")`` is $19.99."""
    with localcontext() as context:
        context.prec = _PRECISION
        context.traps[Inexact] = True
        return Money(Decimal(minor).scaleb(-exponent(currency_code)), currency(currency_code))


def allocate(total: Decimal, weights: Sequence[Decimal], currency_code: str) -> list[Decimal]:
    """Split ``total`` over ``weights`` so that the parts re-add to it exactly: largest remainder, first part wins.

    ``total`` is a whole number of minor units of either sign; weights are not negative. When every weight is zero the
    whole goes to the first part.
    """
    if not weights:
        if total:
            raise BadAmount("There is nothing to split the amount over.", field="weights")
        return []
    if any(weight < 0 for weight in weights):
        raise BadAmount("A weight is negative.", field="weights")
    minor = to_minor(Money(total, currency(currency_code)))
    exact = [Fraction(weight) for weight in weights]
    whole = sum(exact)
    if whole == 0:
        exact, whole = [Fraction(1)] + [Fraction(0)] * (len(weights) - 1), Fraction(1)
    sign = -1 if minor < 0 else 1
    shares = [abs(minor) * weight / whole for weight in exact]
    parts = [int(share) for share in shares]  # truncated: what is missing is fewer units than there are parts
    order = sorted(range(len(parts)), key=lambda i: (parts[i] - shares[i], i))
    for index in order[: abs(minor) - sum(parts)]:
        parts[index] += 1
    return [from_minor(sign * part, currency_code).amount for part in parts]


def parse_decimal(text: object, *, field: str, decimals: int, allow_negative: bool = False) -> Decimal:
    """Parse a plain decimal string: ASCII digits, a point, at most ``decimals`` decimals. Anything else is refused."""
    if text is None or text == "":
        raise BadAmount(f"{field}: it is missing. An omitted amount never means “all of it”.", field=field)
    if not isinstance(text, str):
        raise BadAmount(f'{field}: write it as a decimal string, e.g. "19.99".', field=field)
    if not _AMOUNT.fullmatch(text):
        raise BadAmount(
            f"{field}: “{text[:40]}” is not a plain decimal number.",
            remedy="Use ASCII digits and a point, e.g. 19.99, without separators or exponents.",
            field=field,
        )
    value = Decimal(text)
    integer, _, fraction = text.lstrip("-").partition(".")
    if len(integer) > _MAX_INTEGER_DIGITS:
        raise BadAmount(f"{field}: it is larger than this system keeps.", field=field)
    if len(fraction) > decimals:
        raise BadAmount(f"{field}: “{text[:40]}” has more than {decimals} decimals.", field=field)
    if text.startswith("-") and not allow_negative:
        raise BadAmount(f"{field}: it is negative.", field=field)
    return value if value else value.copy_abs()


def parse_money(text: object, currency_code: str, *, field: str = "amount", allow_zero: bool = False) -> Money:
    """Parse an amount that a person or program typed, in the minor units of the currency.

    ``19.99`` is 1999 cents. Refused by name: ``1e3``, ``NaN``, ``٣``, ``1,000``, more decimals than the currency has, a
    negative, a zero unless ``allow_zero``, and an omitted amount.
    """
    value = parse_decimal(text, field=field, decimals=exponent(currency_code))
    if value == 0 and not allow_zero:
        raise BadAmount(f"{field}: it is zero.", field=field)
    return Money(value.quantize(quantum(currency_code)), currency(currency_code))


def grouped(amount: Decimal) -> str:
    """A decimal as a person reads it: ``33,685,843`` or ``1,234.5``, in digits and without trailing zeros."""
    whole, point, fraction = plain(amount).partition(".")
    return f"{int(whole):,}{point}{fraction}" if whole != "-0" else f"-0{point}{fraction}"


def plain(amount: Decimal) -> str:
    """A decimal without exponent and without trailing zeros beyond what it needs: for JSON and journals."""
    text = format(amount if amount else amount.copy_abs(), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
