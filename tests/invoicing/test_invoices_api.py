"""Invoices over HTTP, as a program sees them: list, read with lines and steps, preview, finalise once, pay once."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from kombu.exceptions import OperationalError

from billing_ops.kit import nudging
from billing_ops.kit.http import auth
from invoicing import drafting
from invoicing.models import Invoice, InvoiceLine, PaymentAttempt
from ledger.models import Entry
from tests.stripe_standin.process import Standin
from tests.support.api import Api, new_key
from tests.support.billing import MONTH_LATER, START, TESTER, World, bill, deliver_webhooks, event, send

NOON = START + timedelta(days=10, hours=12)


@pytest.fixture
def api(world: World) -> Api:
    auth.forget()
    return Api()


def _draft(world: World, key: str = "acme", card: str = "pm_card_visa") -> str:
    """A customer's first draft, of the platform fee."""
    customer = world.customer(key, card)
    world.subscribe(customer)
    (invoice,) = drafting.draft(customer_id=customer.pk, edge=START, at=START, actor=TESTER)
    return invoice.public_id


def _with_usage(world: World, clock: Any) -> None:
    """A first month that is paid, with usage on its eleventh day; the clock stands there."""
    world.subscribe(world.customer())
    bill(START)
    clock.set(NOON)
    send([event(1, subject="acme", time=NOON, context=650_000, generated=40_003)], at=NOON)


def _rows() -> list[int]:
    return [model.objects.count() for model in (Invoice, InvoiceLine, PaymentAttempt, Entry)]


def test_an_invoice_is_read_with_its_lines_and_steps(world: World, api: Api, clock: Any) -> None:
    _with_usage(world, clock)
    bill(clock.set(MONTH_LATER + timedelta(hours=1)))
    first = api.get("/invoices", {"customer": "acme", "limit": "1"}).json()["items"][0]
    found = api.get(f"/invoices/{first['id']}").json()
    assert found["number"] == "INV-000002"
    assert [(line["price"], line["meter"], line["quantity"], line["amount"]) for line in found["lines"]] == [
        ("platform", None, "1", "20.00"),
        ("context", "context-tokens", "650000", "1.56"),
        ("generated", "generated-tokens", "40003", "0.60"),
    ]
    assert found["lines"][2]["unrounded_amount"] == "0.600045"
    context = found["lines"][1]["steps"]
    assert [(step["quantity"], step["unit_amount"], step["amount"]) for step in context[-2:]] == [
        ("400000", "0.000003", "1.2"),
        ("150000", "0.0000024", "0.36"),
    ]
    assert (found["total"], found["amount_due"], found["currency"]) == ("22.16", "22.16", "USD")
    assert found["bill_to"]["key"] == "acme"
    assert found["seller"]["name"]


def test_reading_costs_the_same_number_of_queries_whatever_is_on_it(
    world: World, api: Api, clock: Any, django_assert_max_num_queries: Any
) -> None:
    _with_usage(world, clock)
    bill(clock.set(MONTH_LATER + timedelta(hours=1)))
    api.get("/invoices")  # the key is remembered from here on
    last = Invoice.objects.order_by("-id")[0].public_id
    with django_assert_max_num_queries(3):
        assert len(api.get(f"/invoices/{last}").json()["lines"]) == 3
    with django_assert_max_num_queries(1):
        assert len(api.get("/invoices").json()["items"]) == 2


def test_the_listing_filters_and_pages(world: World, api: Api) -> None:
    ids = [_draft(world, key) for key in ("acme", "beta", "gamma")]
    assert api.post(f"/invoices/{ids[1]}/finalize").status_code == 200

    def listed(**query: str) -> list[str]:
        return [item["id"] for item in api.get("/invoices", query).json()["items"]]

    assert listed() == ids[::-1]
    assert listed(customer="beta") == listed(status="open") == [ids[1]]
    assert listed(status="draft", customer="gamma") == [ids[2]]
    assert listed(status="paid") == []
    page = api.get("/invoices", {"limit": "2"}).json()
    rest = api.get("/invoices", {"limit": "2", "cursor": page["next_cursor"]}).json()
    assert [item["id"] for item in page["items"] + rest["items"]] == ids[::-1]
    other = api.get("/invoices", {"status": "draft", "cursor": page["next_cursor"]})
    assert (other.status_code, other.json()["code"]) == (400, "cursor.invalid")


def test_what_does_not_exist_is_404(world: World, api: Api) -> None:
    assert api.get("/invoices/inv_nothing").json()["code"] == "invoice.not_found"
    assert api.post("/invoices/inv_nothing/finalize").json()["code"] == "invoice.not_found"
    assert api.post("/invoices/inv_nothing/pay").json()["code"] == "invoice.not_found"
    assert api.get("/invoices", {"customer": "nobody"}).json()["code"] == "customer.not_found"
    preview = api.get("/invoices/preview", {"customer": "nobody", "until": "2025-02-01T00:00:00Z"})
    assert (preview.status_code, preview.json()["code"]) == (404, "customer.not_found")


def test_a_preview_says_what_the_invoice_will_say_and_writes_nothing(world: World, api: Api, clock: Any) -> None:
    _with_usage(world, clock)
    before = _rows()
    answer = api.get("/invoices/preview", {"customer": "acme", "until": "2025-02-01T00:00:00Z"})
    assert answer.status_code == 200
    (preview,) = answer.json()["items"]
    assert _rows() == before
    assert (preview["currency"], preview["total"]) == ("USD", "22.16")
    assert preview["as_of"] == "2025-01-11T12:00:00Z"
    bill(clock.set(MONTH_LATER + timedelta(hours=1)))
    invoice = api.get(f"/invoices/{Invoice.objects.order_by('-id')[0].public_id}").json()

    def said(lines: list[dict[str, Any]]) -> set[tuple[Any, ...]]:
        return {(line["price"], line["service_start"], line["quantity"], line["amount"]) for line in lines}

    assert said(preview["lines"]) == said(invoice["lines"])
    assert {name: preview[name] for name in ("subtotal", "tax_total", "amount_due")} == {
        name: invoice[name] for name in ("subtotal", "tax_total", "amount_due")
    }


def test_a_preview_in_the_middle_of_a_period_has_the_usage_so_far(world: World, api: Api, clock: Any) -> None:
    _with_usage(world, clock)

    def context(until: str) -> list[str]:
        (preview,) = api.get("/invoices/preview", {"customer": "acme", "until": until}).json()["items"]
        return [line["quantity"] for line in preview["lines"] if line["price"] == "context"]

    assert context("2025-01-11T12:00:00Z") == ["0"], "an instant at the end belongs to what follows"
    assert context("2025-01-11T12:00:01Z") == ["650000"]


@pytest.mark.parametrize(
    ("until", "code"),
    [
        ("2027-01-01T00:00:00Z", "invoice.preview_too_far"),
        ("2025-02-01", "request.invalid"),
        ("2025-02-01T00:00:00 01:00", "request.invalid"),
    ],
)
def test_a_preview_to_a_senseless_date_is_refused(world: World, api: Api, until: str, code: str) -> None:
    world.customer()
    answer = api.get("/invoices/preview", {"customer": "acme", "until": until})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert answer.json()["errors"][0]["field"] == "until"
    assert answer.json()["errors"][0]["in"] == "query"


def test_finalising_twice_is_once(world: World, api: Api) -> None:
    draft = _draft(world)
    first = api.post(f"/invoices/{draft}/finalize", idem="k")
    again = api.post(f"/invoices/{draft}/finalize", idem="k")
    assert first.status_code == 200
    assert (first.json()["status"], first.json()["number"]) == ("open", "INV-000001")
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    other = api.post(f"/invoices/{draft}/finalize")
    assert (other.status_code, other.json()["code"]) == (409, "invoice.not_draft")
    assert Entry.objects.count() == 1


def test_without_a_broker_finalising_works_and_the_run_collects_later(
    world: World, api: Api, standin: Standin, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def fail(name: str, **kwargs: Any) -> None:
        asked.append(name)
        raise OperationalError("connection refused")

    monkeypatch.setattr("billing_ops.kit.nudging.current_app.send_task", fail)
    monkeypatch.setitem(nudging._silence, "until", 0.0)
    draft = _draft(world)
    assert api.post(f"/invoices/{draft}/finalize").status_code == 200
    assert asked == ["invoicing.collect"]
    bill(START)
    assert api.get(f"/invoices/{draft}").json()["status"] == "paid"
    assert standin.state()["paid_minor"] == {"usd": 2000}


def test_fields_that_nobody_reads_are_refused(world: World, api: Api) -> None:
    draft = _draft(world)
    answer = api.post(f"/invoices/{draft}/finalize", {"number": "INV-7"})
    assert (answer.status_code, answer.json()["code"]) == (422, "body.unexpected")
    assert api.post(f"/invoices/{draft}/finalize", {}).status_code == 200


def test_paying_twice_is_once(world: World, api: Api, standin: Standin) -> None:
    draft = _draft(world)
    refused = api.post(f"/invoices/{draft}/pay", idem="p")
    assert (refused.status_code, refused.json()["code"]) == (409, "invoice.not_collectable")
    api.post(f"/invoices/{draft}/finalize")
    first = api.post(f"/invoices/{draft}/pay", idem="p")
    assert (first.status_code, first.json()["status"], first.json()["amount"]) == (200, "succeeded", "20.00")
    again = api.post(f"/invoices/{draft}/pay", idem="p")
    assert again.content == first.content
    assert again.headers["Idempotent-Replayed"] == "true"
    other = api.post(f"/invoices/{draft}/pay")
    assert (other.status_code, other.json()["code"]) == (409, "invoice.already_paid")
    deliver_webhooks(standin, START)
    assert standin.state()["paid_minor"] == {"usd": 2000}
    found = api.get(f"/invoices/{draft}").json()
    assert (found["status"], found["amount_paid"]) == ("paid", "20.00")
    assert [attempt["status"] for attempt in found["attempts"]] == ["succeeded"]


def test_a_declined_card_is_an_answer_and_the_same_request_does_not_try_again(
    world: World, api: Api, standin: Standin
) -> None:
    draft = _draft(world, card="pm_card_chargeCustomerFail")
    api.post(f"/invoices/{draft}/finalize")
    first = api.post(f"/invoices/{draft}/pay", idem="p")
    assert (first.status_code, first.json()["status"]) == (200, "failed")
    assert first.json()["failure_code"]
    assert api.post(f"/invoices/{draft}/pay", idem="p").content == first.content
    assert PaymentAttempt.objects.count() == 1
    assert api.post(f"/invoices/{draft}/pay", idem="another").json()["number"] == 2
    assert standin.state()["paid_minor"] in ({}, {"usd": 0})


def test_a_customer_without_a_card_is_refused_with_what_to_do(world: World, api: Api) -> None:
    draft = _draft(world, card="")
    api.post(f"/invoices/{draft}/finalize")
    answer = api.post(f"/invoices/{draft}/pay")
    assert (answer.status_code, answer.json()["code"]) == (409, "customer.no_payment_method")
    assert answer.json()["kept"] == "The receivable stays open."
    assert "payment method" in answer.json()["remedy"]


def test_who_only_reads_cannot_finalise(world: World, api: Api) -> None:
    draft = _draft(world)
    reader = Api(key=new_key("invoices:read"))
    assert reader.get(f"/invoices/{draft}").status_code == 200
    assert reader.post(f"/invoices/{draft}/finalize").status_code == 403
    assert Invoice.objects.get().status == Invoice.Status.DRAFT
    connection.close()
