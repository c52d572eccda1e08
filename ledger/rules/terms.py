"""The terms of a credit grant: what may be asked for, and how a request is compared with an earlier one."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, Required, TypedDict

from moneyed import Money

from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.money import BadCurrency, plain, round_amount
from ledger.rules.entries import MAX_AMOUNT, too_fine

Kind = Literal["paid", "promotional", "goodwill", "included"]
GIVEN: tuple[Kind, ...] = ("promotional", "goodwill", "included")


class InvalidTerms(InvalidInput):
    """A credit that cannot be granted as asked; ``details["field"]`` names what is wrong."""

    code = "credit.invalid_terms"


class Asked(TypedDict, total=False):
    """The terms as callers write them. ``amount`` is money, or a quantity of ``unit``, a company's own credits.

    ``currency`` is that of the quantity's worth; needed only where the unit has a rate in several.
    """

    customer_key: Required[str]
    kind: Required[Kind]
    amount: Required[Money | Decimal]
    reason_code: Required[str]
    unit: str
    currency: str
    priority: int
    effective_at: datetime | None
    expires_at: datetime | None
    scope: Sequence[str]
    ticket: str
    note: str


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked for. ``effective_at`` None is the instant of granting; an empty scope is every feature."""

    customer_key: str
    kind: Kind
    amount: Decimal
    unit: str
    reason_code: str
    priority: int = 50
    effective_at: datetime | None = None
    expires_at: datetime | None = None
    scope: tuple[str, ...] = ()
    ticket: str = ""
    note: str = ""
    currency: str = ""

    def request(self) -> dict[str, Any]:
        """The terms as JSON, for comparing a replay field by field."""
        return {
            "customer_key": self.customer_key,
            "kind": self.kind,
            "amount": plain(self.amount),
            "unit": self.unit,
            "reason_code": self.reason_code,
            "priority": self.priority,
            "effective_at": self.effective_at.isoformat() if self.effective_at else None,
            "expires_at": self.expires_at.isoformat() if self.expires_at else None,
            "scope": list(self.scope),
            "ticket": self.ticket,
            "note": self.note,
        } | ({"currency": self.currency} if self.currency else {})


def terms_of(asked: Asked) -> Terms:
    """The terms that a caller wrote. Raises :class:`InvalidTerms` for what is neither money nor a quantity."""
    amount, rest = asked["amount"], {name: value for name, value in asked.items() if name not in ("amount", "unit")}
    unit = asked.get("unit", "")
    if isinstance(amount, Money):
        code = amount.currency.code
        if unit and unit != code:
            raise _invalid("unit", f"the amount is in {code}, not in {unit}.")
        amount, unit = amount.amount, code
    elif not unit:
        raise _invalid("unit", "a quantity needs its unit.")
    rest["scope"] = scope_of(asked.get("scope", ()))
    return Terms(amount=amount, unit=unit, **rest)  # type: ignore[arg-type]  # the names are those of Asked


def scope_of(features: Sequence[str]) -> tuple[str, ...]:
    """The features of a scope, each once, in alphabetical order."""
    return tuple(sorted(set(features)))


def check(terms: Terms, *, at: datetime) -> None:
    """Raise :class:`InvalidTerms` for terms that no grant can have."""
    if not terms.customer_key or len(terms.customer_key) > 200:
        raise _invalid("customer_key", "it is missing or longer than 200 characters.")
    if not terms.reason_code:
        raise _invalid("reason_code", "say why the credit is given.")
    if not terms.amount.is_finite() or not 0 < terms.amount < MAX_AMOUNT or too_fine(terms.amount):
        raise _invalid("amount", f"{terms.amount} is not a positive amount that the books can hold.")
    if terms.amount != _payable(terms.amount, terms.unit):
        raise _invalid("amount", f"{terms.amount} has more decimals than {terms.unit}.")
    if not 0 <= terms.priority <= 100:
        raise _invalid("priority", "it is a whole number from 0 (first) to 100 (last).")
    for name in ("effective_at", "expires_at"):
        instant = getattr(terms, name)
        if instant is not None and instant.tzinfo is None:
            raise _invalid(name, "it needs a time zone.")
    if terms.expires_at is not None and terms.expires_at <= max(terms.effective_at or at, at):
        raise _invalid("expires_at", "the credit would have expired before it could be used.")
    if any(not feature or len(feature) > 100 for feature in terms.scope):
        raise _invalid("scope", "a feature has 1 to 100 characters.")


def _payable(amount: Decimal, unit: str) -> Decimal:
    try:
        return round_amount(amount, unit)
    except BadCurrency:  # a company's own credits: the ledger's twelve decimals
        return amount


def differences(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    """The names of the fields in which two requests differ."""
    return [name for name in (*one, *(two.keys() - one.keys())) if one.get(name) != two.get(name)]


def _invalid(name: str, why: str) -> InvalidTerms:
    return InvalidTerms(f"{name}: {why}", field=name)
