"""The virtual clock that a test and the processes it starts share."""

from datetime import UTC, datetime, timedelta
from pathlib import Path


class VirtualClock:
    """Writes the instant that ``billing_ops.kit.clock.now()`` reads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.set(datetime(2025, 1, 1, tzinfo=UTC))

    def set(self, instant: datetime) -> datetime:
        """Make it that time, from now on and in every process."""
        if instant.tzinfo is None:
            raise ValueError("an instant has a time zone")
        fresh = self.path.with_suffix(".new")
        fresh.write_text(instant.astimezone(UTC).isoformat())
        fresh.replace(self.path)  # in one step: a reader never sees half a time
        return instant.astimezone(UTC)

    def now(self) -> datetime:
        """The time that it is."""
        return datetime.fromisoformat(self.path.read_text())

    def advance(self, **by: float) -> datetime:
        """Move on, e.g. ``clock.advance(days=31, hours=1)``; returns the new time."""
        return self.set(self.now() + timedelta(**by))
