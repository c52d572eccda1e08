"""Statements, balances as of an instant and the histories of credits through HTTP."""

from datetime import timedelta
from typing import Any

import pytest

from billing_ops.kit import clock
from billing_ops.kit.http import auth
from ledger.models import Entry
from tests.ledger.books import AT, give, spend
from tests.support.api import Api, new_key

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Api:
    auth.forget()
    monkeypatch.setattr(clock, "now", lambda: AT)
    settings.CREDIT_HOLDER_CHECK = ""
    return Api(key=new_key(at=AT))


def test_a_statement_runs_over_its_pages(api: Api) -> None:
    for number in range(5):
        spend(f"inv-{number}", "10.5", at=AT + timedelta(days=number))
    asked = {"customer": "cus-1", "currency": "USD", "since": "2025-03-05", "until": "2025-03-08"}
    whole = api.get("/statement", asked).json()
    assert (whole["opening"], whole["closing"], whole["scope"]) == ("10.50", "42.00", "due")
    assert [(line["debit"], line["balance"]) for line in whole["lines"]] == [
        ("10.50", "21.00"),
        ("10.50", "31.50"),
        ("10.50", "42.00"),
    ]
    assert whole["lines"][0]["refs"] == {"invoice": "inv-1"}
    first = api.get("/statement", {**asked, "limit": 2}).json()
    second = api.get("/statement", {**asked, "limit": 2, "cursor": first["next_cursor"]}).json()
    assert first["lines"] + second["lines"] == whole["lines"]
    assert (second["brought_forward"], second["next_cursor"]) == ("31.50", None)
    other = api.get("/statement", {**asked, "limit": 2, "scope": "all", "cursor": first["next_cursor"]})
    assert (other.status_code, other.json()["code"]) == (400, "cursor.invalid")


@pytest.mark.parametrize(
    "change",
    [{"scope": "rich"}, {"since": "2025-03-09"}, {"until": "today"}, {"recorded_until": "2025-03-09"}, {"x": "1"}],
)
def test_a_statement_that_cannot_be_is_refused(api: Api, change: dict[str, str]) -> None:
    asked = {"customer": "cus-1", "currency": "USD", "until": "2025-03-08", **change}
    assert api.get("/statement", asked).status_code == 422


def test_balances_as_of(api: Api) -> None:
    give("g", "5")
    spend("inv", "7", at=AT + timedelta(days=1))
    asked = {"customer": "cus-1", "currency": "USD"}
    now = api.get("/balances/as-of", asked).json()
    assert (now["receivable"], now["credits_total"], now["until"]) == ("2.00", "0.00", None)
    then = api.get("/balances/as-of", {**asked, "until": "2025-03-05T00:00:00Z"}).json()
    assert (then["receivable"], then["credits_total"]) == ("0.00", "5.00")
    unknown = api.get("/balances/as-of", {**asked, "recorded_until": "2025-03-05T00:00:00Z"}).json()
    assert (unknown["receivable"], unknown["credits_total"]) == ("0.00", "0.00"), "it was written long after"


def test_where_a_credit_went(api: Api) -> None:
    grant = give("g", "5")
    spend("inv-1", "2", feature="tokens")
    spend("inv-2", "9")
    path = f"/credits/{grant.public_id}/history"
    whole = api.get(path).json()
    assert [(step["event"], step["amount"], step["remaining"]) for step in whole["items"]] == [
        ("Credit granted", "5.00", "5.00"),
        ("Invoice finalised", "-2.00", "3.00"),
        ("Invoice finalised", "-3.00", "0.00"),
    ]
    (draw,) = whole["items"][1]["draws"]
    assert (draw["feature"], draw["ref"], draw["amount"], draw["credit"]) == (
        "tokens",
        "line",
        "2.00",
        str(grant.public_id),
    )
    first = api.get(path, {"limit": 1}).json()
    assert api.get(path, {"limit": 200, "cursor": first["next_cursor"]}).json()["items"] == whole["items"][1:]
    entry = Entry.objects.get(idempotency_key="inv-1").public_id
    assert api.get(f"/entries/{entry}/draws").json() == {"items": [draw], "next_cursor": None}
    nothing = "00000000-0000-0000-0000-000000000000"
    assert api.get(f"/credits/{nothing}/history").json()["code"] == "credit.not_found"
    assert api.get(f"/entries/{nothing}/draws").json()["code"] == "ledger.entry_not_found"
