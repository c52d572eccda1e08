"""What the ledger's routes share: amounts in any unit, texts, reasons."""

from decimal import Decimal
from typing import Annotated, Any

from moneyed import Money
from pydantic import Field, StringConstraints

from billing_ops.kit.money import (
    LEDGER_SCALE,
    BadAmount,
    BadCurrency,
    currency,
    parse_decimal,
    parse_money,
)
from ledger.rules.worth import is_own

Text = Annotated[str, StringConstraints(max_length=120)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=60), Field(examples=["outage"])]
Feature = Annotated[str, StringConstraints(min_length=1, max_length=100)]


UnitCode = Annotated[
    str,
    StringConstraints(pattern=r"^([A-Z]{3}|[a-z][a-z0-9_]{1,23})$"),
    Field(description="A currency, or a unit of the company's own such as `credits`.", examples=["USD"]),
]


def quantity_of(text: str, unit: str, *, field: str = "amount", allow_zero: bool = False) -> Decimal:
    """Money in a currency, or a quantity of a company's own unit, as a program or a person wrote it."""
    if not is_own(unit):
        return parse_money(text, unit, field=field, allow_zero=allow_zero).amount
    found = parse_decimal(text, field=field, decimals=LEDGER_SCALE)
    if not found and not allow_zero:
        raise BadAmount(f"{field}: it is zero.", field=field)
    return found


def amount_out(amount: Decimal, unit: str) -> Any:
    """Money shows its minor units; a company's own credits are plain numbers."""
    try:
        return Money(amount, currency(unit))
    except BadCurrency:
        return amount
