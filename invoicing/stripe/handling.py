"""Handling stored Stripe events with exactly-once effects.

1. Claim: count the try and move ``next_try_at`` ahead by a lease, by compare-and-set, and commit.
2. Route by the event's type. Unknown types are *ignored*: they were answered with 200 as Stripe asks.
3. ``settling.refresh`` fetches the object as it is *now* and applies it, effects under their own natural keys.
4. Mark handled. When it raised: keep the error, wait longer each time, and park the row after ``PARK_AFTER`` tries,
   where a person sees it and can replay it.
"""

import logging
from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import F

from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.errors import BillingError, Conflict
from billing_ops.kit.failing import wait_after
from invoicing import settling
from invoicing.models import StripeEvent
from invoicing.stripe.receiving import HANDLING_LEASE

log = logging.getLogger(__name__)

PARK_AFTER = 12
APPLIED, IGNORED = "applied", "ignored"

Handler = Callable[[StripeEvent, datetime], str]


class EventNotReplayable(Conflict):
    """An event that is being worked on, or needs no replay."""

    code = "webhook.not_replayable"


class EventWithoutObject(BillingError):
    """An event that we act on, without an id of its object that could be asked for."""

    code = "webhook.without_object"
    kept = "The event is stored."
    remedy = "An engineer reads the event's body and finds the object in Stripe."


def _refresh_invoice(event: StripeEvent, at: datetime) -> str:
    if not event.object_id:
        raise EventWithoutObject(f"{event} names no object.", event=event.event_id)
    return APPLIED if settling.refresh(stripe_id=event.object_id, at=at) else IGNORED


HANDLERS: dict[str, Handler] = {
    "invoice.paid": _refresh_invoice,
    "invoice.payment_failed": _refresh_invoice,
}
"""What we act on. Everything else about the same change (``invoice.payment_succeeded``, ``charge.succeeded``, …) would
only tell the same thing again."""


def handle(*, event_pk: int, at: datetime) -> StripeEvent:
    """Handle one stored event; safe to call any number of times, at once and after crashes."""
    event = StripeEvent.objects.get(pk=event_pk)
    if event.handled_at is not None or event.parked_at is not None or not _claim(event, at):
        return event
    handler = HANDLERS.get(event.type)
    try:
        outcome = handler(event, at) if handler else IGNORED
    except Exception as error:  # whatever it was, it must be kept on the row, where the sweep and people find it
        _keep_error(event, error, at)
        raise
    StripeEvent.objects.filter(pk=event.pk).update(handled_at=at, outcome=outcome, error="", next_try_at=None)
    event.refresh_from_db()
    return event


def due(*, at: datetime, limit: int = 200) -> list[int]:
    """Events that nobody handled yet and whose time has come, oldest first."""
    rows = StripeEvent.objects.filter(handled_at__isnull=True, parked_at__isnull=True, next_try_at__lte=at)
    return list(rows.order_by("next_try_at", "pk").values_list("pk", flat=True)[:limit])


def handle_due(*, at: datetime) -> int:
    """Handle every event that is due and return how many there were; one that fails keeps its error, stops no other."""
    found = due(at=at)
    for event_pk in found:
        try:
            handle(event_pk=event_pk, at=at)
        except Exception:  # kept on the row by ``handle``; the others must not wait for it
            log.exception("Stripe event %s failed", event_pk)
    return len(found)


@transaction.atomic
def replay(*, event_pk: int, at: datetime, actor: Actor) -> StripeEvent:
    """Make a parked or handled event due again; its effects have natural keys, so nothing is done twice."""
    changed = (
        StripeEvent.objects.filter(pk=event_pk)
        .exclude(handled_at__isnull=True, parked_at__isnull=True)
        .update(handled_at=None, parked_at=None, outcome="", tries=0, next_try_at=at)
    )
    event = StripeEvent.objects.get(pk=event_pk)
    if not changed:
        raise EventNotReplayable(f"{event.event_id} is waiting to be handled already.")
    record(
        at=at,
        actor=actor,
        action="webhook.replayed",
        subject_type="stripe_event",
        subject_key=event.event_id,
        summary=f"Replay of {event.type}",
    )
    return event


def _claim(event: StripeEvent, at: datetime) -> bool:
    claimed = StripeEvent.objects.filter(
        pk=event.pk, tries=event.tries, handled_at__isnull=True, next_try_at__lte=at
    ).update(tries=F("tries") + 1, next_try_at=at + HANDLING_LEASE)
    if claimed:
        event.refresh_from_db()
    return bool(claimed)


def _keep_error(event: StripeEvent, error: Exception, at: datetime) -> None:
    StripeEvent.objects.filter(pk=event.pk, handled_at__isnull=True).update(
        error=f"{type(error).__name__}: {error}"[:1000],
        next_try_at=at + wait_after(event.tries),
        parked_at=at if event.tries >= PARK_AFTER else None,
    )
