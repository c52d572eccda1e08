"""What may come to the webhook's address: everything. Only Stripe's word is stored; the rest gets a clear answer."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import stripe
from django.test import Client

from invoicing.models import StripeEvent
from invoicing.stripe import handling
from invoicing.stripe.receiving import BODY_LIMIT_BYTES
from tests.support.billing import START

SECRET = "whsec_standin"
AT = int(START.timestamp())


@pytest.fixture(autouse=True)
def _world(db: Any, clock: Any, settings: Any) -> None:
    clock.set(START)
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_older", SECRET]
    settings.STRIPE_SECRET_KEY = "sk_test_standin"


def event(**fields: Any) -> dict[str, Any]:
    """An event as Stripe sends it; ``fields`` replace."""
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": AT,
        "type": "invoice.paid",
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": {"id": "in_1", "object": "invoice"}},
        **fields,
    }


def signed(body: bytes, *, at: int = AT, secret: str = SECRET) -> str:
    """The signature header of a body; bytes that are not text get one, too."""
    mac = hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={mac}"


def post(body: bytes | dict[str, Any], header: str | None = None) -> Any:
    """Send it; without ``header`` it is signed rightly."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    signature = signed(raw) if header is None else header
    return Client(raise_request_exception=True).post(
        "/webhooks/stripe", raw, content_type="application/json", headers={"stripe-signature": signature}
    )


def refused(answer: Any, status: int = 400, code: str = "webhook.rejected") -> None:
    """It was, and nothing is stored."""
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "Nothing was stored." in answer.json()["detail"]
    assert not StripeEvent.objects.exists()


def test_what_stripe_signed_is_stored_as_it_came_and_answered() -> None:
    raw = json.dumps(event(note="\u0000 é")).encode()
    answer = post(raw)
    assert (answer.status_code, answer.json()) == (200, {"received": True, "new": True})
    row = StripeEvent.objects.get()
    assert (row.event_id, row.type, row.object_id, row.body.encode()) == ("evt_1", "invoice.paid", "in_1", raw)
    assert (row.livemode, row.api_version, row.received_at, row.next_try_at) == (
        False,
        "2026-10-28.endive",
        START,
        START,
    )


def test_the_same_event_again_is_answered_and_the_first_one_kept() -> None:
    post(event())
    answer = post(event(type="invoice.payment_failed"))
    assert (answer.status_code, answer.json()["new"]) == (200, False)
    assert StripeEvent.objects.get().type == "invoice.paid"


@pytest.mark.parametrize("secret", ["whsec_older", SECRET])
def test_each_active_secret_signs(secret: str) -> None:
    raw = json.dumps(event()).encode()
    assert post(raw, signed(raw, secret=secret)).status_code == 200


def test_the_signature_header_of_the_sdk_is_the_one_we_take() -> None:
    raw = json.dumps(event())
    header = stripe.WebhookSignature.generate_signature_header(raw, SECRET, AT)
    assert post(raw.encode(), header).status_code == 200


BODY = json.dumps(event()).encode()
RIGHT = signed(BODY).partition("v1=")[2]


@pytest.mark.parametrize(
    "header",
    [
        "",
        "garbage",
        "t=,v1=",
        "t=abc,v1=abc",
        f"t={AT}",
        f"v1={RIGHT}",
        f"t={AT},v1={RIGHT[:-1]}",
        f"t={AT},v0={RIGHT}",
        f"t={AT + 1},v1={RIGHT}",
        f"t={AT},v1=\u00e9\u00e8",
        f"t=\u0661\u0662,v1={RIGHT}",
        f"t={AT},v1={RIGHT[:-1]}\u00e9",
        f"t={'9' * 40},v1={RIGHT}",
        f"t=-{AT},v1={RIGHT}",
        "t=" + "1," * 10_000,
        signed(BODY, secret="whsec_of_someone_else"),
        signed(BODY + b" "),
    ],
)
def test_what_is_not_signed_with_our_secret_is_refused(header: str) -> None:
    refused(post(BODY, header))


@pytest.mark.parametrize("seconds", [-301, -3600, 301, 86_400, 10**12])
def test_a_signature_of_another_time_is_refused(seconds: int) -> None:
    raw = json.dumps(event()).encode()
    refused(post(raw, signed(raw, at=AT + seconds)))


@pytest.mark.parametrize("seconds", [-300, -299, 0, 300])
def test_five_minutes_either_way_are_forgiven(seconds: int) -> None:
    raw = json.dumps(event()).encode()
    assert post(raw, signed(raw, at=AT + seconds)).status_code == 200


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"not json",
        b"[]",
        b"null",
        b"1",
        b'"event"',
        b"{}",
        b"\xff\xfe",
        b'{"id": "\xe9"}',
        b"[" * 100_000,
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"created": ' + b"9" * 5000 + b"}",
    ],
    ids=range(13),
)
def test_a_signed_body_that_is_no_event_is_refused(body: bytes) -> None:
    refused(post(body))


@pytest.mark.parametrize(
    "fields",
    [
        {"object": "v2.core.event"},
        {"object": "invoice"},
        {"id": None},
        {"id": ""},
        {"id": 7},
        {"id": "e" * 256},
        {"id": "evt_\u0000"},
        {"id": "evt_\ud800"},
        {"id": "evt 1"},
        {"type": ["invoice.paid"]},
        {"type": "x" * 101},
        {"type": "invoice.paid\u0000"},
        {"data": None},
        {"data": {}},
        {"data": {"object": "in_1"}},
        {"api_version": "\u0000"},
        {"api_version": {"a": 1}},
        {"created": None},
        {"created": "soon"},
        {"created": 10**30},
        {"created": float("inf")},
        {"created": float("nan")},
        {"created": -(10**20)},
        {"livemode": None},
        {"livemode": "false"},
        {"livemode": 0},
    ],
    ids=lambda fields: json.dumps(fields)[:40],
)
def test_a_signed_event_with_an_impossible_envelope_is_refused(fields: dict[str, Any]) -> None:
    refused(post(event(**fields)))


@pytest.mark.parametrize("missing", ["id", "type", "data", "livemode", "created", "object"])
def test_a_signed_event_without_a_part_of_its_envelope_is_refused(missing: str) -> None:
    body = event()
    del body[missing]
    refused(post(body))


@pytest.mark.parametrize(
    ("key", "livemode"),
    [("sk_test_standin", True), ("rk_test_1", True), ("sk_live_1", False), ("rk_live_1", False)],
)
def test_an_event_of_the_other_mode_is_refused(key: str, livemode: bool, settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = key
    refused(post(event(livemode=livemode)))


def test_live_events_come_with_a_live_key(settings: Any) -> None:
    settings.STRIPE_SECRET_KEY = "sk_live_1"
    assert post(event(livemode=True)).status_code == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "customer.tax_id.updated"},
        {"type": "something.stripe.invents.tomorrow"},
        {"api_version": "2024-06-20"},
        {"api_version": None},
        {"data": {"object": {"object": "balance"}}},
        {"created": AT - 86_400 * 3},
        {"account": "acct_1"},
    ],
    ids=lambda fields: json.dumps(fields)[:40],
)
def test_other_types_versions_and_ages_are_taken_in(fields: dict[str, Any]) -> None:
    assert post(event(**fields)).status_code == 200
    assert StripeEvent.objects.count() == 1


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("cs_test_" + "a" * 58, "cs_test_" + "a" * 58),  # a Checkout session's has 66 characters
        ("i" * 255, "i" * 255),
        ("i" * 256, ""),
        ("in_\u0000", ""),
        ("in_\ud800", ""),
        (["in_1"], ""),
        (7, ""),
        (None, ""),
    ],
    ids=lambda one: json.dumps(one)[:40],
)
def test_no_signed_event_is_refused_for_its_objects_id(given: object, kept: str) -> None:
    answer = post(event(id="evt_" + "1" * 100, data={"object": {"id": given, "object": "checkout.session"}}))
    assert (answer.status_code, StripeEvent.objects.get().object_id) == (200, kept)


def test_an_event_that_we_act_on_and_cannot_ask_about_shows_as_failed() -> None:
    post(event(data={"object": {"id": "i" * 256, "object": "invoice"}}))
    row = StripeEvent.objects.get()
    with pytest.raises(handling.EventWithoutObject):
        handling.handle(event_pk=row.pk, at=START)
    row.refresh_from_db()
    assert row.handled_at is None
    assert row.error.startswith("EventWithoutObject: invoice.paid evt_1 names no object.")


def test_a_body_as_large_as_the_limit_is_taken_in() -> None:
    at_limit = event(padding="")
    at_limit["padding"] = "x" * (BODY_LIMIT_BYTES - len(json.dumps(at_limit)))
    assert post(at_limit).status_code == 200


@pytest.mark.parametrize("size", [BODY_LIMIT_BYTES + 1, 5 * BODY_LIMIT_BYTES])
def test_a_body_above_the_limit_is_413(size: int) -> None:
    refused(post(b"x" * size), 413, "webhook.too_large")


def test_a_body_beyond_what_the_server_reads_is_refused() -> None:
    answer = Client(raise_request_exception=False).post(
        "/webhooks/stripe", b"x" * (12 * 1024 * 1024), content_type="application/json"
    )
    assert answer.status_code in (400, 413)
    assert not StripeEvent.objects.exists()


@pytest.mark.parametrize("method", ["get", "put", "delete", "patch", "head"])
def test_only_post_is_heard(method: str) -> None:
    assert getattr(Client(), method)("/webhooks/stripe").status_code == 405


def test_a_time_before_the_calendar_is_a_time(clock: Any) -> None:
    """An hour before 1970 is odd, and no error."""
    before = datetime(1969, 12, 31, 23, tzinfo=UTC)
    assert post(event(created=int(before.timestamp()))).status_code == 200
    assert StripeEvent.objects.get().created_at == before
    assert StripeEvent.objects.get().received_at - before > timedelta(days=20_000)
