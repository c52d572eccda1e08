"""What the clock asks of the ledger."""

from datetime import timedelta

from celery import shared_task

from billing_ops.kit import clock
from ledger import proving, rolling_up, voiding

EXPIRY_GRACE = timedelta(hours=24)
"""Usage reported this late still finds the credit that was there when it happened."""


@shared_task(name="ledger.expire_credits")
def expire_credits() -> int:
    """Book the remainder of credits whose time is over; the number of entries. Run again it finds what is left."""
    return voiding.expire_due(at=clock.now(), grace=EXPIRY_GRACE)


@shared_task(name="ledger.prove")
def prove() -> int:
    """Recompute the books' invariants; the number of violations, each kept as failed work until it is gone."""
    return proving.prove(at=clock.now())


@shared_task(name="ledger.roll_up")
def roll_up() -> int:
    """Take complete entries into the daily roll-ups; how many. Figures are exact without it, only slower to read."""
    return rolling_up.roll_up().entries
