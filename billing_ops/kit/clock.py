"""The clock that the edges read.

Domain code never asks what time it is: it is told (``at=``). Edges (routes, tasks, commands, console views) call
:func:`now`. With ``BILLING_CLOCK_FILE`` set, the time is the ISO 8601 instant written in that file, so that several
processes (web, worker, tests) share one virtual clock; production settings refuse to boot with it.
"""

from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings


def now() -> datetime:
    """Return the current instant as an aware UTC datetime."""
    path: str = settings.BILLING_CLOCK_FILE
    if path:
        return datetime.fromisoformat(Path(path).read_text().strip()).astimezone(UTC)
    return datetime.now(UTC)
