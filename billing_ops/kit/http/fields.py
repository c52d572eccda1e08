"""Building blocks of request and answer schemas.

Amounts are decimal strings, instants RFC 3339 with their zone; a request refuses fields that it does not know.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Generic, TypeVar

from moneyed import Money
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from billing_ops.kit import money
from billing_ops.kit.errors import BillingError
from billing_ops.kit.http.rendering import rfc3339

T = TypeVar("T")

_RFC3339 = re.compile(r"(\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2})(\.\d{1,9})?([Zz]|[+-]\d{2}:\d{2})", re.ASCII)
FIRST_INSTANT: Final = datetime(2000, 1, 1, tzinfo=UTC)
END_OF_INSTANTS: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Requests lie in [2000, 2200): periods and hours around such an instant exist in every time zone."""
AMOUNT_PATTERN: Final = r"^(0|[1-9][0-9]*)(\.[0-9]{1,12})?$"
SIGNED_PATTERN: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]{1,12})?$"


class Body(BaseModel):
    """A request's JSON object: unknown fields are refused by name."""

    model_config = ConfigDict(extra="forbid")


class Out(BaseModel):
    """An answer's JSON object."""

    model_config = ConfigDict(from_attributes=True)


class Page(Out, Generic[T]):
    """One page of a listing; ``next_cursor`` is null on the last one."""

    items: list[T]
    next_cursor: str | None = Field(description="Pass it as `cursor` to get the next page; null: there is none.")


def _decimal(value: object) -> Decimal:
    """A quantity or a unit price: plain, not negative, at most twelve decimals."""
    try:
        return money.parse_decimal(value, field="It", decimals=money.LEDGER_SCALE)
    except BillingError as error:
        raise PydanticCustomError(error.code, "{text}", {"text": error.message.removeprefix("It: ")}) from None


def _amount(value: object) -> str:
    _decimal(value)
    return str(value)


def _instant(value: object) -> datetime:
    found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    if found:
        moment, fraction, zone = found.group(1), (found.group(2) or "")[:7], found.group(3)  # microseconds are kept
        try:
            instant = datetime.fromisoformat((moment + fraction + zone).upper()).astimezone(UTC)
        except (ValueError, OverflowError):
            pass  # a 31 February, or a year that UTC does not have: refused below like any other
        else:
            if FIRST_INSTANT <= instant < END_OF_INSTANTS:
                return instant
            raise PydanticCustomError("instant.out_of_range", "write an instant of the years 2000 to 2199")
    raise PydanticCustomError(
        "instant.invalid", "write an instant with its zone, e.g. 2025-01-31T00:00:00Z (in a URL, a + is %2B)"
    )


def _money_text(value: Any) -> Any:
    """``Money`` in its currency's decimals, a Decimal plain; strings pass."""
    if isinstance(value, Money):
        places = max(money.exponent(value.currency.code), 0)
        text = money.plain(value.amount)
        return text if len(text.partition(".")[2]) > places else f"{value.amount:.{places}f}"
    return money.plain(value) if isinstance(value, Decimal) else value


AmountText = Annotated[
    str,
    PlainValidator(_amount),
    WithJsonSchema({"type": "string", "pattern": AMOUNT_PATTERN, "maxLength": 26, "examples": ["19.99"]}),
]
"""An amount of money in a request, still text: parse it with ``kit.money.parse_money(body.amount, currency)``."""

DecimalText = Annotated[
    Decimal,
    PlainValidator(_decimal),
    WithJsonSchema({"type": "string", "pattern": AMOUNT_PATTERN, "maxLength": 26, "examples": ["0.000003"]}),
]
"""A quantity or unit price in a request, parsed to a Decimal of at most twelve decimals."""

Instant = Annotated[
    datetime,
    PlainValidator(_instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2025-01-31T00:00:00Z"]}),
]
"""An instant in a request or query, parsed to an aware datetime in UTC; of the years 2000 to 2199."""

CurrencyCode = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), Field(examples=["USD"])]
Key = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$"), Field(examples=["cus-7"])]
"""A key that callers choose: customers, subscriptions."""
Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$"), Field(examples=["context-tokens"])]
"""A key in the catalogue: meters, plans, prices."""

AmountOut = Annotated[
    str,
    BeforeValidator(_money_text),
    WithJsonSchema({"type": "string", "pattern": SIGNED_PATTERN, "examples": ["19.99"]}),
]
"""An amount or quantity in an answer: give it Money (``"20.00"``) or a Decimal (``"0.000003"``)."""

InstantOut = Annotated[
    str,
    BeforeValidator(lambda value: rfc3339(value) if isinstance(value, datetime) else value),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2025-01-31T00:00:00Z"]}),
]
"""An instant in an answer: give it an aware datetime."""
