"""Everything that the stand-in gives is what Stripe's own types describe, and so is everything that it was sent."""

from typing import Any

import pytest
import stripe

from tests.stripe_standin.conformance import assert_conforms, object_problems
from tests.stripe_standin.process import Standin
from tests.stripe_standin.stories import draft_invoice, new_customer, open_invoice


def test_a_whole_life_conforms(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    paid = open_invoice(client, customer, 2_000, 1_234)
    client.v1.invoices.pay(paid.id)
    charge = client.v1.charges.list({"customer": customer}).data[0]
    client.v1.refunds.create({"charge": charge.id, "amount": 500, "reason": "requested_by_customer"})
    _fail_to_pay(client)
    _give_up(client, customer)
    client.v1.invoices.delete(draft_invoice(client, customer, 100).id)
    client.v1.webhook_endpoints.create({"url": "http://127.0.0.1:1/x", "enabled_events": ["*"]})
    method = client.v1.payment_methods.list({"customer": customer}).data[0]
    client.v1.payment_methods.detach(method.id)
    standin.control("clock", {"now": "2031-01-01T00:00:00+00:00"})
    standin.control("payout", {})
    assert_conforms(standin)
    kinds = {event["data"]["object"]["object"] for event in standin.objects("event")}
    assert kinds >= {"customer", "invoice", "charge", "refund", "payment_intent", "payment_method", "payout"}


def _fail_to_pay(client: Any) -> None:
    failing = new_customer(client, "pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(open_invoice(client, failing, 700).id)
    cautious = new_customer(client, "pm_card_authenticationRequired")
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(open_invoice(client, cautious, 700).id)


def _give_up(client: Any, customer: str) -> None:
    client.v1.invoices.void_invoice(open_invoice(client, customer, 900).id)
    client.v1.invoices.mark_uncollectible(open_invoice(client, customer, 900).id)
    client.v1.invoices.pay(open_invoice(client, customer, 900).id, {"paid_out_of_band": True})
    open_invoice(client, customer, 20)  # below the minimum charge


def test_what_the_api_answers_conforms(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    invoice = open_invoice(client, customer, 5_000)
    answers = [
        client.v1.customers.retrieve(customer, {"expand": ["invoice_settings.default_payment_method"]}),
        client.v1.invoices.pay(invoice.id, {"expand": ["payments.data.payment.payment_intent", "customer"]}),
        client.v1.invoices.retrieve(invoice.id, {"expand": ["confirmation_secret"]}),
        client.v1.balance.retrieve(),
        *client.v1.invoice_payments.list(
            {"invoice": invoice.id, "expand": ["data.payment.payment_intent.latest_charge"]}
        ),
        *client.v1.charges.list({"expand": ["data.balance_transaction", "data.refunds"]}),
        *client.v1.events.list({"limit": 100}),
    ]
    problems = [problem for answer in answers for problem in object_problems(plain(answer))]
    assert not problems, "\n".join(problems)


def plain(answer: Any) -> Any:
    """The JSON that an object of the SDK was made of."""
    import json

    return json.loads(str(answer))


def test_a_parameter_that_stripe_does_not_know_is_found(standin: Standin) -> None:
    client = standin.client()
    with pytest.raises(stripe.InvalidRequestError):
        client.v1.customers.create({"e_mail": "a@example.com"})
    with pytest.raises(AssertionError, match="e_mail"):
        assert_conforms(standin)
    assert_conforms(standin, refused=True)


def test_a_request_without_an_idempotency_key_is_found(standin: Standin) -> None:
    import urllib.request

    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{standin.url}/v1/customers", b"email=a", {"Authorization": f"Bearer {standin.api_key}"}
    )
    urllib.request.urlopen(request, timeout=10).close()  # noqa: S310 - loopback
    with pytest.raises(AssertionError, match="no idempotency key"):
        assert_conforms(standin)
