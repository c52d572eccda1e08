"""A month that nobody attends: only the tasks that Celery's clock starts, told the time by the virtual clock."""

from datetime import timedelta
from typing import Any

from django.test import Client

from invoicing import tasks
from invoicing.models import Invoice, PaymentAttempt, StripeEvent
from ledger import balances
from tests.invoicing.proof import prove
from tests.invoicing.shop import Shop, again
from tests.invoicing.stories import BILLED, FEBRUARY_LATER, MONTH_LATER, NOON, START, join, used
from tests.stripe_standin.process import Json

_TASKS = (
    tasks.bill,
    tasks.bill_late,
    tasks.collect_due,
    tasks.accrue,
    tasks.handle_due_events,
    tasks.sweep_stripe_events,
)


def everything() -> None:
    """Each beat task once."""
    for task in _TASKS:
        task()


def test_the_tasks_alone_bill_collect_settle_and_earn(own_shop: Shop) -> None:
    acme = join(own_shop.world.version, begin=False)
    everything()
    assert acme.invoices.get().status == "paid"
    used(1, time=NOON, context=1_000_000, generated=100_000)
    for at in (NOON + timedelta(hours=1), MONTH_LATER, BILLED, FEBRUARY_LATER - timedelta(days=1)):
        own_shop.clock.set(at)
        everything()
    requests = len(own_shop.standin.requests())
    everything()
    writes = [one for one in own_shop.standin.requests()[requests:] if one["method"] == "POST"]
    assert writes == []
    assert [str(one) for one in acme.invoices.order_by("pk")] == ["INV-000001", "INV-000002"]
    assert {one.status for one in acme.invoices.all()} == {"paid"}
    assert PaymentAttempt.objects.count() == 2
    handled = StripeEvent.objects.filter(type="invoice.paid")
    assert {one.outcome for one in handled} == {"applied"}  # found by the sweep: nothing was delivered
    assert balances.account_total(code="4010", unit="USD") > 39
    prove(own_shop.standin)


def test_a_nudge_collects_once_and_only_what_nobody_tried(own_shop: Shop) -> None:
    invoice = own_shop.owing()
    tasks.collect(invoice.public_id)
    assert again(invoice).status == "paid"
    before = len(own_shop.standin.requests())
    tasks.collect(invoice.public_id)
    failing = own_shop.owing(card="pm_card_chargeCustomerFail")
    tasks.collect(failing.public_id)
    tasks.collect(failing.public_id)
    assert failing.attempts.count() == 1
    assert len(own_shop.standin.requests()) > before
    tasks.collect("inv_of_nobody")
    assert Invoice.objects.count() == 2


def test_a_nudge_handles_an_event_once(own_shop: Shop) -> None:
    own_shop.owing()
    tasks.collect_due()
    answers: list[Json] = []

    def receive(body: bytes, headers: dict[str, str]) -> int:
        answer: Any = Client().post(
            "/webhooks/stripe",
            body,
            content_type="application/json",
            headers={"stripe-signature": headers["Stripe-Signature"]},
        )
        answers.append(answer.json())
        return int(answer.status_code)

    own_shop.standin.deliver_to(receive)
    assert {one["received"] for one in answers} == {True}
    event = StripeEvent.objects.get(type="invoice.paid")
    tasks.handle_stripe_event(event.pk)
    tasks.handle_stripe_event(event.pk)
    event.refresh_from_db()
    assert (event.outcome, event.tries, event.handled_at) == ("applied", 1, START)
    prove(own_shop.standin)
