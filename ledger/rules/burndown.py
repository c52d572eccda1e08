"""Which credit pays for what. The documented order, and nothing else decides.

priority ↑ → expires soonest (never last) → promotional, goodwill, included before paid → restricted to features before
unrestricted → effective_at → id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Need:
    """An amount that asks for credit: ``ref`` names what asks, ``feature`` what was used, ``used_at`` when."""

    ref: str
    feature: str
    amount: Decimal
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Purse:
    """A grant as the burn-down sees it: its terms and what may still be taken from it."""

    grant_id: int
    kind: str
    priority: int
    effective_at: datetime
    expires_at: datetime | None
    scope: tuple[str, ...]
    available: Decimal


@dataclass(frozen=True, slots=True)
class Taken:
    """What one need takes from one grant."""

    ref: str
    grant_id: int
    kind: str
    amount: Decimal


def order(purse: Purse) -> tuple[int, datetime, int, int, datetime, int]:
    """The documented burn order as a sort key."""
    return (
        purse.priority,
        purse.expires_at or _NEVER,
        int(purse.kind == "paid"),
        int(not purse.scope),
        purse.effective_at,
        purse.grant_id,
    )


class Burning:
    """Grants while needs take from them, one after the other, in the burn order."""

    __slots__ = ("_open",)

    def __init__(self, purses: Iterable[Purse]) -> None:
        self._open: list[_Left] = [_Left(purse) for purse in sorted(purses, key=order)]

    def take(
        self, amount: Decimal, *, feature: str, used_at: datetime, whole: bool = False
    ) -> tuple[list[tuple[Purse, Decimal]], Decimal]:
        """The parts that pay for an amount, and what nothing pays for.

        ``whole``: nothing is taken if something would be left unpaid; the parts are empty then.
        """
        short = amount
        taken: list[tuple[_Left, Decimal]] = []
        spent = False
        for left in self._open:
            amount_left = left.amount
            if not amount_left:
                spent = True
            elif left.effective_at <= used_at < left.expires_at and (not left.scope or feature in left.scope):
                part = amount_left if amount_left < short else short
                taken.append((left, part))
                short -= part
                if not short:
                    break
        if spent:
            self._open = [left for left in self._open if left.amount]
        if short and whole:
            return [], short
        for left, part in taken:
            left.amount -= part
        return [(left.purse, part) for left, part in taken], short


class _Left:
    __slots__ = ("amount", "effective_at", "expires_at", "purse", "scope")

    def __init__(self, purse: Purse) -> None:
        self.purse = purse
        self.amount = max(purse.available, Decimal(0))
        self.effective_at = purse.effective_at
        self.expires_at = purse.expires_at or _NEVER
        self.scope = purse.scope


def burn(needs: Sequence[Need], purses: Iterable[Purse], *, at: datetime) -> list[Taken]:
    """Let each need in turn take, in the burn order, from the grants that may pay for it when it was used."""
    burning = Burning(purses)
    taken = []
    for need in needs:
        parts, _ = burning.take(need.amount, feature=need.feature, used_at=need.used_at or at)
        taken += [Taken(need.ref, purse.grant_id, purse.kind, part) for purse, part in parts]
    return taken
