"""Balances, credits and entries through HTTP."""

from decimal import Decimal
from typing import Any

import pytest

from billing_ops.kit import clock
from billing_ops.kit.http import auth
from ledger.models import CreditGrant, Entry
from tests.ledger.books import AT, accrue, give, spend
from tests.support.api import Api, new_key

pytestmark = pytest.mark.django_db

CREDIT: dict[str, Any] = {
    "customer": "cus-1",
    "kind": "goodwill",
    "amount": "25.00",
    "currency": "USD",
    "reason_code": "outage",
    "scope": ["tokens"],
}


@pytest.fixture(autouse=True)
def _at(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    auth.forget()
    monkeypatch.setattr(clock, "now", lambda: AT)
    settings.CREDIT_HOLDER_CHECK = ""


@pytest.fixture
def api() -> Api:
    return Api(key=new_key(at=AT))


def test_a_credit_is_given_once_and_seen(api: Api) -> None:
    answer = api.post("/credits", CREDIT, idem="k")
    assert answer.status_code == 201
    made = answer.json()
    assert (made["remaining"], made["used"], made["status"], made["scope"]) == ("25.00", "0.00", "active", ["tokens"])
    again = api.post("/credits", CREDIT, idem="k")
    assert (again.status_code, again.json(), again.headers["Idempotent-Replayed"]) == (201, made, "true")
    assert CreditGrant.objects.count() == 1
    assert api.get(f"/credits/{made['id']}").json() == made
    (balance,) = api.get("/balances", {"customer": "cus-1"}).json()["balances"]
    assert (balance["goodwill_credits"], balance["credits_total"], balance["receivable"]) == ("25.00", "25.00", "0.00")
    (entry,) = api.get("/entries", {"credit": made["id"]}).json()["items"]
    assert [(line["side"], line["code"], line["amount"]) for line in entry["lines"]] == [
        ("debit", "4910", "25.00"),
        ("credit", "2010", "25.00"),
    ]
    assert api.get(f"/entries/{entry['id']}").json() == entry


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"amount": None}, "request.invalid"),
        ({"amount": 25}, "request.invalid"),
        ({"amount": "1e3"}, "request.invalid"),
        ({"amount": "NaN"}, "request.invalid"),
        ({"amount": "-5"}, "request.invalid"),
        ({"amount": "1.001"}, "amount.invalid"),
        ({"amount": "0"}, "amount.invalid"),
        ({"currency": "usd"}, "ledger.unknown_unit"),
        ({"currency": "XYZ"}, "currency.invalid"),
        ({"kind": "paid"}, "request.invalid"),
        ({"priority": 101}, "request.invalid"),
        ({"reason_code": ""}, "request.invalid"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "credit.invalid_terms"),
        ({"expires_at": "2026-01-01"}, "request.invalid"),
        ({"colour": "blue"}, "request.invalid"),
    ],
)
def test_a_credit_that_cannot_be_given_is_refused_by_code(api: Api, change: dict[str, Any], code: str) -> None:
    answer = api.post("/credits", {**CREDIT, **change})
    assert answer.status_code == 422
    assert answer.json()["code"] == code, answer.json()
    assert not Entry.objects.exists()


def test_an_unknown_customer_and_another_currency_are_refused(api: Api, settings: Any) -> None:
    from tests.plans.stories import customer

    settings.CREDIT_HOLDER_CHECK = "plans.customers.check_credit_holder"
    unknown = api.post("/credits", CREDIT)
    assert (unknown.status_code, unknown.json()["code"]) == (404, "customer.not_found")
    known = customer()
    other = api.post("/credits", {**CREDIT, "customer": known.key, "currency": "EUR"})
    assert (other.status_code, other.json()["code"]) == (422, "customer.currency_differs")
    assert api.post("/credits", {**CREDIT, "customer": known.key, "currency": known.currency}).status_code == 201


def test_the_same_key_for_another_credit_is_refused(api: Api) -> None:
    api.post("/credits", CREDIT, idem="k")
    answer = api.post("/credits", {**CREDIT, "amount": "26.00"}, idem="k")
    assert answer.status_code == 409
    assert CreditGrant.objects.count() == 1


def test_credits_come_page_by_page(api: Api) -> None:
    for number in range(5):
        give(f"g{number}", str(number + 1))
    spend("inv", "1.5")
    seen: list[dict[str, Any]] = []
    query: dict[str, Any] = {"customer": "cus-1", "limit": 2}
    while True:
        page = api.get("/credits", query).json()
        seen += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert [item["amount"] for item in seen] == ["5.00", "4.00", "3.00", "2.00", "1.00"]
    for item in seen:
        parts = (Decimal(item[name]) for name in ("remaining", "used", "expired", "voided"))
        assert sum(parts) == Decimal(item["amount"])
    assert api.get("/credits", {"customer": "cus-1", "currency": "EUR"}).json()["items"] == []
    assert api.get("/credits").status_code == 422


def test_entries_come_page_by_page(api: Api) -> None:
    for number in range(3):
        accrue(f"a{number}", "1")
    spend("inv", "1")
    first = api.get("/entries", {"customer": "cus-1", "limit": 3}).json()
    rest = api.get("/entries", {"customer": "cus-1", "limit": 3, "cursor": first["next_cursor"]}).json()
    assert [len(first["items"]), len(rest["items"]), rest["next_cursor"]] == [3, 2, None]
    assert [entry["type"] for entry in api.get("/entries", {"invoice": "inv"}).json()["items"]] == ["invoice.finalized"]


def test_a_credit_is_taken_back(api: Api) -> None:
    made = api.post("/credits", CREDIT).json()
    answer = api.post(f"/credits/{made['id']}/void", {"reason_code": "mistake"}, idem="v")
    assert (answer.status_code, answer.json()["voided"], answer.json()["status"]) == (200, "25.00", "voided")
    again = api.post(f"/credits/{made['id']}/void", {"reason_code": "mistake"}, idem="w")
    assert (again.status_code, again.json()["code"]) == (409, "credit.nothing_left")


def test_what_is_not_there_is_said(api: Api) -> None:
    nobody = "00000000-0000-4000-8000-000000000000"
    assert api.get(f"/credits/{nobody}").json()["code"] == "credit.not_found"
    assert api.get(f"/entries/{nobody}").json()["code"] == "ledger.entry_not_found"
    assert api.get("/balances", {"customer": "cus-9"}).json()["balances"] == []
    zero = api.get("/balances", {"customer": "cus-9", "currency": "USD"}).json()["balances"]
    assert zero[0]["receivable"] == "0.00"


def test_a_key_gives_within_its_limits_and_is_told_which_one_it_meets(api: Api) -> None:
    answer = api.post("/credits", {**CREDIT, "amount": "100.01"}, idem="k")
    told = answer.json()
    assert (answer.status_code, told["code"]) == (422, "credit.above_limit")
    assert told["details"] == {
        "limit": "per_credit", "role": "API key", "allowed": "100", "left": "100", "unit": "USD",
    }  # fmt: skip
    assert "Give at most 100.00 USD, or ask for it in the console" in told["remedy"]
    assert not CreditGrant.objects.exists()
    assert api.post("/credits", CREDIT, idem="j").status_code == 201
    yen = api.post("/credits", {**CREDIT, "amount": "1", "currency": "JPY"}, idem="y").json()
    assert (yen["code"], yen["details"]["limit"], yen["details"]["left"]) == ("credit.above_limit", "no_limit", "0")
