"""The one door to Stripe: nothing else imports ``stripe``.

What comes in and goes out is our own plain values, amounts in minor units. Every call that changes something takes an
idempotency key that its caller stored first. No call is made while a transaction is open, since the network would hold
its locks: :class:`CalledInTransaction`.

Errors: :class:`Declined` is an answer (no money moved), :class:`Refused` is a request that will never succeed as it
stands, :class:`Unavailable` means that the outcome is unknown and the same call with the same key is to be repeated.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, cast

import stripe
from django.conf import settings
from django.db import connection

from billing_ops.kit.errors import BillingError

API_VERSION = "2026-10-28.endive"
"""Pinned: requests, and the shape of what we fetch, stay at it until we choose another."""

LONGEST_ID = 255
"""What Stripe promises of its ids' lengths; a Checkout session's has 66 characters."""

REFERENCE = "billing_ops_invoice"
ITEM_KEY = "billing_ops_item"
_TIMEOUT_SECONDS = 20
_TOLERANCE = timedelta(minutes=5)

stripe.enable_telemetry = False  # it writes a file into the home directory and sends timings


class CalledInTransaction(RuntimeError):
    """A bug of ours: a network call was about to be made with a transaction open."""


class Unavailable(BillingError):
    """Stripe did not answer, or answered that it failed: the outcome is unknown."""

    code = "stripe.unavailable"
    http_status = 503
    kept = "The request is stored and is repeated with the same key, so nothing is done twice."


class Refused(BillingError):
    """Stripe refused the request as it stands."""

    code = "stripe.refused"
    http_status = 502
    remedy = "An engineer finds the request in Stripe's log under the id given here."


class PaidElsewhere(Refused):
    """Somebody recorded at Stripe a payment that Stripe did not take: it is no cash of our account there."""

    code = "stripe.paid_elsewhere"
    http_status = 409
    kept = "Nothing was posted."
    remedy = "Finance finds out where the money is."


class Declined(BillingError):
    """The payment method was declined: no money moved."""

    code = "payment.declined"
    http_status = 402
    remedy = "Ask the customer for another payment method, then collect again."


class BadWebhook(BillingError):
    """A webhook that Stripe did not sign, or not now, or that is not an event."""

    code = "webhook.rejected"
    http_status = 400


@dataclass(frozen=True, slots=True)
class StripeCustomer:
    """A customer in Stripe and the payment method that Stripe charges by default (empty: none)."""

    id: str
    default_payment_method: str


@dataclass(frozen=True, slots=True)
class MirrorItem:
    """One line of the mirror: our key for it, what it says, its amount in minor units, and its service period."""

    key: str
    description: str
    amount_minor: int
    period: tuple[datetime, datetime] | None = None


@dataclass(frozen=True, slots=True)
class MirrorPayment:
    """Money that Stripe took for a mirror: under its charge's id, or its payment intent's while no charge is named, …

    ``other_ids``: what else Stripe calls it, so that it is known again when its charge is named later.
    """

    charge_id: str
    amount_minor: int
    paid_at: datetime
    other_ids: tuple[str, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """Every name that it may have been kept under."""
        return (self.charge_id, *self.other_ids)


@dataclass(frozen=True, slots=True)
class Mirror:
    """The mirror of an invoice in Stripe, as Stripe has it now."""

    id: str
    reference: str
    status: str
    currency: str
    total_minor: int
    due_minor: int
    item_keys: frozenset[str]
    payments: tuple[MirrorPayment, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """A verified webhook: what of it we store beside its body."""

    id: str
    type: str
    object_id: str
    api_version: str
    livemode: bool
    created_at: datetime


@lru_cache(maxsize=4)
def _client_for(api_key: str, api_base: str) -> stripe.StripeClient:
    addresses: Any = None
    if api_base:  # all four, or meter events and files would still go to Stripe's own hosts
        addresses = {"api": api_base, "files": api_base, "connect": api_base, "meter_events": api_base}
    return stripe.StripeClient(
        api_key,
        stripe_version=API_VERSION,
        base_addresses=addresses,
        max_network_retries=2,
        http_client=stripe.RequestsClient(timeout=_TIMEOUT_SECONDS),
    )


def _client() -> stripe.StripeClient:
    if connection.in_atomic_block:
        raise CalledInTransaction("Stripe is called outside transactions only.")
    return _client_for(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except stripe.CardError as error:
        declined = getattr(error.error, "decline_code", None) or error.code or "card_declined"
        raise Declined(
            error.user_message or "The payment was declined.", decline_code=declined, request_id=error.request_id
        ) from error
    except (stripe.RateLimitError, stripe.APIConnectionError) as error:
        raise Unavailable("Stripe could not be reached or asked us to slow down.") from error
    except stripe.StripeError as error:
        status = error.http_status or 500
        if status >= 500 or status == 409:
            raise Unavailable(f"Stripe answered {status}.", request_id=error.request_id) from error
        raise Refused(
            error.user_message or str(error), stripe_code=error.code or "", request_id=error.request_id, status=status
        ) from error


def create_customer(*, reference: str, name: str, email: str, key: str) -> StripeCustomer:
    """Create the customer in Stripe, without a payment method: a card that is declined must not undo the customer."""
    params: dict[str, Any] = {"name": name, "metadata": {"billing_ops_customer": reference}}
    if email:
        params["email"] = email
    with _errors():
        return StripeCustomer(_client().v1.customers.create(cast(Any, params), {"idempotency_key": key}).id, "")


def fetch_customer(customer: str) -> StripeCustomer:
    """The customer as Stripe has it now."""
    with _errors():
        found = _client().v1.customers.retrieve(customer)
    chosen = found.invoice_settings.default_payment_method if found.invoice_settings else None
    return StripeCustomer(found.id, _id(chosen))


def use_payment_method(*, customer: str, payment_method: str, key: str) -> str:
    """Attach a payment method to the customer, make it the default one, and return its id."""
    client = _client()
    with _errors():
        attached = client.v1.payment_methods.attach(
            payment_method, {"customer": customer}, {"idempotency_key": f"{key}:attach"}
        )
        client.v1.customers.update(
            customer,
            {"invoice_settings": {"default_payment_method": attached.id}},
            {"idempotency_key": f"{key}:default"},
        )
    return attached.id


def create_invoice(*, customer: str, currency: str, number: str, reference: str, key: str) -> Mirror:
    """Create an empty draft of the mirror under our number; Stripe never advances it by itself."""
    params: dict[str, Any] = {
        "customer": customer,
        "currency": currency.lower(),
        "number": number,
        "auto_advance": False,
        "collection_method": "charge_automatically",
        "pending_invoice_items_behavior": "exclude",
        "metadata": {REFERENCE: reference},
    }
    with _errors():
        return _mirror(_client().v1.invoices.create(cast(Any, params), {"idempotency_key": key}))


def find_invoice(*, customer: str, reference: str) -> str | None:
    """The id of the customer's mirror that carries our reference, whoever lost its id; None when there is none."""
    with _errors():
        for invoice in _client().v1.invoices.list({"customer": customer, "limit": 100}).auto_paging_iter():
            if invoice.metadata and REFERENCE in invoice.metadata and invoice.metadata[REFERENCE] == reference:
                return str(invoice.id)
    return None


def add_item(*, mirror: str, customer: str, currency: str, item: MirrorItem, key: str) -> None:
    """Add one line to a draft mirror."""
    params: dict[str, Any] = {
        "customer": customer,
        "invoice": mirror,
        "currency": currency.lower(),
        "amount": item.amount_minor,
        "description": item.description,
        "metadata": {ITEM_KEY: item.key},
    }
    if item.period:
        params["period"] = {"start": int(item.period[0].timestamp()), "end": int(item.period[1].timestamp())}
    with _errors():
        _client().v1.invoice_items.create(cast(Any, params), {"idempotency_key": key})


def finalize(*, mirror: str, key: str) -> Mirror:
    """Finalise a draft mirror, so that it can be paid."""
    with _errors():
        return _mirror(
            _client().v1.invoices.finalize_invoice(mirror, {"auto_advance": False}, {"idempotency_key": key})
        )


def pay(*, mirror: str, payment_method: str, key: str) -> None:
    """Ask Stripe to take the money now. Returns when it was taken; raises :class:`Declined` when it was not."""
    params: dict[str, Any] = {"off_session": True}
    if payment_method:
        params["payment_method"] = payment_method
    with _errors():
        _client().v1.invoices.pay(mirror, cast(Any, params), {"idempotency_key": key})


def fetch(mirror: str) -> Mirror:
    """The mirror as Stripe has it now, with every payment of it that succeeded."""
    client = _client()
    with _errors():
        invoice = client.v1.invoices.retrieve(mirror)
        paid = client.v1.invoice_payments.list(
            {"invoice": mirror, "status": "paid", "limit": 100, "expand": ["data.payment.payment_intent"]}
        )
        payments = tuple(_payment(payment) for payment in paid.auto_paging_iter())
        keys = frozenset(
            str(line.metadata[ITEM_KEY])
            for line in client.v1.invoices.line_items.list(mirror, {"limit": 100}).auto_paging_iter()
            if line.metadata and ITEM_KEY in line.metadata
        )
    return _mirror(invoice, keys, payments)


def fetch_events(*, since: datetime, types: tuple[str, ...]) -> list[str]:
    """Bodies of the events of those types that Stripe generated since then, oldest first."""
    with _errors():
        page = _client().v1.events.list(
            {"created": {"gte": int(since.timestamp())}, "types": list(types), "limit": 100}
        )
        return [str(event) for event in page.auto_paging_iter()][::-1]


def verify(*, body: bytes, header: str, at: datetime) -> ReceivedEvent:
    """Verify a webhook's signature and age against ``at`` and read its envelope, or raise :class:`BadWebhook`.

    Any of the active secrets may have signed (two are active while one is rolled). The SDK's own age check reads the
    wall clock and lets future times pass, so ours stands beside it.
    """
    text = _verified_text(body, header)
    signed_at = _signed_at(header)
    if abs(at - signed_at) > _TOLERANCE:
        raise BadWebhook("The webhook's signature is not of this time.", kept="Nothing was stored.")
    try:
        event = read_event(text)
    # OverflowError, OSError: a time that no calendar has.
    except (ValueError, RecursionError, KeyError, TypeError, OverflowError, OSError) as error:
        raise BadWebhook("The webhook's body is not an event.", kept="Nothing was stored.") from error
    if event.livemode != is_live():
        raise BadWebhook(
            f"The webhook is of Stripe's {'live' if event.livemode else 'test'} mode, and our key is of the other.",
            kept="Nothing was stored.",
            remedy="Point that mode's webhook endpoint at the installation which has that mode's key.",
        )
    return event


def is_live() -> bool:
    """Whether our key moves real money."""
    return str(settings.STRIPE_SECRET_KEY).startswith(("sk_live_", "rk_live_"))


def read_event(text: str) -> ReceivedEvent:
    """Read an event's envelope; raises ValueError, KeyError, TypeError, … when it is not one.

    Names and ids are plain ASCII, so that whatever passes can be stored: JSON can spell NUL and half a surrogate pair.
    An object's id that cannot be kept is left empty and refuses nothing: Stripe disables endpoints that often refuse.
    """
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("object") != "event":
        raise ValueError("not an event")
    inner = data["data"]["object"]
    if not isinstance(inner, dict) or not isinstance(data["livemode"], bool):
        raise ValueError("not an event")
    return ReceivedEvent(
        id=_name(data["id"], LONGEST_ID),
        type=_name(data["type"], 100),
        object_id=_name_or_empty(inner.get("id")),
        api_version=_name(data.get("api_version") or "", 40, empty=True),
        livemode=data["livemode"],
        created_at=datetime.fromtimestamp(int(data["created"]), UTC),
    )


def _name(value: object, longest: int, *, empty: bool = False) -> str:
    if value == "" and empty:
        return ""
    if not isinstance(value, str) or not 0 < len(value) <= longest or not re.fullmatch(r"[!-~]+", value, re.ASCII):
        raise ValueError("not an event")
    return value


def _name_or_empty(value: object) -> str:
    try:
        return _name(value, LONGEST_ID)
    except ValueError:
        return ""


def _verified_text(body: bytes, header: str) -> str:
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(body, header, secret)
            return body.decode()
        # TypeError: a header with non-ASCII characters; ValueError: a body that is not UTF-8.
        except (stripe.SignatureVerificationError, ValueError, TypeError):
            continue
    raise BadWebhook("The webhook is not signed with one of our secrets.", kept="Nothing was stored.")


def _signed_at(header: str) -> datetime:
    stamp = next((part[2:] for part in header.split(",") if part.startswith("t=")), "")
    try:
        return datetime.fromtimestamp(int(stamp), UTC)
    except (ValueError, OverflowError, OSError):
        raise BadWebhook("The webhook's signature has no time.", kept="Nothing was stored.") from None


def _mirror(invoice: Any, keys: frozenset[str] = frozenset(), payments: tuple[MirrorPayment, ...] = ()) -> Mirror:
    metadata: Mapping[str, str] = invoice.metadata.to_dict() if invoice.metadata else {}
    return Mirror(
        id=str(invoice.id),
        reference=str(metadata.get(REFERENCE, "")),
        status=str(invoice.status),
        currency=str(invoice.currency).upper(),
        total_minor=int(invoice.total),
        due_minor=int(invoice.amount_due),
        item_keys=keys,
        payments=payments,
    )


def _payment(payment: Any) -> MirrorPayment:
    """Never without an id: two payments without one would be taken for one and the same."""
    said: Mapping[str, Any] = payment.to_dict()
    source: Mapping[str, Any] = said["payment"]
    if source["type"] == "payment_record":
        raise PaidElsewhere(f"Payment {said['id']} of {said['invoice']} is a record of money that Stripe did not take.")
    intent = source.get("payment_intent")
    charge = source.get("charge") or (intent.get("latest_charge") if isinstance(intent, Mapping) else None)
    name, *others = [found for found in map(_id, (charge, intent, said["id"])) if found]
    paid_at = said["status_transitions"]["paid_at"] or said["created"]
    return MirrorPayment(name, int(said["amount_paid"] or 0), datetime.fromtimestamp(paid_at, UTC), tuple(others))


def _id(reference: Any) -> str:
    """The id of an object that Stripe gives either as its id or expanded."""
    if reference is None:
        return ""
    if isinstance(reference, Mapping):
        return str(reference["id"])
    return reference if isinstance(reference, str) else str(reference.id)
