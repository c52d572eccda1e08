"""Verify the books and their seals where nobody waits, and keep every violation in sight until it is gone."""

from datetime import datetime

from billing_ops.kit import failing
from billing_ops.kit.errors import BillingError
from billing_ops.models import FailedWork
from ledger import verifying

TASK = "ledger.prove"
"""The task under which violations are kept as failed work; a proof that finds them gone clears them."""


class InvariantBroken(BillingError):
    """The books contradict themselves: somebody wrote past every guard, or a guard is wrong."""

    code = "ledger.invariant_broken"
    http_status = 500
    remedy = "Finance and engineering look at it together before the period is closed; nothing repairs it by itself."


def prove(*, at: datetime, limit: int = 100) -> int:
    """Note each violation as failed work, clear those that are gone; the number found.

    At most ``limit`` violations of the invariants are looked at. Call it outside of a transaction.
    """
    found = verifying.verify(limit=limit).violations
    subjects = {f"{one.rule} {one.subject}"[:128]: one.detail for one in found}
    for subject, detail in subjects.items():
        failing.note(task=TASK, subject=subject, error=InvariantBroken(f"{subject}: {detail}"), at=at)
    if len(found) < limit:  # else there are more than were looked at, and none of them is known to be gone
        FailedWork.objects.filter(task=TASK).exclude(subject__in=subjects).delete()
    return len(found)
