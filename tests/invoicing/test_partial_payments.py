"""Less money than a mirror asks for: what it pays is paid, and what is left can still be collected, once."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from moneyed import Money

from invoicing import collecting, mirroring, settling
from invoicing.models import Invoice
from invoicing.stripe import gateway
from plans.models import Customer
from tests.invoicing.proof import prove
from tests.invoicing.shop import Shop, again, collect
from tests.invoicing.stories import (
    FEBRUARY_LATER,
    GRACE,
    MONTH_LATER,
    NOON,
    START,
    billed,
    give_card,
    join,
    publish,
    usage_price,
    used,
)

APRIL = FEBRUARY_LATER + timedelta(days=31)
AFTER_APRIL = APRIL + GRACE


def dollars(amount: str) -> Money:
    return Money(amount, "USD")


def arrived(invoice: Invoice, *amounts: int, at: datetime) -> None:
    """Stripe tells of so many payments of the mirror, in cents, all told so far (a bank transfer, say)."""
    known = gateway.fetch(str(again(invoice).stripe_id))
    payments = tuple(
        gateway.MirrorPayment(f"ch_{invoice.number}_{position}", amount, START)
        for position, amount in enumerate(amounts)
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "fetch", lambda one: replace(known, payments=payments))
        settling.refresh(stripe_id=known.id, at=at)


def unanswered(shop: Shop, invoice: Invoice, at: datetime) -> None:
    """Its mirror is there and nobody knows what came of the payment."""
    shop.standin.fault("reset_before", path="*/pay", count=3)
    assert collect(invoice, at).status == "pending"
    shop.standin.control("faults/clear", {})


@pytest.mark.parametrize(
    ("cents", "left", "charge"), [(1000, Decimal("0.49"), "10.49"), (1020, Decimal("0.29"), "10.29")]
)
def test_what_a_paid_carrier_did_not_cover_is_carried_again(shop: Shop, cents: int, left: Decimal, charge: str) -> None:
    """10.49 is due with 0.49 of another invoice in it, and less arrives: the carrier is paid first."""
    customer = join(publish(f"carried-{cents}", usage_price("tokens", "0.01")), f"carried-{cents}", card="pm_card_visa")
    for month, (time, quantity) in enumerate(
        [(NOON, 49), (MONTH_LATER + timedelta(days=1), 1000), (FEBRUARY_LATER + timedelta(days=1), 1000)]
    ):
        used(month + cents, time=time, subject=customer.key, generated=quantity)
    small = billed(customer, MONTH_LATER)
    carrier = billed(customer, FEBRUARY_LATER)
    shop.clock.set(FEBRUARY_LATER + GRACE)
    unanswered(shop, carrier, FEBRUARY_LATER + GRACE)
    assert again(small).collected_with == carrier

    arrived(carrier, cents, at=FEBRUARY_LATER + GRACE)

    attempt = carrier.attempts.get()
    assert (again(carrier).status, again(carrier).amount_paid) == ("paid", dollars("10.00"))
    assert (attempt.amount, attempt.status, attempt.failure_code) == (dollars("10.49"), "failed", "paid_in_part")
    assert (again(small).status, again(small).collected_with) == ("open", None)
    assert (again(small).open_amount.amount, again(small).amount_paid.amount) == (left, Decimal("0.49") - left)
    with pytest.raises(collecting.AlreadyPaid):
        collect(carrier, APRIL)
    with pytest.raises(collecting.TooSmallToCharge):
        collect(small, APRIL)

    following = billed(customer, APRIL)
    shop.clock.set(AFTER_APRIL)
    answer = collect(following, AFTER_APRIL)
    assert (answer.status, answer.amount) == ("succeeded", dollars(charge))
    (mirror,) = shop.mirrors(following)
    lines = shop.standin.client().v1.invoices.line_items.list(mirror["id"]).data
    assert sorted(line.amount for line in lines) == [int(left * 100), 1000]
    assert {again(one).status for one in (small, following)} == {"paid"}
    assert (again(small).collected_with, again(small).amount_paid) == (following, dollars("0.49"))
    prove(all_final=False)


def test_money_for_the_old_mirror_after_that_becomes_customer_balance(shop: Shop) -> None:
    """Nobody pays twice: what the old mirror still gets is kept for the customer."""
    customer = join(publish("twice", usage_price("tokens", "0.01")), "twice")
    used(1, time=NOON, subject="twice", generated=49)
    used(2, time=MONTH_LATER + timedelta(days=1), subject="twice", generated=1000)
    small, carrier = billed(customer, MONTH_LATER), billed(customer, FEBRUARY_LATER)
    unanswered(shop, carrier, FEBRUARY_LATER)
    arrived(carrier, 1000, at=FEBRUARY_LATER)
    arrived(carrier, 1000, 49, at=FEBRUARY_LATER)
    assert [one.applied for one in carrier.payments.order_by("pk")] == [dollars("10.00"), dollars("0.00")]
    assert (again(small).status, again(small).open_amount) == ("open", dollars("0.49"))
    assert carrier.attempts.get().status == "failed"
    prove(all_final=False)


def test_an_attempt_waits_until_all_of_it_is_there(shop: Shop) -> None:
    invoice = shop.owing("20.00")
    unanswered(shop, invoice, START)

    arrived(invoice, 500, at=START)
    attempt = invoice.attempts.get()
    assert (attempt.status, attempt.resolved_at) == ("pending", None)
    assert (again(invoice).status, again(invoice).amount_paid) == ("open", dollars("5.00"))

    arrived(invoice, 500, 700, 100, at=START)  # two more in one piece of news
    assert (again(invoice).status, again(invoice).amount_paid) == ("open", dollars("13.00"))
    assert invoice.attempts.get().status == "pending"

    arrived(invoice, 500, 700, 100, 700, at=START)
    assert (again(invoice).status, again(invoice).amount_paid) == ("paid", dollars("20.00"))
    assert (invoice.attempts.get().status, invoice.attempts.get().resolved_at) == ("succeeded", START)
    prove(all_final=False)


def test_a_payment_whose_charge_is_named_later_is_posted_once(shop: Shop) -> None:
    """Two payments without a charge are two; named by its charge the next time, each is the one that it was."""
    invoice = shop.owing("20.00")
    unanswered(shop, invoice, START)
    known = gateway.fetch(str(again(invoice).stripe_id))
    unnamed = tuple(gateway.MirrorPayment(f"pi_{n}_{invoice.number}", 1000, START) for n in (1, 2))
    named = tuple(replace(one, charge_id=one.charge_id.replace("pi", "py"), other_ids=one.ids) for one in unnamed)
    for news in (unnamed, named, unnamed):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gateway, "fetch", lambda one, news=news: replace(known, payments=news))
            settling.refresh(stripe_id=known.id, at=START)
        found = [(one.stripe_charge_id, one.applied) for one in invoice.payments.order_by("pk")]
        assert found == [(one.charge_id, dollars("10.00")) for one in unnamed]
    assert (again(invoice).status, invoice.attempts.get().status) == ("paid", "succeeded")
    prove(all_final=False)


def test_no_payment_is_kept_without_a_name(shop: Shop) -> None:
    invoice = shop.owing("20.00")
    assert collect(invoice).status == "succeeded"
    payment = invoice.payments.get()
    payment.pk, payment.stripe_charge_id = None, ""
    with pytest.raises(IntegrityError, match="payment_has_its_charge"), transaction.atomic():
        payment.save(force_insert=True)


def test_a_difference_that_another_worker_made_by_settling_is_no_difference(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The carried one is let go between our look and our comparison: nothing is charged, and nothing is wrong."""
    customer = join(publish("raced", usage_price("tokens", "0.01")), "raced", card="pm_card_chargeCustomerFail")
    used(11, time=NOON, subject="raced", generated=49)
    used(12, time=MONTH_LATER + timedelta(days=1), subject="raced", generated=1000)
    billed(customer, MONTH_LATER)
    carrier = billed(customer, FEBRUARY_LATER)
    assert collect(carrier, FEBRUARY_LATER).status == "failed"
    give_card(customer, "pm_card_visa")
    real = mirroring.ensure_customer

    def settled_meanwhile(customer: Customer, **named: Any) -> gateway.StripeCustomer:
        found = real(customer, **named)
        arrived(carrier, 1000, at=FEBRUARY_LATER)
        return found

    monkeypatch.setattr(mirroring, "ensure_customer", settled_meanwhile)
    answer = collect(carrier, FEBRUARY_LATER)
    assert (answer.status, answer.failure_code, again(carrier).status) == ("failed", "paid_in_part", "paid")
    assert shop.charges(carrier) == []
