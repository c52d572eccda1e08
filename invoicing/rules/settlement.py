"""How one payment is spread over the invoices that it pays, and how the processor counts money."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from moneyed import Money

from billing_ops.kit.money import BadAmount
from billing_ops.kit.money import currency as known_currency

MINIMUM_CHARGE = {
    "USD": Decimal("0.50"), "EUR": Decimal("0.50"), "GBP": Decimal("0.30"), "CHF": Decimal("0.50"),
    "CAD": Decimal("0.50"), "AUD": Decimal("0.50"), "JPY": Decimal(50), "SEK": Decimal("3.00"),
    "DKK": Decimal("2.50"), "NOK": Decimal("3.00"), "NZD": Decimal("0.50"), "SGD": Decimal("0.50"),
}  # fmt: skip
"""Stripe's smallest charge by currency (docs.stripe.com/currencies, minimum charge amounts). Others: none known."""


ZERO_DECIMALS = frozenset(
    {"BIF", "CLP", "DJF", "GNF", "JPY", "KMF", "KRW", "MGA", "PYG", "RWF", "VND", "VUV", "XAF", "XOF", "XPF"}
)
THREE_DECIMALS = frozenset(["BHD", "JOD", "KWD", "OMR", "TND"])
"""How Stripe counts (docs.stripe.com/currencies, zero-decimal, three-decimal and special cases); all others: two."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one invoice gets of a payment, and whether that settles it."""

    amount: Decimal
    settles: bool


@dataclass(frozen=True, slots=True)
class Spread:
    """The shares in the order of the invoices, their sum, and what is left for the customer balance."""

    parts: tuple[Share, ...]
    applied: Decimal
    excess: Decimal


def spread(amount: Decimal, open_amounts: Sequence[Decimal]) -> Spread:
    """Pay the invoices in their order, each up to what it has open."""
    left = amount
    parts: list[Share] = []
    for due in open_amounts:
        share = min(left, max(due, Decimal(0)))
        parts.append(Share(share, due > 0 and share == due))
        left -= share
    return Spread(tuple(parts), amount - left, left)


def to_processor(value: Money) -> int:
    """The amount in the processor's minor units; raises ``BadAmount`` when it is not a whole number of them.

    They are not always ISO 4217's: ISK and UGX, which have no minor unit, go in hundredths, MGA in whole ones, and of
    three decimals the last is 0. No plan is published in a currency that has amounts which cannot be counted so.
    """
    minor = value.amount.scaleb(_decimals(value.currency.code))
    step = 10 if value.currency.code in THREE_DECIMALS else 1
    if minor % step:
        raise BadAmount(f"{value.amount} {value.currency.code} is less than the processor can count.", field="amount")
    return int(minor)


def from_processor(minor: int, currency: str) -> Money:
    """Money from the processor's minor units."""
    return Money(Decimal(minor).scaleb(-_decimals(currency)), known_currency(currency))


def _decimals(currency: str) -> int:
    if currency in ZERO_DECIMALS:
        return 0
    return 3 if currency in THREE_DECIMALS else 2


def too_small_to_charge(amount: Decimal, currency: str) -> bool:
    """Whether the processor would not take so little; then the receivable waits for the next invoice."""
    return amount < MINIMUM_CHARGE.get(currency, Decimal(0))
