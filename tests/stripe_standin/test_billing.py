"""Invoices, payments, fees, refunds and payouts: the money adds up as it does at Stripe."""

from typing import Any

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from billing_ops.stripe_standin.booking import fee_minor
from tests.stripe_standin.process import Standin, StandinFailed
from tests.stripe_standin.stories import draft_invoice, new_customer, open_invoice


def test_a_draft_adds_up_its_lines_in_order(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client)
    invoice = draft_invoice(client, customer, 2_000, 1_234, -34, number="INV-0001", metadata={"ref": "7"})
    found = client.v1.invoices.retrieve(invoice.id)
    assert (found.status, found.number, found.total, found.amount_due) == ("draft", "INV-0001", 3_200, 3_200)
    assert [line.amount for line in found.lines.data] == [2_000, 1_234, -34]
    line = found.lines.data[0]
    assert (line.description, line.metadata["amount"]) == ("Line of 2000", "2000")
    assert (line.period.start, line.period.end) == (1_700_000_000, 1_702_592_000)
    assert line.parent.invoice_item_details.invoice_item.startswith("ii_")


def test_amounts_of_three_decimals_end_in_zero(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    draft = client.v1.invoices.create({"customer": customer, "currency": "kwd"})
    item = client.v1.invoice_items.create(
        {"customer": customer, "invoice": draft.id, "currency": "kwd", "amount": 12_310}
    )
    for amount in (12_312, -1, 5):
        with pytest.raises(stripe.InvalidRequestError) as refused:
            client.v1.invoice_items.create(
                {"customer": customer, "invoice": draft.id, "currency": "kwd", "amount": amount}
            )
        assert (refused.value.http_status, refused.value.param) == (400, "amount")
        with pytest.raises(stripe.InvalidRequestError, match="least-significant digit"):
            client.v1.invoice_items.update(item.id, {"amount": amount})
    client.v1.invoices.finalize_invoice(draft.id, {"auto_advance": False})
    client.v1.invoices.pay(draft.id)
    assert standin.state()["paid_minor"] == {"kwd": 12_310}
    (charge,) = standin.objects("charge")
    with pytest.raises(stripe.InvalidRequestError, match="least-significant digit"):
        client.v1.refunds.create({"charge": charge["id"], "amount": 12_305})
    assert client.v1.refunds.create({"charge": charge["id"], "amount": 12_300}).amount == 12_300


def test_an_invoice_shows_ten_lines_and_lists_all(standin: Standin) -> None:
    client = standin.client()
    invoice = draft_invoice(client, new_customer(client), *range(100, 112))
    found = client.v1.invoices.retrieve(invoice.id)
    assert (len(found.lines.data), found.lines.has_more) == (10, True)
    lines = client.v1.invoices.line_items.list(invoice.id, {"limit": 5})
    assert [line.amount for line in lines.auto_paging_iter()] == list(range(100, 112))


def test_pending_items_are_pulled_in_only_when_asked(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client)
    for amount in (100, 200):
        client.v1.invoice_items.create({"customer": customer, "amount": amount, "currency": "usd"})
    without = client.v1.invoices.create({"customer": customer})
    assert client.v1.invoices.retrieve(without.id).total == 0
    with_them = client.v1.invoices.create({"customer": customer, "pending_invoice_items_behavior": "include"})
    assert [line.amount for line in with_them.lines.data] == [200, 100], "pending items come newest first"
    assert with_them.total == 300
    assert client.v1.invoice_items.list({"customer": customer, "pending": True}).data == []


def test_items_go_onto_drafts_of_the_same_customer_and_currency_only(standin: Standin) -> None:
    client = standin.client()
    customer, other = new_customer(client), new_customer(client)
    draft = draft_invoice(client, customer)
    opened = open_invoice(client, customer, 100)
    for bad in (
        {"invoice": draft.id, "currency": "eur"},
        {"invoice": draft.id, "customer": other},
        {"invoice": opened.id},
        {"invoice": "in_x"},
    ):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.invoice_items.create({"amount": 1, **bad})
    item = client.v1.invoice_items.create({"invoice": draft.id, "amount": 100})
    client.v1.invoice_items.update(item.id, {"amount": 150})
    assert client.v1.invoices.retrieve(draft.id).total == 150
    client.v1.invoice_items.delete(item.id)
    assert client.v1.invoices.retrieve(draft.id).total == 0
    with pytest.raises(stripe.InvalidRequestError, match="no longer editable"):
        client.v1.invoice_items.delete(client.v1.invoice_items.list({"invoice": opened.id}).data[0].id)


def test_numbers_are_unique_and_given_when_missing(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client)
    open_invoice(client, customer, 100, number="INV-1")
    with pytest.raises(stripe.InvalidRequestError, match="INV-1 is already used"):
        client.v1.invoices.create({"customer": customer, "number": "INV-1"})
    prefix = client.v1.customers.retrieve(customer).invoice_prefix
    assert [open_invoice(client, customer, 100).number for _ in range(2)] == [f"{prefix}-0001", f"{prefix}-0002"]


def test_finalising_twice_and_an_empty_invoice_are_refused(standin: Standin) -> None:
    client = standin.client()
    invoice = open_invoice(client, new_customer(client), 100)
    with pytest.raises(stripe.InvalidRequestError, match="already finalized"):
        client.v1.invoices.finalize_invoice(invoice.id)
    with pytest.raises(stripe.InvalidRequestError, match="Nothing to invoice"):
        client.v1.invoices.finalize_invoice(draft_invoice(client, new_customer(client)).id)


def test_it_never_advances_by_itself_and_says_so(standin: Standin) -> None:
    client = standin.client()
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.invoices.create({"customer": new_customer(client), "auto_advance": True})
    assert refused.value.code == "standin_not_implemented"


def test_paying_moves_money_once(standin: Standin) -> None:
    client = standin.client()
    invoice = client.v1.invoices.pay(open_invoice(client, new_customer(client, "pm_card_visa"), 2_000, 1_234).id)
    assert (invoice.status, invoice.amount_paid, invoice.amount_remaining) == ("paid", 3_234, 0)
    assert (invoice.attempt_count, invoice.attempted) == (1, True)
    payment = client.v1.invoice_payments.list({"invoice": invoice.id}).data[0]
    assert (payment.status, payment.amount_paid, payment.is_default) == ("paid", 3_234, True)
    intent = client.v1.payment_intents.retrieve(payment.payment.payment_intent)
    charge = client.v1.charges.retrieve(intent.latest_charge)
    assert (charge.amount, charge.paid, charge.outcome.network_status) == (3_234, True, "approved_by_network")
    assert (charge.payment_method_details.card.last4, charge.payment_method_details.card.brand) == ("4242", "visa")
    balance = client.v1.balance_transactions.retrieve(charge.balance_transaction)
    assert (balance.amount, balance.fee, balance.net, balance.reporting_category) == (3_234, 124, 3_110, "charge")
    assert sum(detail.amount for detail in balance.fee_details) == 124
    with pytest.raises(stripe.InvalidRequestError, match="Invoice is already paid"):
        client.v1.invoices.pay(invoice.id)
    assert standin.state()["paid_minor"] == {"usd": 3_234}
    assert standin.state()["fees_minor"] == {"usd": 124}


@given(st.integers(min_value=1, max_value=10**9))
def test_the_fee_is_the_rounded_percentage_and_thirty(amount: int) -> None:
    from decimal import ROUND_HALF_UP, Decimal

    percentage = (Decimal(amount) * Decimal("0.029")).quantize(Decimal(1), ROUND_HALF_UP)
    assert fee_minor(amount) == int(percentage) + 30


def test_without_a_payment_method_nothing_is_attempted(standin: Standin) -> None:
    client = standin.client()
    invoice = open_invoice(client, new_customer(client), 700)
    with pytest.raises(stripe.InvalidRequestError, match="no attached payment source or default payment method"):
        client.v1.invoices.pay(invoice.id)
    found = client.v1.invoices.retrieve(invoice.id)
    assert (found.status, found.attempt_count, found.attempted) == ("open", 0, False)


def test_a_declined_card_leaves_the_invoice_open_and_says_why(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_chargeCustomerFail")
    invoice = open_invoice(client, customer, 700)
    for _ in range(2):
        with pytest.raises(stripe.CardError) as declined:
            client.v1.invoices.pay(invoice.id)
    error: Any = declined.value.error
    assert (declined.value.http_status, error.type, error.code) == (402, "card_error", "card_declined")
    assert (error.decline_code, error.network_decline_code, error.advice_code) == (
        "generic_decline",
        "05",
        "try_again_later",
    )
    assert error.payment_intent.status == "requires_payment_method"
    assert error.payment_intent.last_payment_error.decline_code == "generic_decline"
    found = client.v1.invoices.retrieve(invoice.id)
    assert (found.status, found.amount_remaining, found.attempted) == ("open", 700, True)
    assert found.attempt_count == 1, "only the first attempt and automatic retries count"
    charges = client.v1.charges.list({"customer": customer}).data
    assert [(charge.status, charge.paid, charge.failure_code) for charge in charges] == [
        ("failed", False, "card_declined")
    ] * 2
    assert client.v1.customers.retrieve(customer).delinquent is True
    assert standin.state()["paid_minor"] == {}


@pytest.mark.parametrize(
    ("decline", "code", "advice"),
    [
        ("insufficient_funds", "card_declined", "try_again_later"),
        ("stolen_card", "card_declined", "do_not_try_again"),
        ("expired_card", "expired_card", "confirm_card_data"),
    ],
)
def test_a_saved_card_can_start_to_decline_and_recover(standin: Standin, decline: str, code: str, advice: str) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_mastercard")
    method = client.v1.customers.retrieve(customer).invoice_settings.default_payment_method
    invoice = open_invoice(client, customer, 700)
    standin.control("card", {"payment_method": method, "decline": decline})
    with pytest.raises(stripe.CardError) as declined:
        client.v1.invoices.pay(invoice.id)
    error: Any = declined.value.error
    assert (error.code, error.decline_code, error.advice_code) == (code, decline, advice)
    standin.control("card", {"payment_method": method, "decline": None})
    assert client.v1.invoices.pay(invoice.id).status == "paid"
    assert client.v1.customers.retrieve(customer).delinquent is False
    with pytest.raises(StandinFailed, match="decline: one of"):
        standin.control("card", {"payment_method": method, "decline": "bored"})


def test_a_card_that_wants_authentication_waits_for_the_customer(standin: Standin) -> None:
    client = standin.client()
    invoice = open_invoice(client, new_customer(client, "pm_card_authenticationRequired"), 700)
    with pytest.raises(stripe.CardError) as waits:
        client.v1.invoices.pay(invoice.id)
    error: Any = waits.value.error
    assert error.code == "invoice_payment_intent_requires_action"
    assert error.payment_intent.status == "requires_action"
    types = standin.state()["events"]
    assert types["invoice.payment_action_required"] == types["invoice.payment_failed"] == 1
    assert client.v1.invoices.retrieve(invoice.id).status == "open"


def test_cards_that_decline_everything_cannot_be_saved(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client)
    for card in ("pm_card_chargeDeclined", "pm_card_visa_chargeDeclinedInsufficientFunds"):
        with pytest.raises(stripe.CardError):
            client.v1.payment_methods.attach(card, {"customer": customer})
    with pytest.raises(stripe.CardError):
        client.v1.customers.create({"name": "n", "payment_method": "pm_card_chargeDeclined"})
    assert standin.state()["counts"]["customer"] == 1, "nothing of a refused request stays"
    with pytest.raises(stripe.InvalidRequestError, match="No such PaymentMethod"):
        client.v1.payment_methods.attach("pm_card_imaginary", {"customer": customer})


def test_payment_methods_belong_to_one_customer(standin: Standin) -> None:
    client = standin.client()
    made = client.v1.customers.create(
        {"payment_method": "pm_card_visa", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
    )
    method = made.invoice_settings.default_payment_method
    assert method.startswith("pm_")
    assert client.v1.payment_methods.retrieve(method).customer == made.id
    assert [one.id for one in client.v1.customers.payment_methods.list(made.id)] == [method]
    other = new_customer(client)
    with pytest.raises(stripe.InvalidRequestError, match="already been attached"):
        client.v1.payment_methods.attach(method, {"customer": other})
    with pytest.raises(stripe.InvalidRequestError, match="must be attached"):
        client.v1.customers.update(other, {"invoice_settings": {"default_payment_method": method}})
    client.v1.payment_methods.detach(method)
    assert client.v1.customers.retrieve(made.id).invoice_settings.default_payment_method is None
    with pytest.raises(stripe.InvalidRequestError, match="may not be used again"):
        client.v1.payment_methods.attach(method, {"customer": other})
    (detached,) = [one for one in standin.objects("event") if one["type"] == "payment_method.detached"]
    assert detached["data"]["object"]["customer"] is None


def test_below_the_minimum_charge_the_debt_goes_to_the_balance(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    small = open_invoice(client, customer, 49)
    assert (small.status, small.total, small.amount_due, small.amount_paid) == ("paid", 49, 0, 0)
    assert client.v1.customers.retrieve(customer).balance == 49
    assert standin.state()["paid_minor"] == {}
    assert standin.state()["events"]["invoice.paid"] == 1, "paid, and no money moved"
    following = open_invoice(client, customer, 100)
    assert (following.starting_balance, following.ending_balance, following.amount_due) == (49, 0, 149)
    assert client.v1.customers.retrieve(customer).balance == 0
    assert client.v1.invoices.pay(following.id).amount_paid == 149


def test_zero_and_credit_are_paid_at_once(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    assert open_invoice(client, customer, 100, -100).status == "paid"
    assert open_invoice(client, customer, 100, -400).status == "paid"
    assert client.v1.customers.retrieve(customer).balance == -300
    partly = open_invoice(client, customer, 1_000)
    assert (partly.amount_due, partly.starting_balance) == (700, -300)
    client.v1.invoices.void_invoice(partly.id)
    assert client.v1.customers.retrieve(customer).balance == -300, "voiding gives the balance back"


def test_void_uncollectible_and_out_of_band(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    void = client.v1.invoices.void_invoice(open_invoice(client, customer, 500).id)
    assert void.status == "void"
    assert client.v1.invoice_payments.list({"invoice": void.id}).data[0].status == "canceled"
    for act in (client.v1.invoices.pay, client.v1.invoices.void_invoice, client.v1.invoices.mark_uncollectible):
        with pytest.raises(stripe.InvalidRequestError):
            act(void.id)
    bad = client.v1.invoices.mark_uncollectible(open_invoice(client, customer, 500).id)
    assert bad.status == "uncollectible"
    assert client.v1.invoices.pay(bad.id).status == "paid", "uncollectible is not final"
    elsewhere = client.v1.invoices.pay(open_invoice(client, customer, 500).id, {"paid_out_of_band": True})
    assert (elsewhere.status, elsewhere.amount_paid_off_stripe) == ("paid", 500)
    assert standin.state()["paid_minor"] == {"usd": 500}
    with pytest.raises(stripe.InvalidRequestError, match="only delete draft"):
        client.v1.invoices.delete(void.id)


def test_after_finalisation_only_metadata_changes(standin: Standin) -> None:
    client = standin.client()
    invoice = open_invoice(client, new_customer(client), 500)
    assert client.v1.invoices.update(invoice.id, {"metadata": {"a": "b"}}).metadata["a"] == "b"
    with pytest.raises(stripe.InvalidRequestError, match="can't be updated"):
        client.v1.invoices.update(invoice.id, {"description": "late"})


def test_refunds_never_exceed_the_charge(standin: Standin) -> None:
    client = standin.client()
    client.v1.invoices.pay(open_invoice(client, new_customer(client, "pm_card_visa"), 1_000).id)
    charge = client.v1.charges.list().data[0]
    part = client.v1.refunds.create({"charge": charge.id, "amount": 300})
    balance = client.v1.balance_transactions.retrieve(part.balance_transaction)
    assert (balance.amount, balance.fee, balance.net, balance.reporting_category) == (-300, 0, -300, "refund")
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded amount"):
        client.v1.refunds.create({"charge": charge.id, "amount": 701})
    rest = client.v1.refunds.create({"payment_intent": charge.payment_intent})
    assert rest.amount == 700
    found = client.v1.charges.retrieve(charge.id, {"expand": ["refunds"]})
    assert (found.amount_refunded, found.refunded) == (1_000, True)
    assert [one.amount for one in found.refunds.data] == [700, 300]
    with pytest.raises(stripe.InvalidRequestError) as over:
        client.v1.refunds.create({"charge": charge.id})
    assert over.value.code == "charge_already_refunded"
    assert standin.state()["refunded_minor"] == {"usd": 1_000}


def test_a_payout_is_the_sum_of_what_it_contains(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    standin.control("clock", {"now": "2025-01-01T00:00:00+00:00"})
    for amount in (1_000, 2_345):
        client.v1.invoices.pay(open_invoice(client, customer, amount).id)
    client.v1.refunds.create({"charge": client.v1.charges.list().data[0].id, "amount": 45})
    pending = client.v1.balance.retrieve()
    assert (pending.pending[0].amount, pending.available[0].amount) == (1_000 - 59 + 2_345 - 98, -45)
    assert standin.control("payout", {})["payout"] is None, "nothing is available yet"
    standin.control("clock", {"now": "2025-01-03T00:00:00+00:00"})
    payout = client.v1.payouts.retrieve(standin.control("payout", {})["payout"]["id"])
    contained = client.v1.balance_transactions.list({"payout": payout.id, "limit": 100}).data
    nets = [one.net for one in contained if one.type != "payout"]
    assert payout.amount == sum(nets) == 1_000 - 59 + 2_345 - 98 - 45
    assert len(nets) == 3
    assert client.v1.balance.retrieve().available[0].amount == 0


def test_the_virtual_clock_is_read_from_its_file(standin: Standin, clock: Any) -> None:
    from datetime import UTC, datetime

    client = standin.client()
    clock.set(datetime(2023, 11, 16, 18, 15, tzinfo=UTC))
    assert client.v1.customers.create({}).created == 1_700_158_500
    clock.advance(days=30)
    assert client.v1.customers.create({}).created == 1_700_158_500 + 30 * 86_400
    standin.control("clock", {"now": "2024-02-29T00:00:00+00:00"})
    assert clock.now() == datetime(2024, 2, 29, tzinfo=UTC), "both sides share one time"
