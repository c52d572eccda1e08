"""The same thing asked for fifty times in the same moment, over HTTP, is done once."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rig import Answer, Caller, at_once, make_drafts
from tests.stripe_standin.process import Standin
from tests.support.processes import Web

FIFTY = 50


@pytest.fixture
def caller(fresh_db: Any, standin: Standin, clock: Any, tmp_path: Path) -> Iterator[Caller]:
    """A running web server on a database with one draft of a customer with a card."""
    from tests.support.api import new_key
    from tests.support.billing import START

    env = {**standin.environment(), "DATABASE_URL": fresh_db.url(), "BILLING_CLOCK_FILE": str(clock.path)}
    web = Web(tmp_path, env)
    try:
        web.start()
        yield Caller(web.port, new_key(at=START), timeout=90)
    finally:
        web.stop()


def codes(answers: list[Answer]) -> Counter[tuple[int, str]]:
    """How often each status, and which problem it names."""
    return Counter((answer.status, "" if answer.worked else answer.json()["code"]) for answer in answers)


def test_one_credit(caller: Caller) -> None:
    from ledger.models import CreditGrant, Entry

    make_drafts(1)
    body = {"customer": "cus-0", "kind": "goodwill", "amount": "5.00", "currency": "USD", "reason_code": "outage"}
    answers = at_once(FIFTY, lambda _: caller.send("POST", "/credits", body, Idempotency_Key="once"))
    assert codes(answers) == {(201, ""): FIFTY}
    assert len({answer.body for answer in answers}) == 1
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == FIFTY - 1
    assert CreditGrant.objects.count() == 1
    assert Entry.objects.count() == 1


def test_one_number_and_one_charge(caller: Caller, standin: Standin) -> None:
    from invoicing.models import Invoice, PaymentAttempt
    from tests.invoicing.proof import prove

    (draft,) = make_drafts(1)
    path = f"/invoices/{draft}/finalize"
    answers = at_once(FIFTY, lambda number: caller.send("POST", path, None, Idempotency_Key=f"final-{number}"))
    assert codes(answers) == {(200, ""): 1, (409, "invoice.not_draft"): FIFTY - 1}
    assert list(Invoice.objects.values_list("number", flat=True)) == ["INV-000001"]

    path = f"/invoices/{draft}/pay"
    answers = at_once(FIFTY, lambda number: caller.send("POST", path, None, Idempotency_Key=f"pay-{number}"))
    assert set(codes(answers)) <= {(200, ""), (409, "invoice.already_paid")}
    states = {answer.json()["status"] for answer in answers if answer.worked}
    assert states <= {"succeeded", "pending"}
    assert "succeeded" in states
    assert [one.status for one in Invoice.objects.all()] == ["paid"]
    assert [one.status for one in PaymentAttempt.objects.all()] == ["succeeded"]
    assert len(standin.objects("charge")) == len(standin.objects("invoice")) == 1
    prove(standin)


def test_one_charge_under_one_key(caller: Caller, standin: Standin) -> None:
    (draft,) = make_drafts(1)
    assert caller.send("POST", f"/invoices/{draft}/finalize", None, Idempotency_Key="final").status == 200
    path = f"/invoices/{draft}/pay"
    answers = at_once(FIFTY, lambda _: caller.send("POST", path, None, Idempotency_Key="pay"))
    found = codes(answers)
    assert set(found) <= {(200, ""), (409, "idempotency.in_progress")}
    assert found[200, ""] >= 1
    assert len({answer.body for answer in answers if answer.worked}) == 1
    for answer in answers:
        assert answer.worked or int(answer.headers["retry-after"]) > 0
    assert caller.until_it_works("POST", path, None, Idempotency_Key="pay")[-1].json()["status"] == "succeeded"
    assert len(standin.objects("charge")) == 1
