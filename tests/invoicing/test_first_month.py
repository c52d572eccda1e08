"""The whole way of one customer's first month: fee in advance, usage in arrears, credits, payment, revenue."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

from moneyed import USD, Money

from invoicing import accruals, accruing, billing, collecting
from invoicing.models import Invoice, PaymentAttempt
from ledger import balances, crediting
from tests.stripe_standin.process import Standin
from tests.support.billing import (
    MONTH_LATER,
    START,
    TESTER,
    World,
    bill,
    deliver_webhooks,
    event,
    fold,
    ledger_of,
    only_invoice,
    send,
)


def total(code: str) -> Decimal:
    return balances.account_total(code=code, unit="USD")


def test_the_first_invoice_is_the_fee_in_advance_and_is_paid(world: World, standin: Standin, clock: Any) -> None:
    acme = world.customer()
    world.subscribe(acme)

    bill(START)
    deliver_webhooks(standin, START)

    invoice = only_invoice(acme)
    assert invoice.number == "INV-000001"
    assert [(line.description, line.amount) for line in invoice.lines.all()] == [("Platform fee", Money(20, USD))]
    assert invoice.status == Invoice.Status.PAID
    assert ledger_of(acme).receivable == 0
    assert ledger_of(acme).deferred == 20
    assert total("1010") == 20
    assert standin.state()["paid_minor"] == {"usd": 2000}


def test_a_month_of_usage_is_rated_credited_invoiced_paid_and_earned(
    world: World, standin: Standin, clock: Any
) -> None:
    acme = world.customer()
    world.subscribe(acme)
    bill(START)
    crediting.grant(
        customer_key="acme",
        kind="goodwill",
        amount=Money("0.50", USD),
        reason_code="outage",
        actor=TESTER,
        at=START,
        key="sorry",
    )
    noon = clock.set(START + timedelta(days=10, hours=12))
    send(
        [
            event(1, subject="acme", time=noon, context=350_000, generated=40_001),
            event(2, subject="acme", time=noon, context=300_000, generated=2),
        ],
        at=noon,
    )
    fold(noon)
    assert ledger_of(acme).unbilled == 0
    assert accruals.unbilled(acme, at=noon + timedelta(minutes=1)) == {"USD": Decimal("2.160045")}
    accruing.accrue(customer_id=acme.pk, at=noon + timedelta(minutes=1), actor=TESTER)
    assert accruals.unbilled(acme, at=noon + timedelta(minutes=1)) == {"USD": Decimal("2.160045")}
    assert ledger_of(acme).unbilled == Decimal("1.56") + Decimal("0.600045")

    after = clock.set(MONTH_LATER + timedelta(hours=1))
    bill(after)
    deliver_webhooks(standin, after)

    # Context: 650,000 less 100,000 included is 550,000: 400,000 × $3.00/M + 150,000 × $2.40/M = 1.20 + 0.36.
    # Generated: 40,003 × $15.00/M = 0.600045.
    invoice = Invoice.objects.get(customer=acme, number="INV-000002")
    assert [(line.agreed_price.key, line.amount, line.unrounded_amount) for line in invoice.lines.all()] == [
        ("platform", Money(20, USD), Decimal(20)),
        ("context", Money("1.56", USD), Decimal("1.56")),
        ("generated", Money("0.60", USD), Decimal("0.600045")),
    ]
    assert invoice.credits_applied == Money("0.50", USD)
    assert invoice.amount_due == Money("21.66", USD)
    assert invoice.status == Invoice.Status.PAID
    assert standin.state()["paid_minor"] == {"usd": 2000 + 2166}
    accruing.accrue(customer_id=acme.pk, at=MONTH_LATER, actor=TESTER)
    acme_owes = ledger_of(acme)
    assert (acme_owes.receivable, acme_owes.unbilled, acme_owes.deferred) == (Decimal(0), Decimal(0), Decimal(20))
    assert total("4000") == Decimal("2.160045")
    assert total("4010") == 20
    assert total("6310") == Decimal("0.000045")
    assert total("1010") == Decimal("41.66")


def test_running_everything_again_changes_nothing(world: World, standin: Standin, clock: Any) -> None:
    acme = world.customer()
    world.subscribe(acme)
    bill(START)
    deliver_webhooks(standin, START)
    paid, requests = standin.state()["paid_minor"], len(standin.requests())

    bill(START)
    bill(START)
    deliver_webhooks(standin, START)

    assert standin.state()["paid_minor"] == paid
    assert len(standin.requests()) == requests
    assert Invoice.objects.count() == 1
    assert PaymentAttempt.objects.count() == 1
    assert billing.run(until=START, at=START, actor=TESTER)["drafted"].done == 0


def test_a_named_request_to_collect_is_answered_once(world: World, standin: Standin, clock: Any) -> None:
    """The process may die between Stripe's answer and ours: asked again, the same request gets the same attempt."""
    acme = world.customer(card="pm_card_chargeCustomerFail")
    world.subscribe(acme)
    billing.draft_due(until=START, at=START, actor=TESTER)
    billing.finalize_due(at=START, actor=TESTER)
    invoice = only_invoice(acme).public_id

    declined = collecting.collect(public_id=invoice, at=START, actor=TESTER, request_key="click-1")
    again = collecting.collect(public_id=invoice, at=START, actor=TESTER, request_key="click-1")
    other = collecting.collect(public_id=invoice, at=START, actor=TESTER, request_key="click-2")

    assert declined.status == PaymentAttempt.Status.FAILED
    assert again.pk == declined.pk
    assert other.number == 2
    assert standin.state()["counts"]["charge"] == 2
