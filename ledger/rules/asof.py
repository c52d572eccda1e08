"""As of when a figure is asked for: two instants, one on each clock, both exclusive."""

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class AsOf:
    """What counted before ``until`` as far as it was written before ``known``; None is no limit.

    ``known`` compares the instant at which an entry was written, which is a moment before its transaction committed.
    """

    until: datetime | None = None
    known: datetime | None = None

    def parameters(self, zone: ZoneInfo) -> dict[str, datetime | date | None]:
        """The parameters of ``trial_balance.sql`` and ``accounts_as_of.sql``; days are those of the book's zone."""
        until_day, until_edge = _day(self.until, zone)
        known_day, known_edge = _day(self.known, zone)
        return {
            "until": self.until,
            "until_day": until_day,
            "until_edge": until_edge,
            "known": self.known,
            "known_day": known_day,
            "known_edge": known_edge,
        }


def _day(instant: datetime | None, zone: ZoneInfo) -> tuple[date | None, date | None]:
    """The instant's day, and the same day again if the instant falls inside of it."""
    if instant is None:
        return None, None
    local = instant.astimezone(zone)
    begins = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    return local.date(), None if instant == begins else local.date()
