"""Faults of requests: what was done, what was answered, and what the SDK makes of it."""

from typing import Any

import pytest
import stripe

from tests.stripe_standin.process import Standin, StandinFailed
from tests.stripe_standin.stories import new_customer, open_invoice

PAY = {"method": "POST", "path": "/v1/invoices/*/pay"}


@pytest.fixture
def invoice(standin: Standin) -> Any:
    """An open invoice of $7.00 that can be paid."""
    client = standin.client()
    return open_invoice(client, new_customer(client, "pm_card_visa"), 700)


def _impatient(standin: Standin) -> Any:
    return standin.client(http_client=stripe.RequestsClient(timeout=0.3))


def _paid(standin: Standin) -> int:
    return int(standin.state()["paid_minor"].get("usd", 0))


def test_rate_limit_is_not_retried_by_the_sdk(standin: Standin, invoice: Any) -> None:
    standin.fault("rate_limit", **PAY)
    before = len(standin.requests())
    with pytest.raises(stripe.RateLimitError) as limited:
        standin.client(max_network_retries=2).v1.invoices.pay(invoice.id)
    assert limited.value.headers is not None
    assert "Stripe-Should-Retry" not in limited.value.headers
    assert len(standin.requests()) == before + 1
    assert _paid(standin) == 0
    assert standin.client().v1.invoices.pay(invoice.id).status == "paid"


@pytest.mark.parametrize("status", [500, 502, 503])
def test_an_error_before_the_work(standin: Standin, invoice: Any, status: int) -> None:
    standin.fault("error_before", status=status, **PAY)
    client = standin.client()
    with pytest.raises(stripe.APIError):
        client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert _paid(standin) == 0
    if status == 500:  # an endpoint that had begun: its 500 is kept under the key
        with pytest.raises(stripe.APIError):
            client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
        assert _paid(standin) == 0
        client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "another"})
    else:  # the edge: nothing is kept
        client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert _paid(standin) == 700


def test_a_bad_gateway_after_the_work_is_healed_by_the_same_key(standin: Standin, invoice: Any) -> None:
    standin.fault("error_after", status=502, stored=False, **PAY)
    client = standin.client()
    with pytest.raises(stripe.APIError):
        client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert _paid(standin) == 700
    with pytest.raises(stripe.InvalidRequestError, match="already paid"):
        client.v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert _paid(standin) == 700


@pytest.mark.parametrize(("fault", "done"), [("timeout_before", 0), ("timeout_after", 700)])
def test_a_timeout(standin: Standin, invoice: Any, fault: str, done: int) -> None:
    standin.fault(fault, **PAY)
    with pytest.raises(stripe.APIConnectionError):
        _impatient(standin).v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert _paid(standin) == done
    again = standin.client().v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert again.status == "paid"
    assert _paid(standin) == 700


@pytest.mark.parametrize(("fault", "done"), [("reset_before", 0), ("reset_after", 700)])
def test_a_reset_connection(standin: Standin, invoice: Any, fault: str, done: int) -> None:
    standin.fault(fault, **PAY)
    with pytest.raises(stripe.APIConnectionError, match=r"(?i)reset|aborted"):
        standin.client().v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"})
    assert _paid(standin) == done
    assert standin.client().v1.invoices.pay(invoice.id, {}, {"idempotency_key": "pay"}).status == "paid"
    assert _paid(standin) == 700


def test_the_sdk_heals_a_reset_by_itself_when_it_may_retry(standin: Standin, invoice: Any) -> None:
    standin.fault("reset_after", **PAY)
    assert standin.client(max_network_retries=2).v1.invoices.pay(invoice.id).status == "paid"
    assert _paid(standin) == 700


def test_count_and_skip_choose_the_requests(standin: Standin) -> None:
    client = standin.client()
    standin.fault("rate_limit", method="POST", path="/v1/customers", skip=1, count=2)
    outcomes = []
    for _ in range(4):
        try:
            client.v1.customers.create({})
            outcomes.append(200)
        except stripe.RateLimitError:
            outcomes.append(429)
    assert outcomes == [200, 429, 429, 200]
    assert standin.control("faults")["faults"] == []


def test_faults_survive_a_restart_and_can_be_cleared(standin: Standin) -> None:
    standin.fault("rate_limit", path="/v1/customers")
    standin.restart()
    assert [fault["fault"] for fault in standin.control("faults")["faults"]] == ["rate_limit"]
    standin.control("faults/clear", {})
    standin.client().v1.customers.create({})


def test_an_unknown_fault_is_refused(standin: Standin) -> None:
    with pytest.raises(StandinFailed, match="unknown fault"):
        standin.fault("explode")
    with pytest.raises(StandinFailed, match="unknown fields"):
        standin.fault("rate_limit", type="invoice.paid")
