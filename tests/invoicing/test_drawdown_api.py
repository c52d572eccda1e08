"""Drawn usage over HTTP: a prepaid plan from its price to its bill, and what nobody may do by hand."""

from typing import Any

import pytest

from billing_ops.kit.http import auth
from invoicing.models import UsageDraw
from tests.invoicing.drawing import HOUR, credit, draw
from tests.invoicing.stories import GENERATED, MONTH_LATER, NOON, START, drafted, used
from tests.support.api import Api
from tests.support.billing import World

PLAN = {
    "key": "prepaid", "name": "Prepaid", "currency": "USD",
    "prices": [
        {"key": "output", "name": "Output", "model": "per_unit", "unit_amount": "0.001", "meter": GENERATED,
         "settlement": "drawdown"},
    ],
}  # fmt: skip


@pytest.fixture
def api(books: World, clock: Any) -> Api:
    """A customer of a prepaid plan with one dollar, who used three."""
    auth.forget()
    made = Api()
    customer = books.customer("acme", card="")
    assert made.post("/plans", PLAN).status_code == 201
    assert made.post("/plans/prepaid/versions/1/publish").status_code == 200
    asked = {"key": "sub", "customer": customer.key, "plan": "prepaid", "starts_at": START.isoformat()}
    assert made.post("/subscriptions", asked).status_code == 201
    drafted_at_start(customer)
    credit("1.00")
    used(1, time=NOON, generated=3_000)
    clock.set(NOON + HOUR)
    return made


def drafted_at_start(customer: Any) -> None:
    """The first edge, which stores the period, makes nothing due."""
    with pytest.raises(ValueError, match="not enough values"):
        drafted(customer, START)


def test_available_credit_knows_what_is_not_drawn_and_the_draw_names_the_usage(api: Api) -> None:
    def standing() -> tuple[str, str, str]:
        (row,) = api.get("/customers/acme/credit", {"feature": "output", "unit": "USD"}).json()["credit"]
        return row["settled"], row["unbilled"], row["available"]

    assert standing() == ("1", "3", "-2")
    draw(NOON + HOUR)
    assert standing() == ("0", "0", "0")
    (found,) = api.get("/draws", {"customer": "acme"}).json()["items"]
    assert (found["amount"], found["shortfall"], found["outcome"]) == ("3", "2", "overage")
    (again,) = api.get("/draws", {"usage_ref": found["usage_ref"]}).json()["items"]
    assert again["id"] == found["id"]


def test_the_preview_and_the_draft_say_what_is_owed(api: Api) -> None:
    asked = {"customer": "acme", "until": MONTH_LATER.isoformat()}
    (before,) = api.get("/invoices/preview", asked).json()["items"]
    draw(NOON + HOUR)
    (after,) = api.get("/invoices/preview", asked).json()["items"]
    assert before["amount_due"] == after["amount_due"] == "2.00"
    assert before["lines"][0]["steps"][0]["label"] == "Output: 3,000 tokens by now, not drawn yet, 2 USD"
    (step,) = after["lines"][0]["steps"]
    assert step["label"] == "Output, 2025-01-01 to 2025-02-01: 3,000 tokens rated 3 USD, 1 drawn from credits, 2 owed"
    assert (step["rule"], step["quantity"], step["amount"]) == ("drawdown", "3000", "2")


def test_nobody_returns_a_draw_for_usage_by_hand_or_draws_under_its_keys(api: Api) -> None:
    draw(NOON + HOUR)
    made = UsageDraw.objects.get().draw
    assert made is not None
    answer = api.post(f"/draws/{made.pk}/returns", {"amount": "1", "reason_code": "kind"})
    assert (answer.status_code, answer.json()["code"]) == (409, "credit.draw_of_usage")
    order = {"customer": "acme", "unit": "USD", "amount": "1", "key": "metered:1"}
    answer = api.post("/draws", order, idem=None)
    assert (answer.status_code, answer.json()["code"]) == (422, "credit.draw_invalid")
