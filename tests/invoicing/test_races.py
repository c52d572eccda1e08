"""Everything that two workers could do at the same moment, done by several threads on a database that commits."""

import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from moneyed import Money

from billing_ops.models import FailedWork
from invoicing import accruing, billing, drafting, finalizing
from invoicing.models import Accrual, Invoice, PaymentAttempt, Recognition
from ledger import balances, crediting
from ledger.models import Entry
from plans import subscribing
from plans.models import Subscription
from tests.invoicing.proof import prove, prove_numbers
from tests.invoicing.shop import Shop, again, collect
from tests.invoicing.stories import (
    BILLED,
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    accrue_to,
    at_once,
    drafted,
    finalized,
    join,
    publish,
    told,
    usage_price,
)
from tests.support.billing import event, fold, send

THREADS = 6


def results(found: list[Any], error: type[BaseException]) -> tuple[list[Any], int]:
    """What succeeded, and how many failed with that error; anything else is a failure of the test."""
    wrong = [one for one in found if isinstance(one, BaseException) and not isinstance(one, error)]
    assert wrong == []
    return [one for one in found if not isinstance(one, BaseException)], sum(isinstance(one, error) for one in found)


def test_one_draft_is_finalised_once_by_whoever_comes_first(shop: Shop) -> None:
    draft = shop.draft()
    entries = Entry.objects.count()
    done, refused = results(at_once(*[lambda: finalized(draft, START)] * THREADS), finalizing.InvoiceNotDraft)
    assert (len(done), refused) == (1, THREADS - 1)
    assert again(draft).number == done[0].number
    assert Entry.objects.count() == entries + 1
    prove(shop.standin, all_final=False)


def test_numbers_have_no_gap_when_eight_finalise_and_one_rolls_back(shop: Shop) -> None:
    drafts = [shop.draft() for _ in range(8)]

    def rolled_back() -> None:
        with transaction.atomic():
            finalized(drafts[0], START)
            raise KeyError("after the number was taken")

    works: list[Callable[[], Any]] = [rolled_back]
    works += [lambda one=one: finalized(one, START) for one in drafts[1:]]  # type: ignore[misc]  # default arguments
    done, failed = results(at_once(*works), KeyError)
    assert (len(done), failed) == (7, 1)
    assert again(drafts[0]).number is None
    prove_numbers()
    finalized(drafts[0], START)
    assert len({again(one).number for one in drafts}) == 8
    prove(shop.standin)


def test_two_runs_at_once_bill_everything_once(shop: Shop) -> None:
    plan = publish("cents", usage_price("tokens", "0.01"))
    customers = [join(plan, f"run-{number}") for number in range(3)]
    send([event(100 + n, subject=one.key, time=NOON, generated=1000) for n, one in enumerate(customers)], at=NOON)
    fold(NOON)
    shop.clock.set(BILLED)

    tallies = at_once(*[lambda: billing.run(until=BILLED, at=BILLED, actor=TESTER)] * 2)

    assert not [one for one in tallies if isinstance(one, BaseException)]
    assert not FailedWork.objects.exists()
    for customer in customers:
        invoice = customer.invoices.get()
        assert (invoice.status, invoice.amount_due.amount) == ("paid", Decimal(10))
        assert invoice.attempts.count() == 1
        assert [one["amount"] for one in shop.charges(invoice)] == [1000]
        assert Subscription.objects.get(customer=customer).due_at == MONTH_LATER + timedelta(days=28)
    prove(shop.standin)


def test_one_invoice_is_charged_once_however_many_collect_it(shop: Shop) -> None:
    invoice = shop.owing()
    found = at_once(*[lambda: collect(invoice)] * THREADS)
    done = [one for one in found if not isinstance(one, BaseException)]
    errors = Counter(type(one).__name__ for one in found if isinstance(one, BaseException))
    assert set(errors) <= {"AlreadyPaid"}
    assert done
    if again(invoice).status != "paid":  # each was told that its key is in use, and the winner has not settled yet
        collect(invoice, START + timedelta(minutes=5))
    assert again(invoice).status == "paid"
    assert [one["amount"] for one in shop.charges(invoice)] == [2000]
    assert len(shop.mirrors(invoice)) == 1
    assert PaymentAttempt.objects.get(invoice=invoice).status == "succeeded"
    prove(shop.standin)


def test_a_declining_card_is_asked_once_by_those_who_share_an_attempt(shop: Shop) -> None:
    """All take up the same pending attempt: one answer for all, and none of them fails."""
    invoice = shop.owing(card="pm_card_chargeCustomerFail")
    shop.standin.fault("reset_before", path="*/pay", count=3)
    assert collect(invoice).status == "pending"
    before = len([one for one in shop.standin.objects("charge") if one["status"] == "failed"])

    found = at_once(*[lambda: collect(invoice)] * THREADS)

    assert not [one for one in found if isinstance(one, BaseException)]
    attempts = PaymentAttempt.objects.filter(invoice=invoice)
    failed = len([one for one in shop.standin.objects("charge") if one["status"] == "failed"]) - before
    assert failed == attempts.filter(status="failed").count() == attempts.count()
    assert {one.failure_code for one in attempts} == {"generic_decline"}


def test_two_invoices_of_one_customer_agree_on_who_carries_the_small_one(shop: Shop) -> None:
    customer = shop.owing("0.10").customer
    others = []
    for number in (1, 2):
        key = f"more-{number}-{customer.key}"
        subscribing.subscribe(
            customer=customer, version=shop.plan("20.00"), key=key, starts_at=START, at=START, actor=TESTER
        )
        others.append(finalized(drafted(customer, START), START))
    works: list[Callable[[], Any]] = [lambda one=one: collect(one) for one in others]  # type: ignore[misc]
    assert not [one for one in at_once(*works) if isinstance(one, BaseException)]
    assert {one.status for one in customer.invoices.all()} == {"paid"}
    amounts = sorted(one["amount"] for invoice in others for one in shop.charges(invoice))
    assert amounts == [2000, 2010]
    prove(shop.standin)


def test_accruing_while_finalising_leaves_nothing_unbilled(shop: Shop) -> None:
    customer = join(shop.plan("31.00"), "busy")
    metered = publish("mills", usage_price("tokens", "0.001"))
    subscribing.subscribe(customer=customer, version=metered, key="busy-2", starts_at=START, at=START, actor=TESTER)
    drafting.draft(customer_id=customer.pk, edge=START, at=START, actor=TESTER)
    told(500, time=NOON, at=NOON, subject="busy", generated=12_345)
    draft = drafted(customer, MONTH_LATER, at=BILLED)

    found = at_once(
        lambda: finalized(draft, BILLED),
        *[lambda: accruing.accrue(customer_id=customer.pk, at=BILLED, actor=TESTER)] * 3,
        lambda: accruing.accrue(customer_id=customer.pk, at=NOON, actor=TESTER),
    )

    assert not [one for one in found if isinstance(one, BaseException)]
    accrue_to(BILLED, customer)
    steps = Accrual.objects.filter(item__subscription__customer=customer).order_by("step")
    assert sum((one.amount for one in steps), Decimal(0)) == Decimal("12.345")
    assert balances.of(customer_key="busy", unit="USD").unbilled == 0
    earned = Recognition.objects.filter(line__invoice__customer=customer).order_by("line", "step")
    assert all(one.amount > 0 for one in earned)


def test_accruing_at_once_books_each_second_once(shop: Shop) -> None:
    customer = join(shop.plan("31.00"), "steady")
    day = START + timedelta(days=1)
    found = at_once(*[lambda: accruing.accrue(customer_id=customer.pk, at=day, actor=TESTER)] * THREADS)
    assert sorted(found) == [0] * (THREADS - 1) + [1]
    assert Recognition.objects.get(line__invoice__customer=customer).amount == 1


def test_two_finalisations_of_one_customer_share_its_credit_and_never_overdraw_it(shop: Shop) -> None:
    customer = join(shop.plan("20.00"), "frugal", begin=False)
    first = drafted(customer, START)
    subscribing.subscribe(
        customer=customer, version=shop.plan("0.75"), key="frugal-2", starts_at=START, at=START, actor=TESTER
    )
    crediting.grant(
        customer_key="frugal",
        kind="goodwill",
        amount=Money(20, "USD"),
        reason_code="outage",
        actor=TESTER,
        at=START,
        key="frugal",
    )

    def the_other() -> None:
        for one in drafting.draft(customer_id=customer.pk, edge=START, at=START, actor=TESTER):
            finalized(one, START)

    finalized_first = at_once(lambda: finalized(first, START), the_other)
    results(finalized_first, finalizing.InvoiceNotDraft)
    final = Invoice.objects.filter(customer=customer).exclude(status="draft")
    used = sum((one.credits_applied.amount for one in final), Decimal(0))
    assert used == Decimal(20)
    assert balances.of(customer_key="frugal", unit="USD").credits_total == 0


def test_a_worker_that_dies_holding_the_number_series_blocks_nobody(shop: Shop) -> None:
    """The series' lock goes with the connection: the next finalisation gets the number that was not used."""
    taken, go_on = threading.Event(), threading.Event()
    first, second = shop.draft(), shop.draft()

    def dies() -> None:
        try:
            with transaction.atomic():
                finalized(first, START)
                taken.set()
                go_on.wait(20)
                connection.close()  # as when the process is killed
        finally:
            connection.close()

    thread = threading.Thread(target=dies)
    thread.start()
    assert taken.wait(20)
    waiting = threading.Thread(target=lambda: at_once(lambda: finalized(second, START)))
    waiting.start()
    go_on.set()
    thread.join(20)
    waiting.join(20)
    assert not waiting.is_alive()
    assert again(first).status == "draft"
    assert again(second).status == "open"
    prove_numbers()


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads that die on purpose say nothing."""
    monkeypatch.setattr(threading, "excepthook", lambda arguments: None)
