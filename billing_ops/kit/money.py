"""Amounts: the one module that rounds, splits and parses money.

Money is :class:`moneyed.Money`: a Decimal and a currency. Rule set: money is rounded once, half away from zero, to the
currency's exponent (ISO 4217: JPY 0, USD 2, KWD 3); a split re-adds exactly by largest remainder.
"""

import re
from collections.abc import Sequence
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal, localcontext

from moneyed import Currency, CurrencyDoesNotExist, Money, get_currency

from billing_ops.kit.errors import InvalidInput

LEDGER_SCALE = 12
"""Decimals kept of an unrounded amount and of a unit price."""

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
    with localcontext() as context:
        context.prec = 60
        return amount.quantize(quantum(currency_code), rounding=ROUND_HALF_UP)


def round_scale(amount: Decimal) -> Decimal:
    """Round half away from zero to the ledger's twelve decimals."""
    with localcontext() as context:
        context.prec = 60
        return amount.quantize(Decimal(1).scaleb(-LEDGER_SCALE), rounding=ROUND_HALF_UP)


def round_money(value: Money) -> Money:
    """Round half away from zero to the minor unit of the money's own currency."""
    return Money(round_amount(value.amount, value.currency.code), value.currency)


def zero(currency_code: str) -> Money:
    """No money, in that currency."""
    return Money(Decimal(0).quantize(quantum(currency_code)), currency(currency_code))


def to_minor(value: Money) -> int:
    """The amount in minor units (cents); raises ``BadAmount`` if it is not whole."""
    scaled = value.amount.scaleb(exponent(value.currency.code))
    if scaled != scaled.to_integral_value():
        raise BadAmount(f"{value.amount} {value.currency.code} is not a whole number of minor units.", field="amount")
    return int(scaled)


def from_minor(minor: int, currency_code: str) -> Money:
    """Money from minor units: ``from_minor(1999, "USD")`` is $19.99."""
    return Money(Decimal(minor).scaleb(-exponent(currency_code)), currency(currency_code))


def allocate(total: Decimal, weights: Sequence[Decimal], currency_code: str) -> list[Decimal]:
    """Split ``total`` over ``weights`` so that the parts re-add to it exactly (largest remainder, first part wins ties).

    ``total`` is a whole number of minor units of either sign; weights are not negative. When every weight is zero the
    whole goes to the first part.
    """
    if not weights:
        if total:
            raise BadAmount("There is nothing to split the amount over.", field="weights")
        return []
    if any(weight < 0 for weight in weights):
        raise BadAmount("A weight is negative.", field="weights")
    unit = quantum(currency_code)
    with localcontext() as context:
        context.prec = 60
        if total != total.quantize(unit):
            raise BadAmount(f"{total} is not a whole number of minor units.", field="amount")
        whole = sum(weights, Decimal(0))
        if whole == 0:
            return [total.quantize(unit)] + [Decimal(0).quantize(unit)] * (len(weights) - 1)
        exact = [total * weight / whole for weight in weights]
        parts = [share.quantize(unit, rounding=ROUND_DOWN) for share in exact]
        missing = int((total - sum(parts, Decimal(0))) / unit)
        step = unit if missing >= 0 else -unit
        order = sorted(range(len(parts)), key=lambda i: (-abs(exact[i] - parts[i]), i))
        for index in order[: abs(missing)]:
            parts[index] += step
    return parts


def parse_decimal(text: object, *, field: str, decimals: int, allow_negative: bool = False) -> Decimal:
    """Parse a plain decimal string (ASCII digits, a point, at most ``decimals`` decimals); the rest is refused by name."""
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
    if value < 0 and not allow_negative:
        raise BadAmount(f"{field}: it is negative.", field=field)
    return value


def parse_money(text: object, currency_code: str, *, field: str = "amount", allow_zero: bool = False) -> Money:
    """Parse an amount that a person or program typed, in the minor units of the currency.

    ``19.99`` is 1999 cents. Refused by name: ``1e3``, ``NaN``, ``٣``, ``1,000``, more decimals than the currency has, a
    negative, a zero unless ``allow_zero``, and an omitted amount.
    """
    value = parse_decimal(text, field=field, decimals=exponent(currency_code))
    if value == 0 and not allow_zero:
        raise BadAmount(f"{field}: it is zero.", field=field)
    return Money(value.quantize(quantum(currency_code)), currency(currency_code))


def plain(amount: Decimal) -> str:
    """A decimal without exponent and without trailing zeros beyond what it needs: for JSON and journals."""
    text = format(amount, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
