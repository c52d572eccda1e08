"""Celery's entries into invoicing: each asks what is due, or does one unit that is due anyway."""

import time

from celery import shared_task

from billing_ops.kit import clock
from billing_ops.kit.actor import system
from invoicing import auto_topping_up, billing, proving
from invoicing.models import Invoice
from invoicing.stripe import handling, sweeping

RUN = system("billing-run")
LONGEST_RUN_SECONDS = 5
"""One task draws no longer than this, so that a worker can stop between two items; the next beat goes on."""


@shared_task(name="invoicing.draw_down")
def draw_down() -> int:
    """Draw usage that arrived from credits, for at most five seconds; how many items. Any number may run at once."""
    stop, items = time.monotonic() + LONGEST_RUN_SECONDS, 0
    while time.monotonic() < stop:
        done = billing.draw_due(at=clock.now(), actor=RUN).done
        items += done
        if not done:
            break
    return items


@shared_task(name="invoicing.prove")
def prove() -> int:
    """Prove that usage that is drawn was paid for once; the number of violations, each kept as failed work."""
    return proving.prove(at=clock.now())


@shared_task(name="invoicing.bill")
def bill() -> None:
    """Draft and finalise what is due."""
    at = clock.now()
    billing.draft_due(until=at, at=at, actor=RUN)
    billing.finalize_due(at=at, actor=RUN)


@shared_task(name="invoicing.bill_late")
def bill_late() -> None:
    """Bill usage that came in late for subscriptions that have ended."""
    billing.bill_late(at=clock.now(), actor=RUN)


@shared_task(name="invoicing.collect_due")
def collect_due() -> None:
    """Collect what is open and untried, and ask again where Stripe's answer is unknown."""
    billing.collect_due(at=clock.now(), actor=RUN)


@shared_task(name="invoicing.collect")
def collect(public_id: str) -> None:
    """A nudge after a finalisation: collect this one now, unless somebody did."""
    if Invoice.objects.filter(public_id=public_id, status=Invoice.Status.OPEN, attempts__isnull=True).exists():
        billing.collect_one(public_id, at=clock.now(), actor=RUN)


@shared_task(name="invoicing.accrue")
def accrue() -> None:
    """Bring accrued usage and recognised fees up to now."""
    billing.accrue_all(at=clock.now(), actor=RUN)


@shared_task(name="invoicing.auto_top_up")
def auto_top_up() -> int:
    """Order the top-ups that rules ask for; how many. Looks only at rules whose customer has something new."""
    return auto_topping_up.run_due(at=clock.now())


@shared_task(name="invoicing.bill_overage")
def bill_overage() -> None:
    """Bill use beyond credits of customers whom no period's edge bills."""
    at = clock.now()
    billing.bill_overage(at=at, actor=RUN)
    billing.finalize_due(at=at, actor=RUN)


@shared_task(name="invoicing.handle_stripe_event")
def handle_stripe_event(event_pk: int) -> None:
    """A nudge after a webhook: handle this event now, unless somebody did."""
    handling.handle(event_pk=event_pk, at=clock.now())


@shared_task(name="invoicing.handle_due_events")
def handle_due_events() -> None:
    """Handle stored events that nobody handled: their nudge was lost, or they failed before."""
    handling.handle_due(at=clock.now())


@shared_task(name="invoicing.sweep_stripe_events")
def sweep_stripe_events() -> None:
    """Fetch events whose webhook never arrived."""
    sweeping.sweep(at=clock.now())
