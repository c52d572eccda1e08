"""Webhooks: signed, retried, and wrong in every way that was asked for."""

import pytest

from tests.stripe_standin.process import Standin
from tests.stripe_standin.receiver import Receiver, receiving
from tests.stripe_standin.stories import new_customer, open_invoice

CREATED = "customer.created"


def _make(standin: Standin, number: int = 1) -> None:
    for index in range(number):
        standin.client().v1.customers.create({"name": f"c{index}"})


def test_a_payment_tells_its_whole_story_in_order(standin: Standin, receiver: Receiver) -> None:
    client = standin.client()
    invoice = open_invoice(client, new_customer(client, "pm_card_visa"), 700)
    client.v1.invoices.pay(invoice.id)
    outcomes = standin.deliver()
    assert {outcome["state"] for outcome in outcomes} == {"delivered"}
    assert receiver.types == [
        "customer.created",
        "payment_method.attached",
        "customer.updated",
        "invoice.created",
        "invoiceitem.created",
        "invoice.updated",
        "payment_intent.created",
        "invoice.finalized",
        "invoice.updated",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.updated",
        "invoice.paid",
        "invoice.payment_succeeded",
    ]
    assert all(one.is_signed_with(standin.secret) for one in receiver.received)
    paid = next(one.event for one in receiver.received if one.event["type"] == "invoice.paid")
    assert paid["data"]["object"]["amount_paid"] == 700
    assert paid["api_version"] == "2026-10-28.endive"
    assert paid["request"]["idempotency_key"]
    assert standin.deliver() == []


def test_an_event_carries_the_object_as_it_was(standin: Standin, receiver: Receiver) -> None:
    client = standin.client()
    customer = client.v1.customers.create({"name": "before"})
    client.v1.customers.update(customer.id, {"name": "after"})
    standin.deliver()
    assert [one.event["data"]["object"]["name"] for one in receiver.received] == ["before", "after"]
    assert receiver.received[1].event["data"]["previous_attributes"] == {"name": "before"}


def test_a_refused_webhook_is_tried_again_with_a_fresh_signature(standin: Standin, receiver: Receiver) -> None:
    standin.control("clock", {"now": "2025-01-01T00:00:00+00:00"})
    receiver.statuses = [500, 404]
    _make(standin)
    assert [(one["status"], one["state"]) for one in standin.deliver()] == [(500, "pending")]
    standin.control("clock", {"now": "2025-01-01T01:00:00+00:00"})
    assert [(one["status"], one["state"]) for one in standin.deliver()] == [(404, "pending")]
    assert standin.state()["deliveries"] == {"pending": 1}
    assert [(one["status"], one["state"], one["attempt"]) for one in standin.deliver()] == [(200, "delivered", 3)]
    stamps = [str(one.signature).split(",")[0] for one in receiver.received]
    assert stamps == ["t=1735689600", "t=1735693200", "t=1735693200"]
    assert len({one.body for one in receiver.received}) == 1
    assert all(one.is_signed_with(standin.secret, tolerance=None) for one in receiver.received)


def test_nobody_listening_is_tried_again(standin: Standin) -> None:
    _make(standin)
    assert [(one["status"], one["state"]) for one in standin.deliver()] == [(None, "pending")]
    with receiving() as late:
        standin.set_webhook(late.url)
        standin.deliver()
        assert late.types == [CREATED]


def test_waiting_deliveries_survive_a_kill(standin: Standin, receiver: Receiver) -> None:
    _make(standin, 2)
    standin.kill()
    standin.start()
    standin.set_webhook(receiver.url)
    standin.deliver()
    assert receiver.types == [CREATED, CREATED]


def test_duplicate_sends_the_same_event_twice(standin: Standin, receiver: Receiver) -> None:
    standin.fault("duplicate", types=CREATED)
    _make(standin)
    standin.deliver()
    assert len({one.event["id"] for one in receiver.received}) == 1
    assert len(receiver.received) == 2


def test_twin_makes_two_events_of_one_change(standin: Standin, receiver: Receiver) -> None:
    standin.fault("twin", types=CREATED)
    _make(standin)
    standin.deliver()
    one, other = (received.event for received in receiver.received)
    assert one["id"] != other["id"]
    assert one["data"] == other["data"]
    assert len(standin.client().v1.events.list().data) == 2


def test_reorder_sends_the_later_first(standin: Standin, receiver: Receiver) -> None:
    standin.fault("reorder", types=CREATED, count=3)
    _make(standin, 3)
    standin.deliver()
    assert [one.event["data"]["object"]["name"] for one in receiver.received] == ["c2", "c1", "c0"]


def test_reorder_does_not_wait_for_ever_when_told_to_deliver(standin: Standin, receiver: Receiver) -> None:
    standin.fault("reorder", types=CREATED, count=5)
    _make(standin, 2)
    assert standin.state()["deliveries"] == {"held": 2}
    standin.deliver()
    assert [one.event["data"]["object"]["name"] for one in receiver.received] == ["c1", "c0"]


def test_delay_is_not_due_yet(standin: Standin, receiver: Receiver) -> None:
    standin.fault("delay", types=CREATED, seconds=600)
    _make(standin, 2)
    standin.deliver()
    assert [one.event["data"]["object"]["name"] for one in receiver.received] == ["c1"]
    standin.deliver(everything=True)
    assert [one.event["data"]["object"]["name"] for one in receiver.received] == ["c1", "c0"]


def test_drop_leaves_the_event_to_be_found(standin: Standin, receiver: Receiver) -> None:
    standin.fault("drop", types=CREATED)
    _make(standin, 2)
    standin.deliver(everything=True)
    assert [one.event["data"]["object"]["name"] for one in receiver.received] == ["c1"]
    events = standin.client().v1.events
    lost = events.list({"delivery_success": False}).data
    assert [event.data.object["name"] for event in lost] == ["c0"]
    assert len(events.list({"delivery_success": True}).data) == 1
    standin.control("resend", {"event": lost[0].id})
    standin.deliver()
    assert [one.event["data"]["object"]["name"] for one in receiver.received] == ["c1", "c0"]


def test_never_generates_no_event_at_all(standin: Standin, receiver: Receiver) -> None:
    standin.fault("never", types=CREATED)
    _make(standin)
    standin.deliver()
    assert receiver.received == []
    assert standin.client().v1.events.list().data == []


@pytest.mark.parametrize("style", ["other_secret", "tampered", "garbage", "non_ascii", "missing"])
def test_forge_sends_a_forgery_before_the_real_one(standin: Standin, receiver: Receiver, style: str) -> None:
    receiver.statuses = [400]
    standin.fault("forge", types=CREATED, style=style)
    _make(standin)
    outcomes = standin.deliver()
    assert [(one["forged"], one["status"]) for one in outcomes] == [(True, 400), (False, 200)]
    forged, real = receiver.received
    assert not forged.is_signed_with(standin.secret)
    assert real.is_signed_with(standin.secret)
    assert standin.deliver(everything=True) == [], "a forgery is not retried"


def test_forge_can_carry_its_own_body_and_take_the_real_ones_place(standin: Standin, receiver: Receiver) -> None:
    standin.fault("forge", types=CREATED, body={"object": "event", "id": "evt_x", "type": "invoice.paid"}, instead=True)
    _make(standin)
    standin.deliver()
    (forged,) = receiver.received
    assert forged.event["type"] == "invoice.paid"
    assert not forged.is_signed_with(standin.secret)


def test_stale_is_rightly_signed_but_old_and_the_retry_is_fresh(standin: Standin, receiver: Receiver) -> None:
    receiver.statuses = [400]
    standin.fault("stale", types=CREATED)
    _make(standin)
    standin.deliver()
    standin.deliver()
    stale, fresh = receiver.received
    assert stale.is_signed_with(standin.secret, tolerance=None)
    assert not stale.is_signed_with(standin.secret)
    assert fresh.is_signed_with(standin.secret)


def test_a_signature_from_the_future(standin: Standin, receiver: Receiver) -> None:
    standin.control("clock", {"now": "2025-01-01T00:00:00+00:00"})
    standin.fault("stale", types=CREATED, age_seconds=-600)
    _make(standin)
    standin.deliver()
    assert str(receiver.received[0].signature).startswith("t=1735690200,")


def test_while_a_secret_is_rolled_both_sign(standin: Standin, receiver: Receiver) -> None:
    standin.set_webhook(receiver.url, "whsec_old", also="whsec_new")
    _make(standin)
    standin.deliver()
    (one,) = receiver.received
    assert str(one.signature).count("v1=") == 2
    assert one.is_signed_with("whsec_old")
    assert one.is_signed_with("whsec_new")
    assert not one.is_signed_with(standin.secret)


def test_another_api_version_has_its_old_shape(standin: Standin, receiver: Receiver) -> None:
    client = standin.client()
    standin.fault("api_version", types="invoice.created")
    client.v1.invoices.create({"customer": new_customer(client)})
    standin.deliver()
    event = next(one.event for one in receiver.received if one.event["type"] == "invoice.created")
    assert event["api_version"] == "2024-06-20"
    assert "payment_intent" in event["data"]["object"]
    assert "amount_overpaid" not in event["data"]["object"]
    assert client.v1.events.retrieve(event["id"]).api_version == "2026-10-28.endive"


def test_an_endpoint_gets_only_the_types_it_asked_for(standin: Standin, receiver: Receiver) -> None:
    client = standin.client()
    with receiving() as second:
        endpoint = client.v1.webhook_endpoints.create({"url": second.url, "enabled_events": ["customer.updated"]})
        customer = client.v1.customers.create({})
        client.v1.customers.update(customer.id, {"name": "n"})
        standin.deliver()
        assert second.types == ["customer.updated"]
        assert second.received[0].is_signed_with(endpoint.secret)
        assert not second.received[0].is_signed_with(standin.secret)
        client.v1.webhook_endpoints.delete(endpoint.id)
        client.v1.customers.update(customer.id, {"name": "m"})
        standin.deliver()
        assert second.types == ["customer.updated"]
    assert receiver.types == ["customer.created", "customer.updated", "customer.updated"]


def test_parcels_can_be_taken_by_a_receiver_without_an_address(standin: Standin) -> None:
    _make(standin, 2)
    got: list[tuple[bytes, dict[str, str]]] = []
    statuses = iter([500, 200])

    def receive(body: bytes, headers: dict[str, str]) -> int:
        got.append((body, headers))
        return next(statuses)

    assert [one["state"] for one in standin.deliver_to(receive)] == ["pending", "delivered"]
    assert all("Stripe-Signature" in headers for _, headers in got)
    assert [one["state"] for one in standin.deliver_to(lambda *_: 200)] == ["delivered"]
    assert standin.state()["deliveries"] == {"delivered": 2}
