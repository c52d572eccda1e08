"""What the API accepts and how it refuses, as Stripe words it."""

import urllib.error
import urllib.request
from typing import Any

import pytest
import stripe

from billing_ops.stripe_standin.routes import ROUTES
from tests import stripe_schemas
from tests.stripe_standin.process import Standin
from tests.stripe_standin.stories import new_customer, open_invoice


def _raw(standin: Standin, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str]:
    sent = {"Authorization": f"Bearer {standin.api_key}", **{k.replace("_", "-"): v for k, v in headers.items()}}
    request = urllib.request.Request(f"{standin.url}{path}", body, sent, method=method)  # noqa: S310 - loopback
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - loopback
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_address_and_parameter_is_one_of_stripes(route: Any) -> None:
    path = route.path.replace("{", "x").replace("}", "x")
    endpoint = stripe_schemas.endpoint(route.method, path)
    assert endpoint is not None, "the SDK has no such call"
    validator = stripe_schemas.params_validator(endpoint)
    known: Any = validator.schema
    properties = known["$defs"][endpoint.params[1]]["properties"] if endpoint.params else {}
    assert set(route.spec) <= set(properties) | {"expand"}
    assert set(route.required) <= set(route.spec)


def test_a_wrong_key_is_401(standin: Standin) -> None:
    import stripe as sdk

    bases: Any = dict.fromkeys(("api", "files", "connect", "meter_events"), standin.url)
    with pytest.raises(stripe.AuthenticationError, match=r"Invalid API Key provided: sk_live_\*+oops"):
        sdk.StripeClient("sk_live_ooooops", base_addresses=bases).v1.customers.list()
    assert _raw(standin, "GET", "/v1/customers", Authorization="")[0] == 401
    assert _raw(standin, "GET", "/v1/customers", Authorization="Basic c2tfdGVzdF9zdGFuZGluOg==")[0] == 200
    assert _raw(standin, "GET", "/v1/customers", Authorization="Basic !!!")[0] == 401


def test_another_version_is_refused(standin: Standin) -> None:
    with pytest.raises(stripe.InvalidRequestError, match="Invalid Stripe API version: 2017-08-15"):
        standin.client(stripe_version="2017-08-15").v1.customers.list()


def test_a_missing_object_is_404_and_names_it(standin: Standin) -> None:
    with pytest.raises(stripe.InvalidRequestError) as missing:
        standin.client().v1.customers.retrieve("cus_x")
    error = missing.value
    assert (error.http_status, error.code, error.param) == (404, "resource_missing", "id")
    assert error.user_message == "No such customer: 'cus_x'"
    assert error.error is not None
    assert error.error.doc_url == "https://stripe.com/docs/error-codes/resource-missing"
    assert error.error.request_log_url is not None
    assert error.error.request_log_url.startswith("https://dashboard.stripe.com/test/logs/req_")


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"e_mail": "x"}, "parameter_unknown", "e_mail"),
        ({"address": {"town": "x"}}, "parameter_unknown", "address[town]"),
        ({"balance": "1.5"}, "parameter_invalid_integer", "balance"),
        ({"balance": "1e3"}, "parameter_invalid_integer", "balance"),
        ({"balance": "٣"}, "parameter_invalid_integer", "balance"),
        ({"balance": 10**20}, "parameter_invalid_integer", "balance"),
        ({"invoice_settings": {"default_payment_method": "pm_x"}}, "resource_missing", None),
        ({"metadata": {"k" * 41: "v"}}, None, f"metadata[{'k' * 40}]"),
        ({"metadata": {"k": "v" * 501}}, None, "metadata[k]"),
        ({"tax_exempt": "sometimes"}, None, "tax_exempt"),
        ({"preferred_locales": "en"}, None, "preferred_locales"),
        ({"invoice_prefix": ""}, "parameter_invalid_empty", "invoice_prefix"),
    ],
)
def test_a_bad_parameter_is_refused_by_name(standin: Standin, params: Any, code: str | None, param: str | None) -> None:
    with pytest.raises(stripe.InvalidRequestError) as refused:
        standin.client().v1.customers.create(params)
    assert refused.value.http_status == 400
    assert refused.value.code == code
    if param is not None:
        assert refused.value.param == param
    assert "customer" not in standin.state()["counts"]


def test_what_is_required_is_asked_for(standin: Standin) -> None:
    with pytest.raises(stripe.InvalidRequestError, match=r"Missing required param: customer\."):
        standin.client().v1.invoices.create({})
    invoice = standin.client().v1.invoices.create({"customer": new_customer(standin.client())})
    with pytest.raises(stripe.InvalidRequestError, match="You must specify one of `amount`"):
        standin.client().v1.invoice_items.create({"invoice": invoice.id})


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/customers", b"email=\xff\xfe", 400),
        ("POST", "/v1/customers", b"a[b]c=1", 400),
        ("POST", "/v1/customers", b"metadata=x&metadata[a]=1", 400),
        ("POST", "/v1/customers", b"metadata[a]=1&metadata=x", 400),
        ("POST", "/v1/customers", b"a" + b"[b]" * 20 + b"=1", 400),
        ("POST", "/v1/charges", b"amount=1", 404),
        ("GET", "/v1/customers/", None, 200),
        ("GET", "/v2/core/events", None, 404),
        ("POST", "/v1/customers", b"name=" + b"x" * 2_000_000, 413),
    ],
)
def test_bodies_and_addresses_that_are_not_right(
    standin: Standin, method: str, path: str, body: bytes | None, status: int
) -> None:
    found, text = _raw(standin, method, path, body, Idempotency_Key="k")
    assert found == status, text
    if status >= 400:
        assert '"type": "invalid_request_error"' in text


def test_unset_and_merge(standin: Standin) -> None:
    client = standin.client()
    customer = client.v1.customers.create(
        {"name": "n", "metadata": {"a": "1", "b": "2"}, "address": {"city": "Ulm", "country": "DE"}}
    )
    client.v1.customers.update(customer.id, {"name": "", "metadata": {"a": "", "c": "3"}})
    found = client.v1.customers.retrieve(customer.id)
    assert found.name is None
    assert found.metadata.to_dict() == {"b": "2", "c": "3"}
    assert found.address.city == "Ulm"
    cleared = client.v1.customers.update(customer.id, {"metadata": "", "address": ""})
    assert cleared.metadata.to_dict() == {}
    assert cleared.address is None


def test_pages_by_cursor_in_both_directions(standin: Standin) -> None:
    client = standin.client()
    made = [client.v1.customers.create({"name": str(index)}).id for index in range(5)]
    newest_first = made[::-1]
    first = client.v1.customers.list({"limit": 2})
    assert ([one.id for one in first.data], first.has_more) == (newest_first[:2], True)
    second = client.v1.customers.list({"limit": 2, "starting_after": newest_first[1]})
    assert ([one.id for one in second.data], second.has_more) == (newest_first[2:4], True)
    last = client.v1.customers.list({"limit": 2, "starting_after": newest_first[3]})
    assert ([one.id for one in last.data], last.has_more) == (newest_first[4:], False)
    back = client.v1.customers.list({"limit": 2, "ending_before": newest_first[4]})
    assert ([one.id for one in back.data], back.has_more) == (newest_first[2:4], True)
    assert [one.id for one in first.auto_paging_iter()] == newest_first
    upwards = client.v1.customers.list({"limit": 2, "ending_before": made[0]})
    assert [one.id for one in upwards.auto_paging_iter()] == made[1:], "auto-paging backwards is chronological"
    for bad in ({"limit": 0}, {"limit": 101}, {"starting_after": "cus_x"}):
        with pytest.raises(stripe.InvalidRequestError):
            client.v1.customers.list(bad)


def test_lists_filter(standin: Standin) -> None:
    client = standin.client()
    standin.control("clock", {"now": "2025-01-01T00:00:00+00:00"})
    ada, bob = new_customer(client, "pm_card_visa"), client.v1.customers.create({"email": "bob@example.com"}).id
    assert [one.id for one in client.v1.customers.list({"email": "bob@example.com"})] == [bob]
    paid, unpaid = open_invoice(client, ada, 100), open_invoice(client, bob, 200)
    client.v1.invoices.pay(paid.id)
    assert [one.id for one in client.v1.invoices.list({"customer": bob})] == [unpaid.id]
    assert [one.id for one in client.v1.invoices.list({"status": "paid"})] == [paid.id]
    standin.control("clock", {"now": "2025-01-02T00:00:00+00:00"})
    late = client.v1.customers.create({}).id
    assert [one.id for one in client.v1.customers.list({"created": {"gt": 1_735_689_600}})] == [late]
    assert {one.id for one in client.v1.customers.list({"created": 1_735_689_600})} == {ada, bob}
    payment = client.v1.invoice_payments.list({"invoice": paid.id}).data[0]
    intent = payment.payment.payment_intent
    by_intent = client.v1.invoice_payments.list({"payment": {"type": "payment_intent", "payment_intent": intent}})
    assert [one.id for one in by_intent] == [payment.id]
    charge = client.v1.charges.list({"payment_intent": intent}).data[0]
    assert [one.id for one in client.v1.balance_transactions.list({"source": charge.id})] == [
        charge.balance_transaction
    ]
    types = client.v1.events.list({"types": ["invoice.paid", "customer.*"], "limit": 100})
    assert {one.type for one in types} == {"invoice.paid", "customer.created", "customer.updated"}
    assert [one.type for one in client.v1.events.list({"type": "invoice.paid"})] == ["invoice.paid"]


def test_events_are_listed_for_thirty_days(standin: Standin) -> None:
    client = standin.client()
    standin.control("clock", {"now": "2025-01-01T00:00:00+00:00"})
    client.v1.customers.create({})
    standin.control("clock", {"now": "2025-01-31T00:00:00+00:00"})
    assert len(client.v1.events.list().data) == 1
    standin.control("clock", {"now": "2025-01-31T00:00:01+00:00"})
    assert client.v1.events.list().data == []


def test_expand(standin: Standin) -> None:
    client = standin.client()
    invoice = client.v1.invoices.pay(open_invoice(client, new_customer(client, "pm_card_visa"), 700).id)
    assert not hasattr(invoice, "payments"), "only given on request"
    found = client.v1.invoices.retrieve(
        invoice.id, {"expand": ["customer", "payments.data.payment.payment_intent", "confirmation_secret"]}
    )
    assert found.customer.email == "ada@example.com"
    intent = found.payments.data[0].payment.payment_intent
    assert (intent.amount_received, intent.status) == (700, "succeeded")
    charge = client.v1.charges.retrieve(
        intent.latest_charge, {"expand": ["balance_transaction", "refunds", "customer"]}
    )
    assert charge.balance_transaction.net == 700 - 50
    listed = client.v1.payment_intents.list({"expand": ["data.latest_charge.balance_transaction"]})
    assert listed.data[0].latest_charge.balance_transaction.fee == 50
    for path in ("colour", "customer.name", "payments.data.payment.payment_intent.latest_charge", "total"):
        with pytest.raises(stripe.InvalidRequestError, match="expand"):
            client.v1.invoices.retrieve(invoice.id, {"expand": [path]})


def test_the_same_seed_gives_the_same_identifiers(standin: Standin) -> None:
    def story() -> list[str]:
        client = standin.client()
        invoice = open_invoice(client, new_customer(client, "pm_card_visa"), 700)
        client.v1.invoices.pay(invoice.id)
        return [one["id"] for kind in stripe_schemas.OBJECTS if kind != "balance" for one in standin.objects(kind)]

    first = story()
    standin.control("reset", {})
    again = story()
    assert [one for one in again if not one.startswith("we_")] == [one for one in first if not one.startswith("we_")]
    assert len(set(first)) == len(first) > 20
