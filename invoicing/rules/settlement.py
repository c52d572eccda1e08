"""How one payment is spread over the invoices that it pays."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

MINIMUM_CHARGE = {
    "USD": Decimal("0.50"), "EUR": Decimal("0.50"), "GBP": Decimal("0.30"), "CHF": Decimal("0.50"),
    "CAD": Decimal("0.50"), "AUD": Decimal("0.50"), "JPY": Decimal(50), "SEK": Decimal("3.00"),
    "DKK": Decimal("2.50"), "NOK": Decimal("3.00"), "NZD": Decimal("0.50"), "SGD": Decimal("0.50"),
}  # fmt: skip
"""Stripe's smallest charge by currency (docs.stripe.com/currencies, minimum charge amounts). Others: none known."""


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


def too_small_to_charge(amount: Decimal, currency: str) -> bool:
    """Whether the processor would not take so little; then the receivable waits for the next invoice."""
    return amount < MINIMUM_CHARGE.get(currency, Decimal(0))
