"""When credit comes again, and what of the old period's credit is kept."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, Literal
from zoneinfo import ZoneInfo

from billing_ops.kit.periods import Period, edge

Every = Literal["day", "week", "month", "year"]
EVERY: Final[tuple[Every, ...]] = ("day", "week", "month", "year")

_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "year": 12}

_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Rollover:
    """How much of a period's remainder is kept: at least ``least``, at most ``most`` (None: no ceiling)."""

    least: Decimal = _ZERO
    most: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """What becomes of a remainder: ``moved`` goes on, ``expired`` is over, ``granted`` fills up to the least."""

    moved: Decimal
    expired: Decimal
    granted: Decimal

    @property
    def total(self) -> Decimal:
        """What the next period begins with, beside its own credit."""
        return self.moved + self.granted


def start_of(anchor: datetime, number: int, *, every: str, zone: str) -> datetime:
    """The start of period ``number`` in UTC; 0 is the one that starts at ``anchor``.

    Counted from the anchor in the zone's wall time: day 31 becomes a shorter month's last day and comes back to 31; 29
    February becomes the 28th and comes back.
    """
    if every in _MONTHS:
        return edge(anchor, number * _MONTHS[every], zone)
    if number == 0:
        return anchor.astimezone(UTC)
    local = anchor.astimezone(ZoneInfo(zone))
    return (local + timedelta(days=number * _DAYS[every])).replace(fold=0).astimezone(UTC)


def period_of(anchor: datetime, number: int, *, every: str, zone: str) -> Period:
    """Period ``number``, half-open."""
    return Period(
        start_of(anchor, number, every=every, zone=zone), start_of(anchor, number + 1, every=every, zone=zone)
    )


def keep(remaining: Decimal, rollover: Rollover) -> Kept:
    """Rollover keeps min(max, max(min, remaining))."""
    wanted = max(rollover.least, remaining)
    total = wanted if rollover.most is None else min(rollover.most, wanted)
    moved = min(remaining, total)
    return Kept(moved, remaining - moved, total - moved)


def split(moved: Decimal, remainders: list[Decimal]) -> list[Decimal]:
    """How much of each remainder moves on, the last ones first: what would have been used first expires first."""
    parts = []
    for remainder in reversed(remainders):
        part = min(remainder, moved)
        parts.append(part)
        moved -= part
    return parts[::-1]
