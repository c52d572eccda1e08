"""The Idempotency-Key keeps the answer of the first request, whatever it was."""

import threading
from typing import Any

import pytest
import stripe

from tests.stripe_standin.process import Standin
from tests.stripe_standin.stories import draft_invoice, new_customer, open_invoice


def _create(client: Any, key: str, **params: Any) -> Any:
    return client.v1.customers.create(params, {"idempotency_key": key})


def test_the_same_key_gets_the_same_answer(standin: Standin) -> None:
    client = standin.client()
    first = _create(client, "k1", email="a@example.com", metadata={"a": "b"})
    again = _create(client, "k1", email="a@example.com", metadata={"a": "b"})
    assert again.id == first.id
    assert "Idempotent-Replayed" not in first.last_response.headers
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert again.last_response.headers["Original-Request"] == first.last_response.headers["Request-Id"]
    assert standin.state()["counts"]["customer"] == 1
    assert [one["replayed"] for one in standin.requests()] == [False, True]


def test_other_parameters_are_an_error(standin: Standin) -> None:
    client = standin.client()
    _create(client, "k1", email="a@example.com")
    with pytest.raises(stripe.IdempotencyError, match="same parameters"):
        _create(client, "k1", email="b@example.com")
    with pytest.raises(stripe.IdempotencyError, match="same endpoint"):
        client.v1.webhook_endpoints.create(
            {"url": "http://127.0.0.1:1/", "enabled_events": ["*"]}, {"idempotency_key": "k1"}
        )
    assert standin.state()["counts"]["customer"] == 1


def test_a_key_is_forgotten_after_a_day_of_its_clock(standin: Standin) -> None:
    client = standin.client()
    standin.control("clock", {"now": "2025-01-01T00:00:00+00:00"})
    first = _create(client, "k1", email="a@example.com")
    standin.control("clock", {"now": "2025-01-02T00:00:00+00:00"})
    assert _create(client, "k1", email="a@example.com").id == first.id
    standin.control("clock", {"now": "2025-01-02T00:00:01+00:00"})
    assert _create(client, "k1", email="a@example.com").id != first.id


def test_a_decline_is_kept(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_chargeCustomerFail")
    invoice = open_invoice(client, customer, 700)
    method = client.v1.customers.retrieve(customer).invoice_settings.default_payment_method
    with pytest.raises(stripe.CardError):
        client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    standin.control("card", {"payment_method": method, "decline": None})
    with pytest.raises(stripe.CardError) as again:
        client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert again.value.headers is not None
    assert again.value.headers["Idempotent-Replayed"] == "true"
    assert standin.state()["counts"]["charge"] == 1
    assert client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay again"}).status == "paid"


def test_a_500_is_kept_and_replayed(standin: Standin) -> None:
    client = standin.client()
    invoice = open_invoice(client, new_customer(client, "pm_card_visa"), 700)
    standin.fault("error_after", method="POST", path="/v1/invoices/*/pay")
    for _ in range(2):
        with pytest.raises(stripe.APIError) as failed:
            client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
        assert failed.value.http_status == 500
    assert client.v1.invoices.retrieve(invoice.id).status == "paid", "the work was done"
    assert standin.state()["paid_minor"] == {"usd": 700}


def test_what_was_refused_at_the_door_is_not_kept(standin: Standin) -> None:
    client = standin.client()
    with pytest.raises(stripe.InvalidRequestError):
        _create(client, "k1", e_mail="a@example.com")
    assert _create(client, "k1", email="a@example.com").email == "a@example.com"


def test_a_concurrent_request_with_the_same_key_gets_409(standin: Standin) -> None:
    client = standin.client()
    standin.fault("hold", method="POST", path="/v1/customers")
    answers: list[Any] = []
    first = threading.Thread(target=lambda: answers.append(_create(standin.client(), "k1", email="a@example.com")))
    first.start()
    try:
        assert standin.control("await_holding", {})["holding"]
        with pytest.raises(stripe.APIError) as busy:
            _create(client, "k1", email="a@example.com")
        assert busy.value.http_status == 409
        assert busy.value.error is not None
        assert busy.value.error.code == "idempotency_key_in_use"
    finally:
        standin.control("release", {})
        first.join(20)
    assert _create(client, "k1", email="a@example.com").id == answers[0].id
    assert standin.state()["counts"]["customer"] == 1


def test_an_answered_request_survives_a_kill(standin: Standin) -> None:
    client = standin.client()
    customer = new_customer(client, "pm_card_visa")
    invoice = open_invoice(client, customer, 700)
    paid = client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    events = len(standin.objects("event"))
    standin.kill()
    standin.start()
    again = client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert str(again) == str(paid)
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert standin.state()["paid_minor"] == {"usd": 700}
    assert len(standin.objects("event")) == events
    assert standin.state()["deliveries"] == {"pending": events}


def test_a_killed_request_was_either_done_or_not(standin: Standin) -> None:
    """Killed while it holds the request: nothing was done, and the retry with the same key does it once."""
    client = standin.client()
    invoice = draft_invoice(client, new_customer(client), 700)
    standin.fault("hold", method="POST", path="/v1/invoices/*/finalize")
    failures: list[Exception] = []

    def finalize() -> None:
        try:
            standin.client().v1.invoices.finalize_invoice(invoice.id, {}, {"idempotency_key": "f"})
        except stripe.APIConnectionError as error:
            failures.append(error)

    attempt = threading.Thread(target=finalize)
    attempt.start()
    assert standin.control("await_holding", {})["holding"]
    standin.kill()
    attempt.join(20)
    standin.start()
    assert len(failures) == 1
    assert client.v1.invoices.retrieve(invoice.id).status == "draft"
    assert client.v1.invoices.finalize_invoice(invoice.id, {}, {"idempotency_key": "f"}).status == "open"
