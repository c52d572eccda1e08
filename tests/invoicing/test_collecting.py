"""Collecting through Stripe when something goes wrong on the way: the money moves once, or not at all, and it shows."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from billing_ops.kit.money import to_minor
from invoicing import billing, collecting, finalizing, mirroring, settling
from invoicing.models import Invoice, PaymentAttempt
from invoicing.stripe import gateway
from tests.invoicing.proof import prove
from tests.invoicing.shop import Shop, again, collect
from tests.invoicing.stories import GRACE, MONTH_LATER, NOON, START, TESTER, billed, give_card, join, used

LATER = START + timedelta(minutes=5)
NEXT_DAY = START + timedelta(days=1, minutes=1)


class Crash(BaseException):
    """The process dies here: nothing of ours catches it."""


def is_paid_once(shop: Shop, invoice: Invoice) -> None:
    """One mirror, one charge over exactly what was due, one succeeded attempt at most pending none; books agree."""
    (mirror,) = shop.mirrors(invoice)
    (charge,) = shop.charges(invoice)
    now = again(invoice)
    assert (now.status, now.stripe_id, now.amount_paid) == ("paid", mirror["id"], now.amount_due)
    assert charge["amount"] == to_minor(now.amount_due)
    assert [one.stripe_charge_id for one in now.payments.all()] == [charge["id"]]
    assert list(now.attempts.values_list("status", flat=True)).count("succeeded") == 1
    assert not now.attempts.filter(status="pending").exists()
    prove(shop.standin, all_final=False)


def test_a_declined_card_leaves_the_invoice_open_and_another_card_pays(shop: Shop) -> None:
    invoice = shop.owing(card="pm_card_chargeCustomerFail")
    first = collect(invoice)
    assert (first.status, first.failure_code, first.next_try_at) == ("failed", "generic_decline", None)
    assert again(invoice).status == "open"
    assert shop.charges(invoice) == []
    assert collecting.due(at=NEXT_DAY).count(invoice.public_id) == 0

    give_card(invoice.customer, "pm_card_mastercard")
    second = collect(invoice)

    assert (second.number, second.status) == (2, "succeeded")
    assert first.idempotency_key != second.idempotency_key
    is_paid_once(shop, invoice)


def test_a_card_that_cannot_even_be_saved_is_a_decline_and_another_card_pays(shop: Shop) -> None:
    invoice = shop.owing(card="pm_card_chargeDeclinedInsufficientFunds")
    first = collect(invoice)
    assert (first.status, first.failure_code) == ("failed", "insufficient_funds")

    give_card(invoice.customer, "pm_card_visa")
    assert collect(invoice).status == "succeeded"
    is_paid_once(shop, invoice)


def test_a_card_that_needs_its_owner_is_a_decline(shop: Shop) -> None:
    invoice = shop.owing(card="pm_card_authenticationRequired")
    attempt = collect(invoice)
    assert (attempt.status, attempt.failure_code) == ("failed", "invoice_payment_intent_requires_action")
    assert again(invoice).status == "open"


@pytest.mark.parametrize("step", ["/v1/customers", "/v1/invoices", "/v1/invoiceitems", "*/finalize", "*/pay"])
@pytest.mark.parametrize("fault", ["error_after", "reset_after"])
def test_an_answer_that_got_lost_after_the_work_was_done(shop: Shop, step: str, fault: str) -> None:
    """The connection breaks, or a 500 is answered and kept: the work is not done twice, now or a day later."""
    invoice = shop.owing()
    shop.standin.fault(fault, method="POST", path=step, count=1)

    collect(invoice)
    collect(invoice, LATER) if again(invoice).status == "open" else None
    if again(invoice).status == "open":  # Stripe keeps a 500 for a day: the same key gets the same answer
        attempt = invoice.attempts.get()
        assert (attempt.status, attempt.tries) == ("pending", 2)
        shop.clock.set(NEXT_DAY)
        collect(invoice, NEXT_DAY)
    is_paid_once(shop, invoice)


@pytest.mark.parametrize("fault", ["error_before", "reset_before", "rate_limit"])
def test_a_request_that_never_arrived_is_made_again_with_the_same_key(shop: Shop, fault: str) -> None:
    invoice = shop.owing()
    shop.standin.fault(fault, path="*/pay", count=3, **({"status": 503} if fault == "error_before" else {}))
    attempt = collect(invoice)
    assert (attempt.status, attempt.tries) == ("pending", 1)
    assert attempt.next_try_at == START + timedelta(minutes=1)
    assert again(invoice).status == "open"
    assert collecting.due(at=START).count(invoice.public_id) == 0
    shop.standin.control("faults/clear", {})

    billing.collect_due(at=LATER, actor=TESTER)

    is_paid_once(shop, invoice)
    keys = {one["idempotency_key"] for one in shop.standin.requests() if one["path"].endswith("/pay")}
    assert attempt.idempotency_key in keys
    assert PaymentAttempt.objects.get(invoice=invoice).idempotency_key == attempt.idempotency_key


def test_a_timeout_after_the_payment_is_found_out_by_asking(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = shop.owing()
    monkeypatch.setattr(gateway, "_TIMEOUT_SECONDS", 0.4)
    gateway._client_for.cache_clear()
    shop.standin.fault("timeout_after", path="*/pay", hold_seconds=2)
    try:
        assert collect(invoice).status == "succeeded"  # the SDK asks again with the same key
    finally:
        gateway._client_for.cache_clear()
    is_paid_once(shop, invoice)


CRASHES = ["create_customer", "create_invoice", "add_item", "finalize", "pay"]


@pytest.mark.parametrize("step", CRASHES)
@pytest.mark.parametrize("resumed_at", [LATER, NEXT_DAY])
def test_a_crash_after_a_step_goes_on_where_it_stopped(
    shop: Shop, step: str, resumed_at: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a day later, when Stripe has forgotten the idempotency keys."""
    invoice = shop.owing()
    work = getattr(gateway, step)

    def dies(**arguments: Any) -> None:
        work(**arguments)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(gateway, step, dies)
        with pytest.raises(Crash):
            collect(invoice)
    assert again(invoice).status == "open"

    shop.clock.set(resumed_at)
    billing.collect_due(at=resumed_at, actor=TESTER)

    is_paid_once(shop, invoice)


def test_a_crash_when_half_of_the_lines_were_there_sends_the_other_half(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = join(shop.world.version, "wide")
    used(1, time=NOON, subject="wide", context=1_000_000, generated=1_000_000)
    invoice = billed(customer, MONTH_LATER)
    shop.clock.set(MONTH_LATER + GRACE)
    work, sent = gateway.add_item, []

    def dies(**arguments: Any) -> None:
        work(**arguments)
        sent.append(arguments["item"].key)
        if len(sent) == 2:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(gateway, "add_item", dies)
        with pytest.raises(Crash):
            collect(invoice, MONTH_LATER + GRACE)
    resumed = MONTH_LATER + timedelta(days=2)
    shop.clock.set(resumed)
    assert collect(invoice, resumed).status == "succeeded"
    (mirror,) = shop.mirrors(invoice)
    lines = shop.standin.client().v1.invoices.line_items.list(mirror["id"]).data
    said = [(line.description, line.amount) for line in lines]
    ours = [(line.description, to_minor(line.amount)) for line in invoice.lines.all()]
    assert sorted(said) == sorted(ours)
    assert len(ours) == 3
    is_paid_once(shop, invoice)


def unanswered(shop: Shop, fault: str) -> Invoice:
    """An invoice whose payment was asked for and not answered."""
    invoice = shop.owing()
    with pytest.MonkeyPatch.context() as patch:
        if fault == "no answer":  # the process dies before it is heard
            patch.setattr(settling, "refresh", _crash)
            with pytest.raises(Crash):
                collect(invoice)
        else:
            shop.standin.fault(fault, path="*/pay", count=3)
            assert collect(invoice).status == "pending"
    shop.standin.control("faults/clear", {})
    return invoice


def test_a_card_that_was_removed_while_the_answer_was_unknown_makes_room_for_another(shop: Shop) -> None:
    """The pending attempt asks for the old card for ever: Stripe's refusal ends it, and the new card pays."""
    invoice = unanswered(shop, "reset_before")
    attempt = invoice.attempts.get()
    assert attempt.payment_method.startswith("pm_")
    shop.standin.client().v1.payment_methods.detach(attempt.payment_method)
    give_card(invoice.customer, "pm_card_mastercard")

    assert billing.collect_one(invoice.public_id, at=LATER, actor=TESTER).failed == 1
    attempt.refresh_from_db()
    assert (attempt.status, attempt.next_try_at) == ("failed", None)
    assert failed_work(invoice).code == "stripe.refused"

    assert collect(invoice, LATER).status == "succeeded"
    is_paid_once(shop, invoice)
    assert failed_work(invoice) is None


def test_a_bad_card_chosen_after_an_unanswered_payment_does_not_hide_that_it_was_paid(shop: Shop) -> None:
    invoice = unanswered(shop, "no answer")
    give_card(invoice.customer, "pm_card_chargeDeclined")
    assert collect(invoice, LATER).status == "succeeded"
    is_paid_once(shop, invoice)


@pytest.mark.parametrize("path", ["/v1/customers/*", "/v1/invoices/*", "/v1/invoice_payments"])
def test_reading_that_fails_is_unknown_and_asked_again(shop: Shop, path: str) -> None:
    invoice = shop.owing()
    shop.standin.fault("error_before", method="GET", path=path, status=503, count=12)
    first = collect(invoice)
    shop.standin.control("faults/clear", {})
    if first.status == "pending":
        billing.collect_due(at=LATER, actor=TESTER)
    is_paid_once(shop, invoice)


def test_a_void_invoice_is_not_collected(own_shop: Shop) -> None:
    invoice = own_shop.owing()
    Invoice.objects.filter(pk=invoice.pk).update(status="void")
    with pytest.raises(collecting.NotCollectable, match="is void"):
        collect(invoice)
    assert billing.collect_due(at=LATER, actor=TESTER) == billing.Tally()
    assert own_shop.standin.requests() == []


def test_the_webhook_of_a_mirror_whose_id_was_not_stored_adopts_it(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = shop.owing()

    def dies(*arguments: Any) -> None:
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(mirroring, "_remember", dies)
        with pytest.raises(Crash):
            collect(invoice)
    (mirror,) = shop.mirrors(invoice)
    assert again(invoice).stripe_id is None
    settled = settling.refresh(stripe_id=mirror["id"], at=LATER)
    assert settled is not None
    assert again(invoice).stripe_id == mirror["id"]
    collect(invoice, LATER)
    is_paid_once(shop, invoice)


def test_a_mirror_that_says_something_else_is_not_charged_and_shows(shop: Shop) -> None:
    invoice = shop.owing()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "finalize", _crash)
        with pytest.raises(Crash):
            collect(invoice)
    (mirror,) = shop.mirrors(invoice)
    shop.standin.client().v1.invoice_items.create(
        {"customer": mirror["customer"], "invoice": mirror["id"], "currency": "usd", "amount": 1}
    )

    tally = billing.collect_one(invoice.public_id, at=LATER, actor=TESTER)

    assert (tally.done, tally.failed) == (0, 1)
    failed = failed_work(invoice)
    assert failed is not None
    assert (failed.code, failed.tries) == ("stripe.mirror_differs", 1)
    attempt = invoice.attempts.get()
    assert (attempt.status, attempt.tries) == ("pending", 1)
    assert "2001" in attempt.failure_message
    assert shop.charges(invoice) == []
    assert again(invoice).status == "open"


def _crash(**arguments: Any) -> None:
    raise Crash


def failed_work(invoice: Invoice) -> Any:
    """What is noted as failing to collect it."""
    from billing_ops.models import FailedWork

    return FailedWork.objects.filter(task=billing.COLLECT, subject=invoice.public_id).first()


def test_what_cannot_be_collected_is_refused_and_says_why(shop: Shop) -> None:
    draft = shop.draft()
    paid, nothing, tiny = shop.owing(), shop.owing("0.00"), shop.owing("0.49")
    cardless = shop.owing(card="")
    collect(paid)
    before = len(shop.standin.requests())
    for invoice, error in (
        (draft, collecting.NotCollectable),
        (paid, collecting.AlreadyPaid),
        (nothing, collecting.AlreadyPaid),
        (tiny, collecting.TooSmallToCharge),
        (cardless, collecting.NoPaymentMethod),
    ):
        with pytest.raises(error) as refused:
            collect(invoice)
        assert type(refused.value) is error
        assert refused.value.http_status == 409
    with pytest.raises(finalizing.InvoiceNotFound):
        collecting.collect(public_id="inv_of_nobody", at=START, actor=TESTER)
    assert len(shop.standin.requests()) == before
    assert not PaymentAttempt.objects.filter(invoice__in=[draft, nothing, tiny, cardless]).exists()


def test_failed_work_is_cleared_by_whoever_succeeds(shop: Shop) -> None:
    """A run noted it; a person then collects by hand."""
    invoice = shop.owing(card="")
    assert billing.collect_one(invoice.public_id, at=START, actor=TESTER).failed == 1
    failed = failed_work(invoice)
    assert failed is not None
    assert failed.code == "customer.no_payment_method"
    give_card(invoice.customer, "pm_card_visa")
    assert collect(invoice).status == "succeeded"
    assert failed_work(invoice) is None


def test_a_card_chosen_while_stripe_was_asked_is_kept(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = shop.owing()
    real = gateway.use_payment_method

    def slow(**arguments: Any) -> str:
        made = real(**arguments)
        give_card(invoice.customer, "pm_card_mastercard")
        return made

    monkeypatch.setattr(gateway, "use_payment_method", slow)
    collect(invoice)
    invoice.customer.refresh_from_db()
    assert invoice.customer.default_payment_method == "pm_card_mastercard"
    is_paid_once(shop, invoice)


def test_many_unpayable_invoices_do_not_keep_others_waiting(shop: Shop) -> None:
    """What is too small or has no card stays open for long; newer invoices are collected all the same."""
    for _ in range(3):
        shop.owing("0.01")
    last = shop.owing()
    billing.collect_due(at=START, actor=TESTER)
    assert again(last).status == "paid"
