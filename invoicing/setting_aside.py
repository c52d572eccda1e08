"""Usage that no amount of money can express: shown as failed work, and charged once it is mended."""

from collections.abc import Iterable
from datetime import datetime

from billing_ops.kit import failing
from billing_ops.kit.errors import BillingError
from billing_ops.models import FailedWork
from invoicing import charges

TASK = "invoicing.usage"


class UsageSetAside(BillingError):
    """Usage that no amount of money can express: see :data:`invoicing.rules.lines.MAX_AMOUNT`."""

    code = "usage.set_aside"
    kept = "Everything else is billed; of this usage nothing is charged."
    remedy = "Find the event that is wrong and take it back by an event with the negative quantity."


def note_set_aside(found: Iterable[charges.Charge], *, at: datetime) -> None:
    """Show usage that was set aside as failed work, until its period is rated again and can be charged."""
    names = {f"item {one.item.pk}, {one.period.start:%Y-%m-%dT%H:%M:%S.%fZ}": one for one in found}
    for name, charge in names.items():
        if charge.set_aside:
            customer = charge.item.subscription.customer.key
            error = UsageSetAside(f"{customer}: {charge.description}.", item=charge.item.pk)
            failing.note(task=TASK, subject=name, error=error, at=at, customer_key=customer)
    fine = [name for name, charge in names.items() if not charge.set_aside]
    if fine:
        FailedWork.objects.filter(task=TASK, subject__in=fine).delete()
