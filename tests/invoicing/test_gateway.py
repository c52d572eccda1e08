"""The one door to Stripe: never in a transaction, never to another host, and every answer has one of three meanings."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stripe

from invoicing.stripe import gateway
from tests.stripe_standin.fixtures import running_standin
from tests.support.billing import START

ITEM = gateway.MirrorItem("line-1", "Fee", 100)
CALLS: dict[str, Callable[[], Any]] = {
    "create_customer": lambda: gateway.create_customer(reference="acme", name="Acme", email="", key="k"),
    "fetch_customer": lambda: gateway.fetch_customer("cus_1"),
    "use_payment_method": lambda: gateway.use_payment_method(customer="cus_1", payment_method="pm_1", key="k"),
    "create_invoice": lambda: gateway.create_invoice(
        customer="cus_1", currency="USD", number="INV-1", reference="inv_1", key="k"
    ),
    "find_invoice": lambda: gateway.find_invoice(customer="cus_1", reference="inv_1"),
    "add_item": lambda: gateway.add_item(mirror="in_1", customer="cus_1", currency="USD", item=ITEM, key="k"),
    "finalize": lambda: gateway.finalize(mirror="in_1", key="k"),
    "pay": lambda: gateway.pay(mirror="in_1", payment_method="pm_1", key="k"),
    "fetch": lambda: gateway.fetch("in_1"),
    "fetch_events": lambda: gateway.fetch_events(since=START, types=("invoice.paid",)),
}


@pytest.mark.usefixtures("db")
@pytest.mark.parametrize("call", CALLS)
def test_no_call_is_made_with_a_transaction_open(call: str) -> None:
    with pytest.raises(gateway.CalledInTransaction):
        CALLS[call]()


def test_every_public_call_is_tried_above() -> None:
    made = {name for name, one in vars(gateway).items() if callable(one) and one.__module__ == gateway.__name__}
    calls = {name for name in made if name[0].islower() and name[0] != "_"}
    assert calls == {*CALLS, "verify", "read_event", "is_live"}


def test_all_four_addresses_are_the_one_that_was_given() -> None:
    client = gateway._client_for("sk_test_x", "http://127.0.0.1:1")
    addresses = client._requestor._options.base_addresses
    assert set(addresses.values()) == {"http://127.0.0.1:1"}
    assert set(addresses) == {"api", "files", "connect", "meter_events"}
    assert client._requestor._options.max_network_retries == 2
    assert stripe.enable_telemetry is False


class _Client:
    """Fails each call with one error."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        raise self._error


def _error(kind: Any, status: int | None, *arguments: Any, **body: Any) -> stripe.StripeError:
    made: stripe.StripeError = kind("no", *arguments, http_status=status, json_body={"error": body})
    return made


DECLINED = _error(stripe.CardError, 402, None, "card_declined", decline_code="lost_card", code="card_declined")


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (DECLINED, gateway.Declined),
        (_error(stripe.RateLimitError, 429), gateway.Unavailable),
        (_error(stripe.APIConnectionError, None), gateway.Unavailable),
        (_error(stripe.APIError, 500), gateway.Unavailable),
        (_error(stripe.APIError, 503), gateway.Unavailable),
        (_error(stripe.APIError, None), gateway.Unavailable),
        (_error(stripe.InvalidRequestError, 409, None, code="idempotency_key_in_use"), gateway.Unavailable),
        (_error(stripe.IdempotencyError, 400), gateway.Refused),
        (_error(stripe.AuthenticationError, 401), gateway.Refused),
        (_error(stripe.PermissionError, 403), gateway.Refused),
    ],
    ids=lambda one: one.__name__ if isinstance(one, type) else f"{type(one).__name__} {one.http_status}",
)
def test_every_answer_is_declined_refused_or_unknown(
    error: stripe.StripeError, meaning: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "_client", lambda: _Client(error))
    for call in CALLS.values():
        with pytest.raises(meaning):
            call()


def test_a_decline_says_its_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_client", lambda: _Client(DECLINED))
    with pytest.raises(gateway.Declined) as declined:
        CALLS["pay"]()
    assert declined.value.details["decline_code"] == "lost_card"


def told_payment(source: dict[str, Any]) -> gateway.MirrorPayment:
    """A payment of a mirror as we read it from Stripe's answer."""
    answer = {
        "id": "inpay_1",
        "object": "invoice_payment",
        "amount_paid": 1000,
        "created": 1_735_689_600,
        "invoice": "in_1",
        "payment": source,
        "status": "paid",
        "status_transitions": {"canceled_at": None, "paid_at": None},
    }
    return gateway._payment(stripe.InvoicePayment.construct_from(answer, None))


INTENT = {"id": "pi_1", "object": "payment_intent"}


@pytest.mark.parametrize(
    ("source", "ids"),
    [
        ({"type": "charge", "charge": "ch_1"}, ("ch_1", "inpay_1")),
        ({"type": "charge", "charge": {"id": "ch_1", "object": "charge"}}, ("ch_1", "inpay_1")),
        (
            {"type": "payment_intent", "payment_intent": {**INTENT, "latest_charge": "ch_1"}},
            ("ch_1", "pi_1", "inpay_1"),
        ),
        ({"type": "payment_intent", "payment_intent": {**INTENT, "latest_charge": None}}, ("pi_1", "inpay_1")),
        ({"type": "payment_intent", "payment_intent": "pi_1"}, ("pi_1", "inpay_1")),
        ({"type": "something_new"}, ("inpay_1",)),
    ],
)
def test_a_payment_always_has_a_name_of_its_own(source: dict[str, Any], ids: tuple[str, ...]) -> None:
    payment = told_payment(source)
    assert (payment.ids, payment.amount_minor, payment.paid_at) == (ids, 1000, START)


def test_money_that_stripe_did_not_take_is_refused() -> None:
    with pytest.raises(gateway.PaidElsewhere):
        told_payment({"type": "payment_record", "payment_record": "pyr_1"})


def test_another_key_is_refused_and_not_repeated(tmp_path: Path, request: pytest.FixtureRequest, settings: Any) -> None:
    with running_standin(tmp_path / "standin", request) as standin:
        settings.STRIPE_API_BASE, settings.STRIPE_SECRET_KEY = standin.url, "sk_test_of_someone_else"
        with pytest.raises(gateway.Refused) as refused:
            gateway.fetch_customer("cus_1")
    assert refused.value.details["status"] == 401
    assert "sk_test_of_someone_else" not in str(refused.value)
