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


def pays_for(purse: Purse, *, feature: str, used_at: datetime) -> bool:
    """Whether a grant may pay for that feature at that instant; its window is half-open."""
    begun = purse.effective_at <= used_at
    over = purse.expires_at is not None and used_at >= purse.expires_at
    return begun and not over and (not purse.scope or feature in purse.scope)


def burn(needs: Sequence[Need], purses: Iterable[Purse], *, at: datetime) -> list[Taken]:
    """Let each need in turn take, in the burn order, from the grants that may pay for it when it was used."""
    ordered = sorted(purses, key=order)
    left = {purse.grant_id: purse.available for purse in ordered}
    taken = []
    for need in needs:
        open_amount = need.amount
        for purse in ordered:
            if open_amount <= 0:
                break
            part = min(open_amount, left[purse.grant_id])
            if part > 0 and pays_for(purse, feature=need.feature, used_at=need.used_at or at):
                left[purse.grant_id] -= part
                open_amount -= part
                taken.append(Taken(need.ref, purse.grant_id, purse.kind, part))
    return taken
