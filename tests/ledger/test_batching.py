"""The batcher: everyone gets an answer of their own, whatever happens to the batch."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import OperationalError, connection

from billing_ops.kit import clock
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError, Conflict
from ledger import balances, batching, drawing, proofs
from ledger.drawn import Drawn
from ledger.models import CreditDraw, Entry
from ledger.rules.draws import Order
from tests.ledger.books import ROBOT, give
from tests.support.database import Database

D = Decimal


@pytest.fixture(autouse=True)
def _anybody_holds_credit(settings: Any) -> None:
    settings.CREDIT_HOLDER_CHECK = ""


def order(key: str, customer: str = "cus-1", amount: str = "1") -> Order:
    return Order(customer, "USD", D(amount), key)


def drawn(one: Order) -> Drawn:
    return Drawn(1, one.key, "accepted", one.amount, one.amount, D(0), None, "", clock.now(), "", "", "all", [], None)


def answered(batcher: batching.Batcher, orders: Sequence[Order]) -> list[Any]:
    """What as many callers at once are answered; an exception is an answer."""

    def ask(one: Order) -> Any:
        try:
            return batcher.draw(one, actor=ROBOT)
        except BillingError as error:
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(orders)) as pool:
        return list(pool.map(ask, orders))


class Store:
    """A ``draw_many`` without a database, which notes its batches; ``gate`` holds a batch up."""

    def __init__(self, act: Callable[[Sequence[Order]], Sequence[Any]] | None = None) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.act = act or (lambda orders: [drawn(one) for one in orders])

    def __call__(self, orders: Sequence[Order], at: datetime, actor: Actor) -> Sequence[Any]:
        self.batches.append([one.key for one in orders])
        self.entered.set()
        assert self.gate.wait(30)
        return self.act(orders)


def test_who_comes_while_a_batch_is_written_is_the_next_batch() -> None:
    store = Store()
    batcher = batching.Batcher(store, linger_seconds=0)
    store.gate.clear()
    with ThreadPoolExecutor(30) as pool:
        first = pool.submit(batcher.draw, order("first"), actor=ROBOT)
        assert store.entered.wait(30)
        others = [pool.submit(batcher.draw, order(f"k{n}"), actor=ROBOT) for n in range(20)]
        while batcher._waiting < 21:
            time.sleep(0.001)
        store.gate.set()
        assert first.result(30).key == "first"
        assert [other.result(30).key for other in others] == [f"k{n}" for n in range(20)]
    assert [len(batch) for batch in store.batches] == [1, 20]


def test_wallets_do_not_wait_for_each_other_and_actors_are_kept_apart() -> None:
    store = Store()
    batcher = batching.Batcher(store, linger_seconds=0)
    answers = answered(batcher, [order(f"k{n}", f"cus-{n % 5}") for n in range(50)])
    assert [answer.key for answer in answers] == [f"k{n}" for n in range(50)]
    for batch in store.batches:
        assert len({int(key[1:]) % 5 for key in batch}) == 1


def test_a_batch_is_bounded() -> None:
    store = Store()
    batcher = batching.Batcher(store, most=3, linger_seconds=0)
    answers = answered(batcher, [order(f"k{n}") for n in range(20)])
    assert {answer.key for answer in answers} == {f"k{n}" for n in range(20)}
    assert max(map(len, store.batches)) <= 3


def test_each_caller_gets_its_own_refusal() -> None:
    odd = Store(lambda orders: [drawn(one) if int(one.key) % 2 else Conflict(one.key) for one in orders])
    answers = answered(batching.Batcher(odd), [order(str(n)) for n in range(20)])
    for number, answer in enumerate(answers):
        assert isinstance(answer, Drawn if number % 2 else Conflict)
        assert (answer.key if isinstance(answer, Drawn) else answer.message) == str(number)


def test_a_full_queue_refuses_at_once_and_says_when_to_come_back() -> None:
    store = Store()
    store.gate.clear()
    batcher = batching.Batcher(store, waiting=3)
    with ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(batcher.draw, order(str(n)), actor=ROBOT) for n in range(3)]
        while batcher._waiting < 3:
            time.sleep(0.001)
        with pytest.raises(batching.TooManyDraws) as caught:
            batcher.draw(order("x"), actor=ROBOT)
        assert (caught.value.http_status, caught.value.headers["Retry-After"]) == (429, "1")
        store.gate.set()
        assert len([one.result(30) for one in waiting]) == 3
    assert batcher.draw(order("x"), actor=ROBOT).key == "x"


@pytest.mark.parametrize("broken", [SystemExit, MemoryError, KeyError])
def test_a_drainer_that_dies_answers_its_callers_and_another_goes_on(
    broken: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    failing = True

    def act(orders: Sequence[Order]) -> Sequence[Any]:
        if failing:
            raise broken
        return [drawn(one) for one in orders]

    batcher = batching.Batcher(Store(act))
    assert all(
        isinstance(answer, batching.DrawUnanswered) for answer in answered(batcher, [order(f"a{n}") for n in range(9)])
    )
    failing = False
    assert all(isinstance(answer, Drawn) for answer in answered(batcher, [order(f"b{n}") for n in range(9)]))


def test_a_lost_connection_is_tried_once_more_and_then_said() -> None:
    left = 1

    def act(orders: Sequence[Order]) -> Sequence[Any]:
        nonlocal left
        left -= 1
        if left >= 0:
            raise OperationalError("gone")
        return [drawn(one) for one in orders]

    batcher = batching.Batcher(Store(act))
    assert batcher.draw(order("a"), actor=ROBOT).key == "a"
    left = 100
    with pytest.raises(batching.DrawUnanswered) as caught:
        batcher.draw(order("b"), actor=ROBOT)
    assert (caught.value.http_status, caught.value.headers["Retry-After"]) == (503, "1")


def test_a_caller_does_not_wait_for_ever() -> None:
    store = Store()
    store.gate.clear()
    batcher = batching.Batcher(store, answer_seconds=0.05)
    with pytest.raises(batching.DrawUnanswered):
        batcher.draw(order("a"), actor=ROBOT)
    store.gate.set()
    batcher.close()


def test_shutting_down_answers_who_waits_and_takes_no_more() -> None:
    store = Store()
    store.gate.clear()
    batcher = batching.Batcher(store)
    with ThreadPoolExecutor(11) as pool:
        waiting = [pool.submit(batcher.draw, order(str(n)), actor=ROBOT) for n in range(10)]
        while batcher._waiting < 10:
            time.sleep(0.001)
        closing = pool.submit(batcher.close)
        while not batcher._closed:
            time.sleep(0.001)
        store.gate.set()
        assert {one.result(30).key for one in waiting} == {str(n) for n in range(10)}
        closing.result(30)
    with pytest.raises(batching.DrawUnanswered) as caught:
        batcher.draw(order("x"), actor=ROBOT)
    assert caught.value.kept == "Nothing was drawn."


class TestWithTheBooks:
    @pytest.fixture
    def batcher(self, fresh_db: Database) -> Any:
        made = batching.Batcher(batching._draw_many)
        yield made
        made.close()

    def give(self, key: str, amount: str, customer: str = "cus-1") -> None:
        give(key, amount, customer=customer, at=clock.now() - timedelta(hours=1))

    def test_callers_share_entries_and_are_answered_as_if_alone(self, batcher: batching.Batcher) -> None:
        self.give("p", "40")
        answers = answered(batcher, [order(f"k{n}") for n in range(64)])
        outcomes = [answer.outcome for answer in answers]
        assert (outcomes.count("accepted"), outcomes.count("refused")) == (40, 24)
        assert Entry.objects.filter(event_type="credit.drawn").count() < 40
        again = answered(batcher, [order(f"k{n}") for n in range(64)])
        assert [(one.id, one.outcome) for one in again] == [(one.id, one.outcome) for one in answers]
        assert proofs.violations() == []

    def test_a_poisoned_order_harms_only_itself(self, batcher: batching.Batcher) -> None:
        self.give("p", "40")
        answers = answered(batcher, [order(f"k{n}", amount="NaN" if n == 7 else "1") for n in range(20)])
        assert [n for n, answer in enumerate(answers) if not isinstance(answer, Drawn)] == [7]

    def test_a_connection_that_the_server_closed_is_opened_again(
        self, batcher: batching.Batcher, fresh_db: Database
    ) -> None:
        self.give("p", "40")
        batcher.draw(order("a"), actor=ROBOT)
        with fresh_db.connect(role="admin") as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                " AND pid <> pg_backend_pid()"
            )
        assert batcher.draw(order("b"), actor=ROBOT).outcome == "accepted"
        connection.close()

    def test_in_a_transaction_it_is_drawn_in_that_one(self, fresh_db: Database) -> None:
        from django.db import transaction

        self.give("p", "40")
        with transaction.atomic():
            assert batching.draw(order("a"), actor=ROBOT).outcome == "accepted"
            transaction.set_rollback(True)
        assert not CreditDraw.objects.exists()

    def test_32_workers_take_700_units_of_700(self, fresh_db: Database) -> None:
        """32 workers × 1,000 unit draws: exactly 700 are accepted. Half of them share a batcher, half draw alone."""
        self.give("p", "300")
        self.give("q", "400")
        batcher = batching.Batcher(batching._draw_many)

        def work(worker: int) -> int:
            accepted = 0
            try:
                if worker % 2:
                    for start in range(0, 1000, 50):
                        orders = [order(f"{worker}:{n}") for n in range(start, start + 50)]
                        for answer in drawing.draw_many(orders=orders, at=clock.now(), actor=ROBOT):
                            assert isinstance(answer, Drawn)
                            accepted += answer.outcome == "accepted"
                else:
                    for n in range(1000):
                        accepted += batcher.draw(order(f"{worker}:{n}"), actor=ROBOT).outcome == "accepted"
            finally:
                connection.close()
            return accepted

        with ThreadPoolExecutor(32) as pool:
            assert sum(pool.map(work, range(32))) == 700
        batcher.close()
        assert CreditDraw.objects.filter(outcome="accepted").count() == 700
        assert CreditDraw.objects.count() == 32_000
        assert balances.of(customer_key="cus-1", unit="USD").credits_total == 0
        assert proofs.violations() == []
