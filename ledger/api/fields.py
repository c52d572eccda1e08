"""What the ledger's routes share: amounts in any unit, texts, reasons."""

from decimal import Decimal
from typing import Annotated, Any

from moneyed import Money
from pydantic import Field, StringConstraints

from billing_ops.kit.money import BadCurrency, currency

Text = Annotated[str, StringConstraints(max_length=120)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=60), Field(examples=["outage"])]
Feature = Annotated[str, StringConstraints(min_length=1, max_length=100)]


def amount_out(amount: Decimal, unit: str) -> Any:
    """Money shows its minor units; a company's own credits are plain numbers."""
    try:
        return Money(amount, currency(unit))
    except BadCurrency:
        return amount
