"""Finding events whose webhook never arrived: Stripe's own list is asked for what we did not receive."""

from datetime import datetime, timedelta

from invoicing.models import StripeEvent
from invoicing.stripe import gateway, receiving
from invoicing.stripe.handling import HANDLERS

OVERLAP = timedelta(hours=1)
FIRST_LOOK = timedelta(days=3)


def sweep(*, at: datetime) -> int:
    """Store the events of the types we handle that are in Stripe's list and not in the inbox; return how many."""
    newest = StripeEvent.objects.order_by("-created_at").values_list("created_at", flat=True).first()
    since = newest - OVERLAP if newest else at - FIRST_LOOK
    found = 0
    for body in gateway.fetch_events(since=since, types=tuple(sorted(HANDLERS))):
        event = gateway.read_event(body)
        row, created = receiving.store(event=event, body=body, at=at)
        if created:
            receiving.nudge(row.pk)
            found += 1
    return found
