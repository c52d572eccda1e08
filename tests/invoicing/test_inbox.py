"""What Stripe tells, late, twice, out of order or not at all: each payment is booked exactly once."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from moneyed import Money

from billing_ops.kit.errors import Conflict
from invoicing import billing, settling
from invoicing.collecting import AlreadyPaid
from invoicing.models import Invoice, Payment, StripeEvent, StripeObject
from invoicing.stripe import gateway, handling, sweeping
from ledger import balances
from tests.invoicing.proof import prove
from tests.invoicing.shop import Shop, again, collect
from tests.invoicing.stories import MONTH_LATER, START, TESTER, at_once, billed, give_card
from tests.stripe_standin.stories import new_customer, open_invoice
from tests.support.billing import deliver_webhooks

SOON, LATER = START + timedelta(minutes=2), START + timedelta(minutes=30)


class Crash(BaseException):
    """The process dies here."""


def paid_unnoticed(shop: Shop) -> Invoice:
    """An invoice that Stripe has taken the money for, while our process died before it was told."""
    invoice = shop.owing()

    def dies(**arguments: Any) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settling, "refresh", dies)
        with pytest.raises(Crash):
            collect(invoice)
    assert again(invoice).status == "open"
    assert len(shop.charges(invoice)) == 1
    return invoice


def is_settled_once(shop: Shop, invoice: Invoice) -> None:
    """Paid, by one payment with one entry, and the attempt has its answer."""
    now = again(invoice)
    assert (now.status, now.amount_paid) == ("paid", now.amount_due)
    assert [one.stripe_charge_id for one in now.payments.all()] == [one["id"] for one in shop.charges(invoice)]
    assert [one.status for one in now.attempts.all()] == ["succeeded"]
    prove(shop.standin, all_final=False)


def events_of(invoice: Invoice, kind: str = "invoice.paid") -> list[StripeEvent]:
    """The inbox's rows about its mirror."""
    return list(StripeEvent.objects.filter(object_id=again(invoice).stripe_id, type=kind).order_by("pk"))


def test_the_webhook_settles_what_our_process_did_not_live_to_see(shop: Shop) -> None:
    invoice = paid_unnoticed(shop)
    deliver_webhooks(shop.standin, START)
    is_settled_once(shop, invoice)
    (event,) = events_of(invoice)
    assert (event.outcome, event.handled_at, event.tries, event.error) == ("applied", START, 1, "")


@pytest.mark.parametrize("fault", ["duplicate", "twin"])
def test_the_same_news_twice_is_one_payment(shop: Shop, fault: str) -> None:
    shop.standin.fault(fault, types="invoice.paid")
    invoice = paid_unnoticed(shop)
    deliver_webhooks(shop.standin, START)
    is_settled_once(shop, invoice)
    assert [one.outcome for one in events_of(invoice)] == ["applied"] * (2 if fault == "twin" else 1)


def test_news_in_the_wrong_order_ends_in_the_same_state(shop: Shop) -> None:
    """First declined, then paid; told the other way round."""
    deliver_webhooks(shop.standin, START)
    shop.standin.fault("reorder", types="invoice.pa*", count=2)
    invoice = shop.owing(card="pm_card_chargeCustomerFail")
    assert collect(invoice).status == "failed"
    give_card(invoice.customer, "pm_card_visa")
    assert collect(invoice).status == "succeeded"
    told = [one["type"] for one in deliver_webhooks(shop.standin, START)]
    assert told.index("invoice.paid") < told.index("invoice.payment_failed")
    now = again(invoice)
    assert (now.status, [one.status for one in now.attempts.all()]) == ("paid", ["failed", "succeeded"])
    assert now.payments.count() == 1
    prove(shop.standin, all_final=False)


def test_a_dropped_webhook_is_found_in_stripes_list(shop: Shop) -> None:
    shop.standin.fault("drop", types="invoice.paid")
    invoice = paid_unnoticed(shop)
    deliver_webhooks(shop.standin, START)
    assert again(invoice).status == "open"
    assert sweeping.sweep(at=LATER) == 1
    assert sweeping.sweep(at=LATER) == 0
    handling.handle_due(at=LATER)
    is_settled_once(shop, invoice)


def test_an_event_that_was_never_made_is_made_up_for_by_asking_again(shop: Shop) -> None:
    shop.standin.fault("never", types="invoice.paid")
    invoice = paid_unnoticed(shop)
    deliver_webhooks(shop.standin, START)
    sweeping.sweep(at=LATER)
    assert again(invoice).status == "open"
    billing.collect_due(at=LATER, actor=TESTER)
    is_settled_once(shop, invoice)


@pytest.mark.parametrize("style", ["other_secret", "tampered", "garbage", "non_ascii", "missing"])
def test_a_forgery_beside_the_real_one_is_refused(shop: Shop, style: str) -> None:
    shop.standin.fault("forge", types="invoice.paid", style=style)
    invoice = paid_unnoticed(shop)
    outcomes = deliver_webhooks(shop.standin, START)
    assert [one["status"] for one in outcomes if one["forged"]] == [400]
    is_settled_once(shop, invoice)
    assert len(events_of(invoice)) == 1


def test_a_stale_signature_is_refused_and_the_retry_is_taken(shop: Shop) -> None:
    shop.standin.fault("stale", types="invoice.paid")
    invoice = paid_unnoticed(shop)
    first = deliver_webhooks(shop.standin, START)
    assert [one["status"] for one in first if one["type"] == "invoice.paid"] == [400]
    assert again(invoice).status == "open"
    deliver_webhooks(shop.standin, START)
    is_settled_once(shop, invoice)


def test_an_event_in_the_shape_of_an_older_version_is_fetched_in_ours(shop: Shop) -> None:
    shop.standin.fault("api_version", types="invoice.paid", api_version="2024-06-20")
    invoice = paid_unnoticed(shop)
    deliver_webhooks(shop.standin, START)
    assert [one.api_version for one in events_of(invoice)] == ["2024-06-20"]
    is_settled_once(shop, invoice)


def test_other_types_are_answered_kept_and_ignored(shop: Shop) -> None:
    invoice = shop.owing()
    collect(invoice)
    deliver_webhooks(shop.standin, START)
    created = events_of(invoice, "invoice.created")
    assert [(one.outcome, one.handled_at) for one in created] == [("ignored", START)]


def broken(**arguments: Any) -> None:
    raise gateway.Unavailable("Stripe answered 503.")


def test_an_event_that_keeps_failing_rests_longer_is_parked_and_can_be_replayed(shop: Shop) -> None:
    invoice = paid_unnoticed(shop)
    at, waits = START, []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "fetch", lambda mirror: broken())
        deliver_webhooks(shop.standin, at)
        (event,) = StripeEvent.objects.filter(type="invoice.paid", handled_at=None, parked_at=None)
        while event.parked_at is None:
            assert event.next_try_at is not None
            waits.append((event.next_try_at - at) / timedelta(minutes=1))
            assert handling.handle(event_pk=event.pk, at=event.next_try_at - timedelta(seconds=1)).tries == event.tries
            at = event.next_try_at
            assert handling.handle_due(at=at) >= 1
            event.refresh_from_db()
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360]
    assert (event.tries, event.parked_at, event.handled_at) == (handling.PARK_AFTER, at, None)
    assert event.error.startswith("Unavailable: Stripe answered 503.")
    assert event.pk not in handling.due(at=at + timedelta(days=9))

    again_at = at + timedelta(days=1)
    handling.replay(event_pk=event.pk, at=again_at, actor=TESTER)
    with pytest.raises(Conflict):
        handling.replay(event_pk=event.pk, at=again_at, actor=TESTER)
    handling.handle_due(at=again_at)
    event.refresh_from_db()
    assert (event.outcome, event.error) == ("applied", "")
    assert event.parked_at is None
    is_settled_once(shop, invoice)

    handling.replay(event_pk=event.pk, at=again_at, actor=TESTER)
    handling.handle_due(at=again_at)
    is_settled_once(shop, invoice)


def test_one_event_that_fails_stops_no_other(shop: Shop) -> None:
    bad, good = paid_unnoticed(shop), paid_unnoticed(shop)
    (mirror,) = shop.mirrors(bad)
    real = gateway.fetch

    def fetch(one: str) -> gateway.Mirror:
        if one == mirror["id"]:
            raise RuntimeError("a bug of ours")
        return real(one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "fetch", fetch)
        deliver_webhooks(shop.standin, START)
    assert (again(bad).status, again(good).status) == ("open", "paid")
    (event,) = StripeEvent.objects.filter(object_id=mirror["id"], type="invoice.paid")
    assert event.error == "RuntimeError: a bug of ours"
    handling.handle_due(at=SOON)
    is_settled_once(shop, bad)


def test_older_news_that_arrives_after_newer_is_not_applied(shop: Shop) -> None:
    invoice = paid_unnoticed(shop)
    (mirror,) = shop.mirrors(invoice)
    real, calls = gateway.fetch, []

    def slow(one: str) -> gateway.Mirror:
        calls.append(one)
        if len(calls) == 1:  # while this one is under way, a newer one is fetched and applied
            settling.refresh(stripe_id=one, at=START)
            return replace(real(one), currency="EUR")  # were it applied, it would be refused
        return real(one)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "fetch", slow)
        settling.refresh(stripe_id=mirror["id"], at=START)
    row = StripeObject.objects.get(object_id=mirror["id"])
    assert (len(calls), row.fetch_seq, row.applied_seq) == (2, 2, 2)
    is_settled_once(shop, invoice)


def together(*works: Callable[[], Any]) -> None:
    """At once; none may fail."""
    assert [one for one in at_once(*works) if isinstance(one, BaseException)] == []


def test_delivered_twice_at_the_same_moment(shop: Shop) -> None:
    invoice = paid_unnoticed(shop)
    (mirror,) = shop.mirrors(invoice)
    parcels = shop.standin.control("take", {"all": False})["parcels"]
    (parcel,) = [one for one in parcels if one["type"] == "invoice.paid" and mirror["id"] in one["body"]]

    def receive() -> None:
        from invoicing.stripe import receiving

        receiving.receive(body=parcel["body"].encode(), header=parcel["headers"]["Stripe-Signature"], at=START)
        handling.handle_due(at=START)

    together(*[receive] * 4)
    assert len(StripeEvent.objects.filter(event_id=parcel["event"])) == 1
    is_settled_once(shop, invoice)


def test_the_webhook_and_the_collection_settle_at_the_same_moment(shop: Shop) -> None:
    invoice = paid_unnoticed(shop)
    (mirror,) = shop.mirrors(invoice)

    def pay() -> None:
        with suppress(AlreadyPaid):  # the right answer to whoever comes when the webhook has settled it
            collect(invoice)

    together(*[lambda: settling.refresh(stripe_id=mirror["id"], at=START)] * 3, *[pay] * 3)
    is_settled_once(shop, invoice)


def test_a_second_payment_becomes_customer_balance_and_pays_the_next_invoice(own_shop: Shop) -> None:
    invoice = own_shop.owing()
    collect(invoice)
    (mirror,) = own_shop.mirrors(invoice)
    known = gateway.fetch(mirror["id"])
    twice = replace(
        known,
        payments=(*known.payments, gateway.MirrorPayment("ch_of_another_channel", 500, START + timedelta(hours=1))),
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "fetch", lambda one: twice)
        settling.refresh(stripe_id=mirror["id"], at=LATER)
        settling.refresh(stripe_id=mirror["id"], at=LATER)
    of_customer = balances.of(customer_key=invoice.customer.key, unit="USD")
    assert (of_customer.receivable, of_customer.customer_balance) == (Decimal(0), Decimal(5))
    extra = Payment.objects.get(stripe_charge_id="ch_of_another_channel")
    assert (extra.amount.amount, extra.applied.amount) == (Decimal(5), Decimal(0))

    following = billed(invoice.customer, MONTH_LATER, at=MONTH_LATER)
    assert (following.total, following.balance_applied) == (Money(20, "USD"), Money(5, "USD"))
    assert following.amount_due == Money(15, "USD")
    own_shop.clock.set(MONTH_LATER)
    assert collect(following, MONTH_LATER).status == "succeeded"
    assert [one["amount"] for one in own_shop.charges(following)] == [1500]
    prove(all_final=False)


def test_an_invoice_that_is_not_ours_is_ignored(own_shop: Shop) -> None:
    """Somebody bills by hand in the same Stripe account."""
    client = own_shop.standin.client()
    by_hand = open_invoice(client, new_customer(client, "pm_card_visa"), 4711)
    client.v1.invoices.pay(by_hand.id)
    before = (Payment.objects.count(), balances.account_total(code="1010", unit="USD"))
    deliver_webhooks(own_shop.standin, START)
    (event,) = StripeEvent.objects.filter(object_id=by_hand.id, type="invoice.paid")
    assert (event.outcome, event.error) == ("ignored", "")
    assert (Payment.objects.count(), balances.account_total(code="1010", unit="USD")) == before


def test_a_copy_of_our_mirror_does_not_settle_our_invoice(own_shop: Shop) -> None:
    """Whoever copies our reference onto another Stripe invoice has not paid ours."""
    invoice = own_shop.owing(card="pm_card_chargeCustomerFail")
    collect(invoice)
    client = own_shop.standin.client()
    metadata = {gateway.REFERENCE: invoice.public_id}
    copy = open_invoice(client, new_customer(client, "pm_card_visa"), 2000, metadata=metadata)
    client.v1.invoices.pay(copy.id)
    assert settling.refresh(stripe_id=copy.id, at=START) is None
    assert (again(invoice).status, invoice.payments.count()) == ("open", 0)
