"""Quantities and exact amounts as a person reads them."""

from decimal import Decimal

from babel.numbers import get_currency_symbol

from billing_ops.kit.money import exponent, plain


def number_text(quantity: Decimal) -> str:
    """``400,000`` or ``0.25``: grouped, without zeros at the end."""
    whole, point, fraction = plain(quantity).partition(".")
    return f"{int(whole):,}{point}{fraction}" if not whole.startswith("-0") else plain(quantity)


def amount_text(amount: Decimal, currency: str) -> str:
    """An exact amount, unrounded: ``$1.20``, ``$0.000003``, ``¥3``; at least the currency's decimals."""
    whole, _, fraction = plain(amount.copy_abs()).partition(".")
    fraction = fraction.ljust(exponent(currency), "0")
    symbol = get_currency_symbol(currency, locale="en_US")
    if symbol[-1].isalpha():
        symbol += "\N{NO-BREAK SPACE}"
    sign = "-" if amount < 0 else ""
    return f"{sign}{symbol}{int(whole):,}" + (f".{fraction}" if fraction else "")
