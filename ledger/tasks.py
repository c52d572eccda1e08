"""What the clock asks of the ledger."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from billing_ops.kit import clock
from ledger import holding, policies, proving, rolling_up, scheduling, sealing, voiding


def _grace() -> timedelta:
    """Usage reported this late still finds the credit that was there when it happened."""
    return timedelta(seconds=settings.CREDIT_EXPIRY_GRACE_SECONDS)


@shared_task(name="ledger.expire_credits")
def expire_credits() -> int:
    """Book the remainder of credits whose time is over; the number of entries. Run again it finds what is left."""
    return voiding.expire_due(
        at=clock.now(), grace=_grace(), breakage=policies.breakage(), watermark=policies.watermark()
    )


@shared_task(name="ledger.run_schedules")
def run_schedules() -> int:
    """Give the credit that comes again, and roll remainders over; the number of steps. It catches up by itself."""
    return scheduling.run_due(
        at=clock.now(),
        grace=_grace(),
        promo_policy=policies.promo(),
        breakage=policies.breakage(),
        watermark=policies.watermark(),
    )


@shared_task(name="ledger.lapse_holds")
def lapse_holds() -> int:
    """Let go what holds keep whose time is over; the number of holds. A draw that is short does it for its customer."""
    return holding.lapse_due(at=clock.now())


@shared_task(name="ledger.prove")
def prove() -> int:
    """Recompute the books' invariants; the number of violations, each kept as failed work until it is gone."""
    return proving.prove(at=clock.now())


@shared_task(name="ledger.roll_up")
def roll_up() -> int:
    """Take complete entries into the daily roll-ups; how many. Figures are exact without it, only slower to read."""
    return rolling_up.roll_up().entries


@shared_task(name="ledger.seal")
def seal() -> int:
    """Seal what is committed; the number of seals made. Two at once is one."""
    return len(sealing.seal(at=clock.now()))
