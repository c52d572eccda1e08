"""What Celery does for metering."""

import time

from celery import shared_task

from billing_ops.kit import clock
from metering import aggregating, checking

LONGEST_RUN_SECONDS = 20
"""One task folds no longer than this, so that a worker can stop between two folds; the next beat goes on."""


@shared_task(name="metering.advance")
def advance() -> int:
    """Fold while there is work, for at most twenty seconds; return the number of events folded.

    Any number may run at once, on any number of hosts.
    """
    stop, events = time.monotonic() + LONGEST_RUN_SECONDS, 0
    while time.monotonic() < stop:
        done = aggregating.advance(at=clock.now())
        events += done.events
        if not done.worked:
            break
    return events


@shared_task(name="metering.check")
def check() -> int:
    """Count the events of the last weeks again; the number of buckets that differ, each kept as failed work."""
    return checking.check(at=clock.now())
