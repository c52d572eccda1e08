"""The agreement over HTTP: what a program sends, gets back and is refused."""

from collections.abc import Iterator
from typing import Any

import pytest

from billing_ops.kit.http import auth
from plans.models import Customer, Plan, PlanVersion, Subscription
from tests.plans import stories
from tests.support.api import Api, new_key
from tests.support.clock import VirtualClock

CONTEXT = {
    "key": "context",
    "name": "Context tokens",
    "model": "graduated",
    "meter": "context",
    "included_units": "100000",
    "tiers": [{"up_to": "400000", "unit_amount": "0.000003"}, {"unit_amount": "0.0000024"}],
}
FEE = {"key": "fee", "name": "Monthly fee", "model": "flat", "unit_amount": "20"}
PLAN = {"key": "pro", "name": "Pro", "currency": "USD", "prices": [FEE, CONTEXT]}
ACME = {
    "key": "acme",
    "name": "Acme",
    "currency": "USD",
    "email": "pay@acme.example",
    "address": {"city": "Bath", "country": "GB"},
}


@pytest.fixture
def api(db: None, clock: VirtualClock) -> Iterator[Api]:
    """A client with a key that may do everything; the time is 2025-01-01."""
    auth.forget()
    yield Api()
    auth.forget()


@pytest.fixture
def published(api: Api) -> Api:
    """A client that finds the plan *pro* published and the customer *acme*."""
    stories.meter("context")
    assert api.post("/plans", PLAN).status_code == 201
    assert api.post("/plans/pro/versions/1/publish").status_code == 200
    assert api.post("/customers", ACME).status_code == 201
    return api


def _refused(answer: Any, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    if field is not None:
        assert field in [error["field"] for error in problem["errors"]], problem
    return problem


# Customers


def test_a_customer_is_created_read_and_changed(api: Api) -> None:
    made = api.post("/customers", ACME).json()
    assert made["created_at"] == "2025-01-01T00:00:00Z"
    assert (made["time_zone"], made["stripe_id"]) == ("UTC", None)
    assert made["address"]["city"] == "Bath"
    assert api.get("/customers/acme").json() == made
    changed = api.raw("PATCH", "/customers/acme", b'{"name": "Acme Ltd", "address": {"line1": "1 Way"}}').json()
    assert changed == made | {"name": "Acme Ltd", "address": made["address"] | {"line1": "1 Way"}}


def test_the_same_request_again_is_the_same_customer(api: Api) -> None:
    first, again = api.post("/customers", ACME, idem="a"), api.post("/customers", ACME, idem="a")
    assert again.content == first.content
    assert api.post("/customers", ACME, idem="b").json() == first.json()  # by its key as well
    problem = _refused(api.post("/customers", ACME | {"name": "Other"}), 409, "customer.differs", "name")
    assert problem["details"]["differs"] == ["name"]
    assert Customer.objects.count() == 1


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"key": "a/b"}, "request.invalid", "key"),
        ({"name": None}, "request.invalid", "name"),
        ({"currency": "usd"}, "request.invalid", "currency"),
        ({"currency": "XYZ"}, "currency.invalid", "currency"),
        ({"currency": "XAU"}, "customer.invalid", "currency"),
        ({"time_zone": "Mars/Base"}, "customer.invalid", "time_zone"),
        ({"email": "acme"}, "customer.invalid", "email"),
        ({"address": {"country": "uk"}}, "customer.invalid", "country"),
        ({"address": {"planet": "Mars"}}, "request.invalid", "address.planet"),
        ({"credit_limit": "5"}, "request.invalid", "credit_limit"),
    ],
)
def test_a_bad_customer_is_refused_by_field(api: Api, change: dict[str, Any], code: str, field: str) -> None:
    _refused(api.post("/customers", ACME | change), 422, code, field)
    assert not Customer.objects.exists()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"key": "other"}', 422, "request.invalid"),
        (b'{"name": null}', 422, "request.invalid"),
        (b'{"currency": "EUR"}', 409, "customer.terms_fixed"),
        (b'{"time_zone": "Asia/Tokyo"}', 409, "customer.terms_fixed"),
    ],
)
def test_what_cannot_be_changed(published: Api, body: bytes, status: int, code: str) -> None:
    published.post("/subscriptions", {"key": "s", "customer": "acme", "plan": "pro"})
    _refused(published.raw("PATCH", "/customers/acme", body), status, code)
    assert Customer.objects.get().name == "Acme"


def test_customers_are_listed_page_by_page_and_searched(api: Api) -> None:
    for number in range(5):
        api.post("/customers", ACME | {"key": f"cus-{number}", "email": f"{'ab'[number % 2]}@x.example"})
    keys, cursor = [], None
    while True:
        page = api.get("/customers", {"limit": 2} | ({"cursor": cursor} if cursor else {})).json()
        keys.append([row["key"] for row in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert keys == [["cus-0", "cus-1"], ["cus-2", "cus-3"], ["cus-4"]]
    assert [row["key"] for row in api.get("/customers", {"search": "B@"}).json()["items"]] == ["cus-1", "cus-3"]


@pytest.mark.parametrize(
    "path",
    [
        "/customers/none",
        "/customers/%00",
        "/customers/%F0%9F%92%A9",
        "/plans/none",
        f"/plans/{'9' * 30}",
        "/subscriptions/none",
    ],
)
def test_what_does_not_exist_is_404(api: Api, path: str) -> None:
    answer = api.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"].endswith("not_found")


# Plans


def test_a_plan_is_drafted_read_and_published(api: Api) -> None:
    stories.meter("context")
    made = api.post("/plans", PLAN).json()
    (version,) = made["versions"]
    assert (version["number"], version["status"], version["published_at"]) == (1, "draft", None)
    assert [price["key"] for price in version["prices"]] == ["fee", "context"]
    assert version["prices"][1]["tiers"] == [
        {"up_to": "400000", "unit_amount": "0.000003", "flat_amount": "0"},
        {"up_to": None, "unit_amount": "0.0000024", "flat_amount": "0"},
    ]
    published = api.post("/plans/pro/versions/1/publish").json()
    assert published == version | {"status": "published", "published_at": "2025-01-01T00:00:00Z"}
    assert api.get("/plans/pro").json()["versions"] == [published]
    assert api.get("/plans").json()["items"] == [api.get("/plans/pro").json()]
    assert api.post("/plans", PLAN).json() == api.get("/plans/pro").json()  # the same plan again


def test_a_plan_edited_after_publishing_is_refused_and_told_how(published: Api) -> None:
    dearer = {"currency": "USD", "prices": [FEE | {"unit_amount": "30"}, CONTEXT]}
    for answer in (
        published.raw("PUT", "/plans/pro/versions/1", _json(dearer)),
        published.post("/plans/pro/versions", dearer | {"number": 1}),
        published.post("/plans", PLAN | dearer),
    ):
        problem = _refused(answer, 409, "version.published", "prices.fee.unit_amount")
        assert "Draft a new version" in problem["remedy"]
    second = published.post("/plans/pro/versions", dearer).json()
    assert (second["number"], second["status"], second["prices"][0]["unit_amount"]) == (2, "draft", "30")
    assert PlanVersion.objects.get(number=1).prices.get(key="fee").unit_amount == 20


def test_a_draft_is_revised(api: Api) -> None:
    api.post("/plans", PLAN | {"prices": [FEE]})
    change = {"currency": "USD", "prices": [FEE | {"unit_amount": "25"}]}
    revised = api.raw("PUT", "/plans/pro/versions/1", _json(change))
    assert revised.status_code == 200
    assert revised.json()["prices"][0]["unit_amount"] == "25"
    for number in ("7", "0", "9" * 30):
        _refused(api.raw("PUT", f"/plans/pro/versions/{number}", _json(change)), 404, "version.not_found")


@pytest.mark.parametrize(
    ("price", "code", "field"),
    [
        (FEE | {"unit_amount": 20}, "request.invalid", "prices.0.unit_amount"),
        (FEE | {"unit_amount": "NaN"}, "request.invalid", "prices.0.unit_amount"),
        (FEE | {"unit_amount": "0.0000000000001"}, "request.invalid", "prices.0.unit_amount"),
        (FEE | {"unit_amount": "-1"}, "request.invalid", "prices.0.unit_amount"),
        (FEE | {"unit_amount": None}, "price.unit_amount_invalid", "prices.fee.unit_amount"),
        (FEE | {"discount": "5"}, "request.invalid", "prices.0.discount"),
        (CONTEXT | {"settlement": "drawdown", "minimum": "5"}, "request.invalid", "prices.0.minimum"),
        (CONTEXT | {"settlement": "drawdown", "maximum": "5"}, "request.invalid", "prices.0.maximum"),
        (CONTEXT | {"settlement": "drawdown", "coupon": "SPRING"}, "request.invalid", "prices.0.coupon"),
        (FEE | {"model": "volume"}, "request.invalid", "prices.0.model"),
        (CONTEXT | {"meter": "nothing"}, "price.meter_unknown", "prices.context.meter"),
        (CONTEXT | {"meter": ""}, "price.meter_mismatch", "prices.context.meter"),
    ],
)
def test_a_bad_price_is_refused_by_field(api: Api, price: dict[str, Any], code: str, field: str) -> None:
    stories.meter("context")
    _refused(api.post("/plans", PLAN | {"prices": [price]}), 422, code, field)
    assert not Plan.objects.exists()


@pytest.mark.parametrize(
    ("prices", "code", "field"),
    [
        ([], "version.without_prices", "prices"),
        ([CONTEXT | {"tiers": CONTEXT["tiers"][:1]}], "price.tiers_invalid", "prices.context.tiers.0.up_to"),
        ([CONTEXT, CONTEXT | {"key": "again"}], "version.meter_priced_twice", "prices"),
    ],
)
def test_what_cannot_be_billed_is_not_published(api: Api, prices: list[Any], code: str, field: str) -> None:
    stories.meter("context")
    assert api.post("/plans", PLAN | {"prices": prices}).status_code == 201
    _refused(api.post("/plans/pro/versions/1/publish"), 422, code, field)
    assert api.get("/plans/pro").json()["versions"][0]["status"] == "draft"


# Subscriptions


def test_a_customer_subscribes_and_ends(published: Api) -> None:
    made = published.post("/subscriptions", {"key": "sub-1", "customer": "acme", "plan": "pro"})
    assert made.status_code == 201
    body = made.json()
    assert (body["status"], body["version"], body["due_at"]) == ("active", 1, "2025-01-01T00:00:00Z")
    assert body["period"] == {
        "number": 0,
        "starts_at": "2025-01-01T00:00:00Z",
        "ends_at": "2025-02-01T00:00:00Z",
    }
    assert [(item["price"], item["meter"]) for item in body["items"]] == [("fee", ""), ("context", "context")]
    assert published.get("/subscriptions/sub-1").json() == body
    assert published.get("/subscriptions", {"customer": "acme"}).json()["items"] == [body]
    ended = published.post("/subscriptions/sub-1/end").json()
    assert (ended["status"], ended["ends_at"]) == ("active", "2025-02-01T00:00:00Z")
    assert published.post("/subscriptions/sub-1/end").json() == ended


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"customer": "nobody"}, 404, "customer.not_found"),
        ({"plan": "nothing"}, 404, "plan.not_found"),
        ({"version": 9}, 404, "version.not_found"),
        ({"version": 2}, 409, "version.not_published"),
        ({"plan": "euro"}, 409, "subscription.currency_mismatch"),
        ({"starts_at": "2025-01-15T00:00:00Z", "anchor": "2025-02-01T00:00:00Z"}, 422, "subscription.partial_period"),
        ({"starts_at": "2025-01-15T00:00:00"}, 422, "request.invalid"),
        ({"starts_at": "1970-01-01T00:00:00Z"}, 422, "request.invalid"),
        ({"coupon": "half"}, 422, "request.invalid"),
    ],
)
def test_a_subscription_that_cannot_be(published: Api, change: dict[str, Any], status: int, code: str) -> None:
    published.post("/plans/pro/versions", {"currency": "USD", "prices": [FEE]})
    published.post("/plans", {"key": "euro", "name": "Euro", "currency": "EUR", "prices": [FEE]})
    published.post("/plans/euro/versions/1/publish")
    body = {"key": "sub-1", "customer": "acme", "plan": "pro"} | change
    _refused(published.post("/subscriptions", body), status, code)
    assert not Subscription.objects.exists()


def test_the_same_usage_is_not_subscribed_to_twice(published: Api) -> None:
    published.post("/subscriptions", {"key": "sub-1", "customer": "acme", "plan": "pro"})
    again = published.post("/subscriptions", {"key": "sub-2", "customer": "acme", "plan": "pro"})
    _refused(again, 409, "subscription.meter_taken")


# The calculator

INLINE = {name: CONTEXT[name] for name in ("model", "included_units", "tiers")} | {"currency": "USD"}


def test_a_price_is_rated_inline_or_by_its_id_alike(published: Api) -> None:
    stored = published.get("/plans/pro").json()["versions"][0]["prices"][1]["id"]
    inline = published.post("/prices/preview", {"quantity": "750000.5", "price": INLINE}, idem=None)
    by_id = published.post("/prices/preview", {"quantity": "750000.5", "price_id": stored}, idem=None)
    assert inline.status_code == 200
    assert inline.json() == by_id.json()
    body = inline.json()
    assert (body["unrounded_amount"], body["amount"]) == ("1.8000012", "1.80")
    assert [step["label"] for step in body["steps"]] == [
        "first 100,000 included",
        "400,000 at $0.000003 = $1.20",
        "250,000.5 at $0.0000024 = $0.6000012",
    ]
    assert (body["steps"][2]["above"], body["steps"][2]["up_to"]) == ("500000", None)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"quantity": "1"}, 422, "preview.price_ambiguous"),
        ({"quantity": "1", "price_id": 1, "price": INLINE}, 422, "preview.price_ambiguous"),
        ({"quantity": "1", "price_id": 10**9}, 404, "price.not_found"),
        ({"quantity": "1", "price_id": 10**30}, 422, "request.invalid"),
        ({"quantity": "-1", "price": INLINE}, 422, "request.invalid"),
        ({"quantity": 1, "price": INLINE}, 422, "request.invalid"),
        ({"price": INLINE}, 422, "request.invalid"),
        ({"quantity": "1", "price": INLINE | {"tiers": []}}, 422, "price.tiers_invalid"),
        ({"quantity": "1", "price": INLINE | {"currency": "XYZ"}}, 422, "currency.invalid"),
    ],
)
def test_what_cannot_be_rated(api: Api, body: dict[str, Any], status: int, code: str) -> None:
    _refused(api.post("/prices/preview", body, idem=None), status, code)


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/customers", "customers:write"),
        ("GET", "/customers", "customers:read"),
        ("PATCH", "/customers/acme", "customers:write"),
        ("POST", "/plans", "plans:write"),
        ("PUT", "/plans/pro/versions/1", "plans:write"),
        ("POST", "/plans/pro/versions/1/publish", "plans:write"),
        ("GET", "/plans", "plans:read"),
        ("POST", "/prices/preview", "plans:read"),
        ("POST", "/subscriptions", "subscriptions:write"),
        ("POST", "/subscriptions/s/end", "subscriptions:write"),
        ("GET", "/subscriptions", "subscriptions:read"),
    ],
)
def test_each_door_needs_its_scope(api: Api, method: str, path: str, scope: str) -> None:
    api.key = new_key("events:write")
    problem = _refused(api.raw(method, path, b"{}"), 403, "auth.scope_missing")
    assert problem["details"]["scope"] == scope


def _json(body: Any) -> bytes:
    import json

    return json.dumps(body).encode()


def test_the_stripe_customer_of_another_is_refused_by_name(api: Api) -> None:
    for key in ("acme", "other"):
        assert api.post("/customers", {**ACME, "key": key}).status_code == 201
    body = b'{"stripe_id": "cus_Same"}'
    assert api.raw("PUT", "/customers/acme/payment", body, idem=None).status_code == 200
    _refused(api.raw("PUT", "/customers/other/payment", body, idem=None), 409, "customer.stripe_id_taken", "stripe_id")
    assert Customer.objects.get(key="other").stripe_id is None
