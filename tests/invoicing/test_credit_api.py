"""Top-ups, rules, schedules, transfers and units over HTTP: what they answer, and what the same key answers again."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from moneyed import Money

from billing_ops.kit.http import auth
from ledger import crediting, registering, scheduling
from plans.models import Customer
from tests.invoicing.stories import START, TESTER, fee, join, publish
from tests.support.api import Api, new_key


@pytest.fixture
def acme(books: Any) -> Customer:
    plan = publish("p", fee("1.00"))
    join(plan, "buyer", begin=False)
    registering.register(code="credits", actor=TESTER, at=START)
    registering.set_rate(unit="credits", currency="USD", rate=Decimal("0.02"), reason="x", actor=TESTER, at=START)
    return join(plan, begin=False)


@pytest.fixture
def api(acme: Customer) -> Api:
    auth.forget()
    return Api(key=new_key(at=START))


def test_a_top_up_is_ordered_read_and_given_up(api: Api) -> None:
    body = {"customer": "acme", "unit": "credits", "amount": "500", "valid_days": 30}
    made = api.post("/top-ups", body)
    assert made.status_code == 201, made.json()
    said = made.json()
    assert (said["status"], said["price"], said["quantity"], said["credit"]) == ("open", "10.00", "500", None)
    assert api.get(f"/top-ups/{said['id']}").json() == said
    assert api.get("/top-ups", {"customer": "acme"}).json()["items"] == [said]
    line = api.get(f"/invoices/{said['invoice']}").json()["lines"][0]
    assert (line["kind"], line["subscription"], line["amount"]) == ("topup", None, "10.00")
    gone = api.post(f"/top-ups/{said['id']}/give-up", {"reason_code": "mistake"})
    assert (gone.status_code, gone.json()["status"]) == (200, "void")
    assert api.get("/top-ups", {"customer": "acme", "status": "open"}).json()["items"] == []
    assert api.get("/top-ups/top_none").json()["code"] == "topup.not_found"


@pytest.mark.parametrize(
    ("change", "code"),
    [({"amount": "0"}, "amount.invalid"), ({"unit": "EUR"}, "topup.invalid"), ({"unit": "points"}, "unit.no_rate"),
     ({"valid_days": 0}, "request.invalid"), ({"customer": "nobody"}, "customer.not_found")],
)  # fmt: skip
def test_a_top_up_that_cannot_be_is_refused_by_code(api: Api, change: dict[str, Any], code: str) -> None:
    answer = api.post("/top-ups", {"customer": "acme", "unit": "USD", "amount": "5.00", **change})
    assert answer.json()["code"] == code, answer.json()


def test_a_rule_keeps_its_history(api: Api) -> None:
    rule = {"customer": "acme", "unit": "USD", "enabled": True, "threshold": "0", "amount": "20.00",
            "monthly_cap": "100.00", "reason": "asked for"}  # fmt: skip
    assert api.post("/auto-top-ups", rule).status_code == 200
    api.post("/auto-top-ups", {**rule, "enabled": False, "reason": "too dear"})
    items = api.get("/auto-top-ups", {"customer": "acme"}).json()["items"]
    assert [(one["enabled"], one["reason"]) for one in items] == [(False, "too dear"), (True, "asked for")]


def test_a_schedule_is_made_runs_and_ends(api: Api) -> None:
    body = {"customer": "acme", "kind": "promotional", "amount": "20.00", "unit": "USD", "every": "month",
            "anchor": "2025-01-31T00:00:00Z", "rollover": {"max": "5.00"}, "reason_code": "campaign"}  # fmt: skip
    made = api.post("/credit-schedules", body)
    assert made.status_code == 201, made.json()
    said = made.json()
    assert (said["given"], said["next_at"], said["rollover_max"]) == (0, "2025-01-31T00:00:00Z", "5.00")
    scheduling.run_due(at=START + timedelta(days=30), grace=timedelta(0))
    assert api.get(f"/credit-schedules/{said['id']}").json()["next_at"] == "2025-02-28T00:00:00Z"
    (credit,) = api.get("/credits", {"customer": "acme"}).json()["items"]
    assert (credit["amount"], credit["expires_at"]) == ("20.00", "2025-02-28T00:00:00Z")
    ended = api.post(f"/credit-schedules/{said['id']}/end", {"reason": "over"})
    assert ended.status_code == 200, ended.json()
    assert api.get("/credit-schedules", {"customer": "acme"}).json()["items"][0]["ends_at"] is not None


def test_a_key_promises_a_period_no_more_than_it_may_give(api: Api) -> None:
    body = {"customer": "acme", "kind": "goodwill", "amount": "101.00", "unit": "USD", "every": "day",
            "anchor": "2025-01-31T00:00:00Z", "reason_code": "campaign"}  # fmt: skip
    answer = api.post("/credit-schedules", body)
    assert answer.json()["code"] == "credit.above_limit", answer.json()


def test_a_transfer_waits_for_a_person(api: Api) -> None:
    grant = crediting.grant(customer_key="acme", kind="goodwill", amount=Money(9, "USD"), reason_code="x",
                            actor=TESTER, at=START, key="g")  # fmt: skip
    body = {"from_customer": "acme", "to_customer": "buyer", "unit": "USD", "amount": "4.00", "reason_code": "merger"}
    made = api.post("/credit-transfers", body)
    assert made.status_code == 201, made.json()
    said = made.json()
    assert (said["status"], said["parts"][0]["credit"]) == ("pending", str(grant.public_id))
    assert api.get(f"/credit-transfers/{said['id']}").json() == said
    assert api.get("/credits", {"customer": "buyer"}).json()["items"] == []


def test_units_and_credit_in_them(api: Api) -> None:
    assert api.get("/credit-units").json()["items"][0]["rates"][0]["rate"] == "0.02"
    body = {"customer": "acme", "kind": "included", "amount": "7", "currency": "credits", "reason_code": "plan"}
    answer = api.post("/credits", body)
    assert answer.json()["code"] == "credit.above_limit", "no limit in that unit: a second person decides"
