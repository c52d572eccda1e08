"""Billing runs: one failing unit stops no other, is noted, rests, and is cleared once it succeeds."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing_ops.models import FailedWork
from invoicing import accruing, billing, drafting, finalizing, taxing
from invoicing.models import Invoice
from plans.models import Customer
from tests.invoicing.proof import prove
from tests.invoicing.stories import BILLED, FEBRUARY_LATER, MONTH_LATER, START, TESTER, fee, join, publish
from tests.support.billing import World

SOON, LATER = START + timedelta(seconds=30), START + timedelta(minutes=2)


class Broken(RuntimeError):
    """What a bug would raise."""


def failed() -> list[tuple[str, str, int]]:
    """What is noted as failing: task, code, tries."""
    return list(FailedWork.objects.order_by("pk").values_list("task", "code", "tries"))


def breaks_for(*keys: str) -> Any:
    """A ``drafting.draft`` that fails for those customers."""
    real = drafting.draft

    def draft(*, customer_id: int, **more: Any) -> list[Invoice]:
        if Customer.objects.get(pk=customer_id).key in keys:
            raise Broken("no luck")
        return real(customer_id=customer_id, **more)

    return draft


def test_failing_drafts_stop_no_other_even_when_they_fill_a_batch(
    books: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = publish("fee", fee("20.00"))
    for key in ("a", "b", "c", "d"):
        join(plan, key, begin=False)
    monkeypatch.setattr(billing, "_BATCH", 2)
    with monkeypatch.context() as patch:
        patch.setattr(drafting, "draft", breaks_for("a", "b", "c"))
        first = billing.draft_due(until=START, at=START, actor=TESTER)
        assert (first.done, first.failed) == (1, 3)
        assert failed() == [("invoicing.draft", "Broken", 1)] * 3

        join(plan, "e", begin=False)
        second = billing.draft_due(until=SOON, at=SOON, actor=TESTER)  # the three rest, and are not in the way
        assert (second.done, second.failed) == (1, 0)

    third = billing.draft_due(until=LATER, at=LATER, actor=TESTER)
    assert (third.done, third.failed) == (3, 0)
    assert failed() == []
    assert Invoice.objects.count() == 5


def test_a_failing_edge_holds_back_that_customers_later_edges_alone(
    books: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = publish("fee", fee("20.00"))
    join(plan, "a", begin=False)
    join(plan, "b", begin=False)
    with monkeypatch.context() as patch:
        patch.setattr(drafting, "draft", breaks_for("a"))
        tally = billing.draft_due(until=MONTH_LATER, at=MONTH_LATER, actor=TESTER)
    assert (tally.done, tally.failed) == (2, 1)
    assert list(Invoice.objects.values_list("customer__key", flat=True)) == ["b", "b"]


def test_nothing_is_drafted_before_its_time(books: World) -> None:
    join(publish("fee", fee("20.00")))
    tally = billing.draft_due(until=FEBRUARY_LATER, at=START + timedelta(days=1), actor=TESTER)
    assert (tally.done, tally.failed) == (0, 0)
    assert failed() == []


def stubborn(customer: Customer, currency: str, bases: Sequence[Decimal]) -> taxing.TaxAnswer:
    """A resolver that does not know one of the customers."""
    if customer.key == "a":
        raise Broken("unknown address")
    return taxing.zero(customer, currency, bases)


def test_a_draft_that_cannot_be_final_waits_and_the_others_are_numbered(books: World, settings: Any) -> None:
    plan = publish("fee", fee("20.00"))
    customers = [join(plan, key, begin=False) for key in ("a", "b")]
    billing.draft_due(until=START, at=START, actor=TESTER)
    settings.TAX_RESOLVER = f"{__name__}.stubborn"
    tally = billing.finalize_due(at=START, actor=TESTER)
    assert (tally.done, tally.failed) == (1, 1)
    assert failed() == [("invoicing.finalize", "Broken", 1)]
    assert [one.invoices.get().number for one in customers] == [None, "INV-000001"]
    assert billing.finalize_due(at=SOON, actor=TESTER) == billing.Tally()

    settings.TAX_RESOLVER = "invoicing.taxing.zero"
    invoice = finalizing.finalize(public_id=customers[0].invoices.get().public_id, at=SOON, actor=TESTER)
    assert invoice.number == "INV-000002"
    assert failed() == []
    prove()


def test_the_wait_doubles_with_each_failure(books: World, monkeypatch: pytest.MonkeyPatch) -> None:
    join(publish("fee", fee("20.00")), begin=False)
    monkeypatch.setattr(drafting, "draft", breaks_for("acme"))
    at, waits = START, []
    for _ in range(4):
        assert billing.draft_due(until=at, at=at, actor=TESTER).failed == 1
        row = FailedWork.objects.get()
        waits.append((row.next_try_at - at) / timedelta(minutes=1))
        assert billing.draft_due(until=at, at=row.next_try_at - timedelta(seconds=1), actor=TESTER).failed == 0
        at = row.next_try_at
    assert waits == [1, 2, 4, 8]


def test_accruing_stops_for_no_customer(books: World, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = publish("fee", fee("31.00"))
    a, b = join(plan, "a"), join(plan, "b")
    real = accruing.accrue

    def accrue(*, customer_id: int, **more: Any) -> int:
        if customer_id == a.pk:
            raise Broken("no luck")
        return real(customer_id=customer_id, **more)

    day = START + timedelta(days=1)
    with monkeypatch.context() as patch:
        patch.setattr(accruing, "accrue", accrue)
        assert billing.accrue_all(at=day, actor=TESTER) == billing.Tally(done=1, failed=1)
    assert failed() == [("invoicing.accrue", "Broken", 1)]
    two_days = day + timedelta(days=1)
    assert billing.accrue_all(at=two_days, actor=TESTER) == billing.Tally(done=2)
    assert failed() == []
    assert [one.invoices.get().lines.get().recognitions.count() for one in (a, b)] == [1, 2]
    prove()


def test_a_whole_run_says_what_it_did(books: World) -> None:
    join(publish("nothing", fee("0.00")), begin=False)
    tallies = billing.run(until=BILLED, at=BILLED, actor=TESTER)
    assert {name: (one.done, one.failed) for name, one in tallies.items()} == {
        "drafted": (2, 0),
        "finalized": (2, 0),
        "collected": (0, 0),
    }
    assert list(Invoice.objects.order_by("pk").values_list("number", "status")) == [
        ("INV-000001", "paid"),
        ("INV-000002", "paid"),
    ]
    prove()
