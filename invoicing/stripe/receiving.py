"""Storing a verified webhook: no Stripe call and no business work, so that Stripe gets its 200 at once."""

from datetime import datetime, timedelta

from django.db import transaction

from billing_ops.kit import nudging
from billing_ops.kit.errors import BillingError
from invoicing.models import StripeEvent
from invoicing.stripe import gateway

BODY_LIMIT_BYTES = 1_000_000


class WebhookTooLarge(BillingError):
    """A body larger than any event."""

    code = "webhook.too_large"
    http_status = 413


def receive(*, body: bytes, header: str, at: datetime) -> tuple[StripeEvent, bool]:
    """Verify and store an event once; return the row and whether it is new.

    Raises ``gateway.BadWebhook`` or :class:`WebhookTooLarge`, and then nothing is stored. After the commit a task is
    nudged; if that message is lost, the sweep finds the row.
    """
    if len(body) > BODY_LIMIT_BYTES:
        raise WebhookTooLarge(f"The body has more than {BODY_LIMIT_BYTES} bytes.", kept="Nothing was stored.")
    event = gateway.verify(body=body, header=header, at=at)
    with transaction.atomic():
        row, created = store(event=event, body=body.decode(), at=at)
        if created:
            transaction.on_commit(lambda: nudge(row.pk), robust=True)
    return row, created


def store(*, event: gateway.ReceivedEvent, body: str, at: datetime) -> tuple[StripeEvent, bool]:
    """Insert the event unless its id is there; the first body that came is kept."""
    return StripeEvent.objects.get_or_create(
        event_id=event.id,
        defaults={
            "type": event.type,
            "object_id": event.object_id,
            "api_version": event.api_version,
            "livemode": event.livemode,
            "body": body,
            "created_at": event.created_at,
            "received_at": at,
            "next_try_at": at,
        },
    )


def nudge(event_pk: int) -> None:
    """Tell a worker that there is something to handle. The row is what counts; this is a courtesy."""
    nudging.nudge("invoicing.handle_stripe_event", event_pk)


HANDLING_LEASE = timedelta(minutes=2)
"""How long a worker that claimed an event may take before another one tries it."""
