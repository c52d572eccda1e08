"""Finding events whose webhook never arrived: Stripe's own list is asked for what we did not receive."""

from datetime import datetime, timedelta

from django.db import transaction

from invoicing.models import StripeSweep
from invoicing.stripe import gateway, receiving
from invoicing.stripe.handling import HANDLERS

OVERLAP = timedelta(hours=1)
"""An event can appear in the list later than its time says."""

FARTHEST_BACK = timedelta(days=30)
"""Stripe keeps its list that long."""

_EVENTS = "events"


def sweep(*, at: datetime) -> int:
    """Store the events of the types we handle that are in Stripe's list and not in the inbox; return how many.

    It begins where the last sweep that came to its end began to look, so a sweep that did not run, or broke off, loses
    nothing, whatever else arrived meanwhile.
    """
    last = StripeSweep.objects.filter(name=_EVENTS).values_list("swept_until", flat=True).first()
    since = max(last - OVERLAP, at - FARTHEST_BACK) if last else at - FARTHEST_BACK
    found = 0
    for body in gateway.fetch_events(since=since, types=tuple(sorted(HANDLERS))):
        event = gateway.read_event(body)
        row, created = receiving.store(event=event, body=body, at=at)
        if created:
            receiving.nudge(row.pk)
            found += 1
    with transaction.atomic():
        StripeSweep.objects.update_or_create(name=_EVENTS, defaults={"swept_until": at})
    return found
