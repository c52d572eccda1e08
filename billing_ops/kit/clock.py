"""The clock that the edges read.

Domain code never asks what time it is: it is told (``at=``). Edges (routes, tasks, commands, console views) call
:func:`now`. With ``BILLING_CLOCK_FILE`` set, the time is the ISO 8601 instant written in that file, so that several
processes (web, worker, tests) share one virtual clock; production settings refuse to boot with it.
"""

from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings

from billing_ops.kit.errors import BillingError


class ClockUnreadable(BillingError):
    """The file of the virtual clock is missing or does not hold an instant; no other time is taken instead."""

    code = "clock.unreadable"
    http_status = 500
    remedy = "Write an instant such as 2025-01-01T00:00:00+00:00 into it, or unset BILLING_CLOCK_FILE."


def now() -> datetime:
    """Return the current instant as an aware UTC datetime; raises :class:`ClockUnreadable`."""
    path: str = settings.BILLING_CLOCK_FILE
    return _written_in(path) if path else datetime.now(UTC)


def _written_in(path: str) -> datetime:
    try:
        text = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ClockUnreadable(f"The virtual clock {path} cannot be read: {type(error).__name__}.") from error
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError("no time zone")
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ClockUnreadable(f"The virtual clock {path} holds “{text[:60]}”, not an instant with a zone.") from error
