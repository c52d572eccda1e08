"""A draw: what is asked of credit, and what is decided."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final, Literal

import msgspec

from billing_ops.kit.errors import InvalidInput
from ledger.rules.burndown import Burning, Purse
from ledger.rules.entries import MAX_AMOUNT, too_fine

Policy = Literal["all", "partial", "overage"]
Outcome = Literal["accepted", "partial", "refused", "overage"]

SETTLEMENT: Final = "hold:"
"""How the keys of draws that settle holds begin; nobody else's do."""
METERED: Final = "metered:"
"""How the keys of draws (and returns) for metered usage begin: whoever rates usage makes and corrects them."""
CLOCKS_DIFFER: Final = timedelta(minutes=5)
"""A use may lie so far ahead of our clock."""
_EXACT: Final = Decimal(1).scaleb(-12)
_SHORTEST_TOO_FINE: Final = len("0.1234567890123")
_POLICIES: Final = frozenset({"all", "partial", "overage"})


class InvalidDraw(InvalidInput):
    """A draw that cannot be understood; ``details["field"]`` names what."""

    code = "credit.draw_invalid"


class Order(msgspec.Struct, frozen=True, gc=False):
    """What is asked of a customer's credit in one unit, under a key that is one draw.

    ``policy``: ``all`` or nothing, ``partial`` (what there is), or ``overage`` (what there is, and the rest is owed).
    ``used_at``: when it was used; None is now.
    """

    customer_key: str
    unit: str
    amount: Decimal
    key: str
    feature: str = ""
    used_at: datetime | None = None
    usage_ref: str = ""
    policy: str = "all"


@dataclass(frozen=True, slots=True)
class Rate:
    """What one unit is owed as when credit does not cover it: an amount of money."""

    amount: Decimal
    currency: str


class Decided(msgspec.Struct, gc=False):
    """What became of an order: the parts that grants pay, and what they do not."""

    order: Order
    wallet_id: int
    used_at: datetime
    parts: list[tuple[Purse, Decimal]]
    shortfall: Decimal
    outcome: Outcome
    available: Decimal | None = None
    overage: Decimal | None = None
    currency: str = ""


def check(order: Order, *, at: datetime) -> None:
    """Raise :class:`InvalidDraw` for an order that no wallet could answer."""
    amount = order.amount
    if not amount.is_finite() or not 0 < amount < MAX_AMOUNT or _too_fine(amount):
        raise _invalid("amount", f"{amount} is not a positive amount of at most twelve decimals.")
    if not order.key or len(order.key) > 200 or not order.key.isprintable():
        raise _invalid("key", "A draw needs a key of 1 to 200 printable characters.")
    if order.policy not in _POLICIES:
        raise _invalid("policy", f"There is no policy “{order.policy}”.")
    if len(order.feature) > 100 or not order.feature.isprintable():
        raise _invalid("feature", "A feature has at most 100 printable characters.")
    if len(order.usage_ref) > 200 or not order.usage_ref.isprintable():
        raise _invalid("usage_ref", "A reference to usage has at most 200 printable characters.")
    if order.used_at is not None:
        if order.used_at.tzinfo is None:
            raise _invalid("used_at", "The instant of use needs a time zone.")
        if order.used_at > at + CLOCKS_DIFFER:
            raise _invalid("used_at", "What is not used yet is not drawn: hold it.")


def not_a_settlement(order: Order) -> None:
    """Raise :class:`InvalidDraw` for a key that only the settlement of a hold has."""
    if order.key.startswith(SETTLEMENT):
        raise _invalid("key", f"Keys that begin with “{SETTLEMENT}” are those of holds.")


def not_metered(order: Order) -> None:
    """Raise :class:`InvalidDraw` for a key that only metered usage has."""
    if order.key.startswith(METERED):
        raise _invalid("key", f"Keys that begin with “{METERED}” are those of metered usage.")


def decide(order: Order, *, wallet_id: int, burning: Burning, at: datetime, rate: Rate | None) -> Decided:
    """Let an order take from the grants. ``rate`` prices overage; an order for it without one is a mistake."""
    used_at = order.used_at or at
    parts, short = burning.take(order.amount, feature=order.feature, used_at=used_at, whole=order.policy == "all")
    if not short:
        return Decided(order, wallet_id, used_at, parts, short, "accepted")
    if order.policy == "overage" and rate is not None:
        owed = (short * rate.amount).quantize(_EXACT, rounding=ROUND_HALF_UP)
        return Decided(order, wallet_id, used_at, parts, short, "overage", None, owed, rate.currency)
    if not parts:
        return Decided(order, wallet_id, used_at, parts, order.amount, "refused", order.amount - short)
    return Decided(order, wallet_id, used_at, parts, short, "partial")


def differences(order: Order, stored: dict[str, Any]) -> list[str]:
    """The fields in which an order differs from the draw that has its key; an instant that was left out agrees."""
    names = [name for name in ("amount", "feature", "usage_ref", "policy") if getattr(order, name) != stored[name]]
    if order.used_at is not None and order.used_at != stored["used_at"]:
        names.append("used_at")
    return names


def _too_fine(amount: Decimal) -> bool:
    text = str(amount)
    return (len(text) >= _SHORTEST_TOO_FINE or "E" in text) and too_fine(amount)


def _invalid(field: str, message: str) -> InvalidDraw:
    return InvalidDraw(message, field=field)
