"""Prove where nobody waits that usage was drawn once, and keep every violation in sight until it is gone."""

from datetime import datetime

from billing_ops.kit import failing
from billing_ops.kit.errors import BillingError
from billing_ops.models import FailedWork
from invoicing import drawdowns

TASK = "invoicing.prove"
"""The task under which violations are kept as failed work; a proof that finds them gone clears them."""


class UsageNotDrawn(BillingError):
    """Of a service period, what credits paid and what is owed are not what its usage costs."""

    code = "drawdown.invariant_broken"
    http_status = 500
    remedy = "Engineering looks at it before the period is billed; nothing repairs it by itself."


def prove(*, at: datetime, limit: int = 100) -> int:
    """Note each violation as failed work, clear those that are gone; the number found, counting at most ``limit``."""
    found = {one.subject[:128]: one.detail for one in drawdowns.violations(at=at, limit=limit)}
    for subject, detail in found.items():
        failing.note(task=TASK, subject=subject, error=UsageNotDrawn(f"{subject}: {detail}"), at=at)
    if len(found) < limit:  # else there are more than were looked at, and none of them is known to be gone
        FailedWork.objects.filter(task=TASK).exclude(subject__in=found).delete()
    return len(found)
