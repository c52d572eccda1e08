"""Draws, holds and returns over HTTP."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing_ops.kit import clock
from tests.ledger.books import give, sql
from tests.support.api import Api, new_key

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture
def api(settings: Any) -> Api:
    settings.CREDIT_HOLDER_CHECK = ""
    return Api()


@pytest.fixture
def credit(api: Api) -> Any:
    return give("p", "20", at=clock.now() - timedelta(hours=1))


def draw(api: Api, key: str = "k", amount: str = "0.30", **more: Any) -> Any:
    body = {"customer": "cus-1", "unit": "USD", "amount": amount, "key": key, **more}
    return api.post("/draws", body, idem=None)


def test_a_draw_and_its_replay(api: Api, credit: Any) -> None:
    first = draw(api, usage_ref="evt-1").json()
    assert (first["outcome"], first["drawn"], first["shortfall"], first["replayed"]) == ("accepted", "0.3", "0", False)
    assert first["credits"] == [{"credit": str(credit.public_id), "amount": "0.3"}]
    assert draw(api, usage_ref="evt-1").json() == {**first, "replayed": True}
    problem = draw(api, amount="0.31", usage_ref="evt-2")
    assert (problem.status_code, problem.json()["code"]) == (409, "credit.draw_differs")
    assert problem.json()["details"]["differs"] == ["amount", "usage_ref"]


def test_a_refusal_is_an_answer(api: Api, credit: Any) -> None:
    found = draw(api, amount="25").json()
    assert (found["outcome"], found["drawn"], found["shortfall"]) == ("refused", "0", "5")


@pytest.mark.parametrize(
    ("field", "more"),
    [
        ("amount", {"amount": "1e3"}),
        ("amount", {"amount": "-1"}),
        ("amount", {"amount": 1}),
        ("amount", {"amount": "0"}),
        ("key", {"key": "a b"}),
        ("key", {"key": "hold:1"}),
        ("policy", {"policy": "some"}),
        ("used_at", {"used_at": "2025-01-01T00:00:00"}),
        ("used_at", {"used_at": "2199-01-01T00:00:00Z"}),
        ("used_at", {"used_at": "1999-01-01T00:00:00Z"}),
        ("customer", {"customer": "no spaces"}),
    ],
)
def test_what_is_refused_by_name(api: Api, credit: Any, field: str, more: dict[str, Any]) -> None:
    answer = draw(api, **more)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_bodies_that_are_none(api: Api) -> None:
    assert draw(api, colour="red").status_code == 422
    assert api.raw("POST", "/draws", b"{", idem=None).status_code == 400
    assert api.raw("POST", "/draws", b"{}", type="text/plain", idem=None).status_code == 415
    assert api.raw("POST", "/draws/batch", b'{"draws": []}', idem=None).status_code == 422


def test_a_key_needs_the_scope(api: Api, credit: Any) -> None:
    api.key = new_key("credits:write")
    assert draw(api).status_code == 403


def test_many_at_once_each_with_its_outcome(api: Api, credit: Any) -> None:
    give("q", "1", customer="cus-2", at=clock.now() - timedelta(hours=1))
    draws = [{"customer": f"cus-{1 + n % 2}", "unit": "USD", "amount": "0.4", "key": f"k{n}"} for n in range(8)]
    found = api.post("/draws/batch", {"draws": [*draws, {**draws[0], "amount": "3"}]}, idem=None).json()
    assert found["counts"] == {"accepted": 6, "partial": 0, "overage": 0, "refused": 2, "failed": 1}
    assert [one["outcome"] for one in found["outcomes"]] == ["accepted"] * 5 + [
        "refused",
        "accepted",
        "refused",
        "failed",
    ]
    assert found["outcomes"][-1]["code"] == "credit.draw_differs"
    assert sql("SELECT count(*) FROM ledger_entry WHERE event_type = 'credit.drawn'") == [(2,)]


def test_where_credit_went(api: Api, credit: Any) -> None:
    made = [draw(api, key=f"k{n}", usage_ref=f"evt-{n % 2}").json()["id"] for n in range(5)]
    first = api.get("/draws", {"customer": "cus-1", "limit": "3"}).json()
    rest = api.get("/draws", {"customer": "cus-1", "limit": "3", "cursor": first["next_cursor"]}).json()
    assert [one["id"] for one in first["items"] + rest["items"]] == made[::-1]
    assert [one["id"] for one in api.get("/draws", {"usage_ref": "evt-1"}).json()["items"]] == [made[3], made[1]]
    assert len(api.get("/draws", {"credit": str(credit.public_id)}).json()["items"]) == 5
    assert api.get(f"/draws/{made[0]}").json()["credits"][0]["amount"] == "0.3"
    assert api.get("/draws/999999999").status_code == 404


def test_a_draw_is_given_back(api: Api, credit: Any) -> None:
    made = draw(api, amount="3").json()["id"]
    body = {"amount": "1", "reason_code": "overcounted"}
    first = api.post(f"/draws/{made}/returns", body, idem="r1")
    assert first.status_code == 201
    assert first.json()["credits"] == [{"credit": str(credit.public_id), "amount": "1"}]
    assert api.post(f"/draws/{made}/returns", body, idem="r1").content == first.content
    assert api.post(f"/draws/{made}/returns", {**body, "amount": "2.1"}).json()["code"] == "credit.return_too_much"
    assert api.get(f"/draws/{made}").json()["returned"] == "1"


def test_a_hold_from_its_begin_to_its_end(api: Api, credit: Any) -> None:
    kept = api.post("/holds", {"customer": "cus-1", "unit": "USD", "amount": "6"}).json()
    assert (kept["status"], kept["held"]) == ("open", "6")
    (found,) = api.get("/customers/cus-1/credit").json()["credit"]
    assert (found["settled"], found["held"], found["unbilled"], found["available"]) == ("20", "6", "0", "14")
    assert api.post(f"/holds/{kept['id']}/settle", {"actual": "7"}).json()["code"] == "credit.hold_exceeded"
    settled = api.post(f"/holds/{kept['id']}/settle", {"actual": "3.2"}).json()
    assert (settled["status"], settled["settled"]) == ("settled", "3.2")
    assert api.get(f"/draws/{settled['draw']}").json()["drawn"] == "3.2"
    assert api.post(f"/holds/{kept['id']}/release").json()["code"] == "credit.hold_resolved"
    other = api.post("/holds", {"customer": "cus-1", "unit": "USD", "amount": "6"}).json()
    assert api.post(f"/holds/{other['id']}/release").json()["status"] == "released"
    assert api.get(f"/holds/{other['id']}").json()["status"] == "released"


def test_a_draw_asks_the_database_nothing_but_what_it_needs(
    api: Api, credit: Any, django_assert_num_queries: Any
) -> None:
    draw(api, key="warm")
    with django_assert_num_queries(8):
        draw(api, key="k")
