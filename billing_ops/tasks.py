"""What the clock asks of the floor."""

from celery import shared_task

from billing_ops.kit import approving, clock
from billing_ops.kit.actor import system


@shared_task(name="billing_ops.expire_approvals")
def expire_approvals() -> int:
    """Close the requests that nobody decided in time; how many. One whose time is over cannot be approved anyway."""
    return approving.expire_due(at=clock.now(), actor=system("approvals"))
