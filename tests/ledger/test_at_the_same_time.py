"""Many at once, committing for real: one key is one entry, and no balance is spent twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from moneyed import Money

from ledger import balances, closing, crediting, posting
from ledger.models import Account, Balance, CreditGrant, Entry, Line, Period
from ledger.rules import movements
from ledger.rules.entries import EntryDraft
from tests.ledger.books import AGENT, AT, ROBOT, SUPPORT, accrue, give, period, spend
from tests.support.database import Database


def all_at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Run ``act(0) … act(count - 1)`` in threads that start together; an exception is its answer."""
    barrier = Barrier(count)

    def one(number: int) -> Any:
        try:
            connection.ensure_connection()
            barrier.wait(timeout=60)
            return act(number)
        except Exception as error:  # the outcome of this thread: the test looks at each
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


def grant(key: str, amount: str = "5", customer: str = "cus-1") -> CreditGrant:
    return crediting.grant(
        customer_key=customer,
        kind="goodwill",
        amount=Money(amount, "USD"),
        reason_code="outage",
        actor=AGENT,
        authority=SUPPORT,
        at=AT,
        key=key,
    )


def accrual(key: str, customer: str) -> EntryDraft:
    lines = movements.usage_accrued(customer_key=customer, unit="USD", amount=Decimal(1))
    return EntryDraft(movements.USAGE_ACCRUED, key, lines, AT, ROBOT, customer_key=customer)


@pytest.mark.parametrize("count", [2, 50])
def test_one_credit_however_many_ask_for_it(fresh_db: Database, count: int) -> None:
    answers = all_at_once(count, lambda _: grant("k").pk)
    assert len(set(answers)) == 1, answers
    assert CreditGrant.objects.count() == Entry.objects.count() == 1
    assert Line.objects.count() == 2
    assert balances.of(customer_key="cus-1", unit="USD").goodwill_credits == 5


def test_one_key_with_different_contents_is_the_first_ones(fresh_db: Database) -> None:
    answers = all_at_once(8, lambda n: grant("k", str(n + 1), f"cus-{n % 3}"))
    (made,) = CreditGrant.objects.all()
    for number, answer in enumerate(answers):
        if isinstance(answer, CreditGrant):
            assert answer.pk == made.pk
        else:
            assert isinstance(answer, crediting.GrantDiffers), repr(answer)
            same_customer = f"cus-{number % 3}" == made.customer_key
            assert answer.details["differs"] == (["amount"] if same_customer else ["customer_key", "amount"])
    assert Entry.objects.count() == 1


def test_one_entry_when_no_balance_serialises_it(fresh_db: Database) -> None:
    def post(_: int) -> int:
        return posting.post(
            movement=movements.PAYMENT_FEE,
            key="fee",
            lines=movements.payment_fee(currency="USD", amount=Decimal("4.17")),
            at=AT,
            actor=ROBOT,
        ).pk

    assert len(set(all_at_once(12, post))) == 1
    assert Entry.objects.count() == 1


def test_accounts_and_periods_are_opened_once(fresh_db: Database) -> None:
    answers = all_at_once(12, lambda n: accrue(f"k{n}", "1", customer=f"cus-{n % 2}", unit="ISK").pk)
    assert len(set(answers)) == 12, answers
    assert Account.objects.filter(code="1110").count() == 2
    assert Balance.objects.filter(debits=6, version=6).count() == 2


def test_credit_is_never_spent_twice(fresh_db: Database) -> None:
    give("g", "7")
    answers = all_at_once(10, lambda n: spend(f"inv-{n}", "1"))
    assert not [answer for answer in answers if isinstance(answer, Exception)], answers
    assert sum(len(answer) for answer in answers) == 7
    left = balances.of(customer_key="cus-1", unit="USD")
    assert left.promotional_credits == 0
    assert left.receivable == 3


def test_batches_over_the_same_accounts_in_opposite_orders_do_not_deadlock(fresh_db: Database) -> None:
    def post(number: int) -> int:
        customers = [f"cus-{n}" for n in range(30)]
        ordered = customers if number % 2 else customers[::-1]
        return len(posting.post_many([accrual(f"{number}:{c}", c) for c in ordered], at=AT))

    assert all_at_once(6, post) == [30] * 6
    assert Balance.objects.filter(debits=6).count() == 30


_CLOSE = (
    "INSERT INTO ledger_period_change (period_id, from_status, to_status, at, actor_type, actor_id, actor_label,"
    " reason, note) VALUES (%s, 'open', 'closed', now(), 'system', 'raw', '', '', '')"
)


def test_closing_waits_for_a_posting_and_a_posting_finds_the_close(fresh_db: Database) -> None:
    march = period()
    with fresh_db.connect() as closer:
        with transaction.atomic():
            accrue("in flight", "1")
            closer.execute("SET statement_timeout = '300ms'")
            with pytest.raises(psycopg.errors.QueryCanceled):
                closer.execute(_CLOSE, [march.pk])
        closer.execute(_CLOSE, [march.pk])
    with pytest.raises(posting.PeriodClosed):
        accrue("late", "1")
    assert closing.close(period=march, at=AT + timedelta(days=60), actor=ROBOT).status == "closed"


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_posting_under_an_old_snapshot_is_refused(fresh_db: Database, level: str) -> None:
    def post_under_it() -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            accrue("a", "1")

    with pytest.raises(posting.InvalidEntry) as caught:
        post_under_it()
    assert caught.value.details["rule"] == "ledger_entry_isolation"
    assert not Entry.objects.exists()


def test_a_period_ends_where_its_book_is(fresh_db: Database) -> None:
    """In Los Angeles 31 March is not over when it is 1 April in UTC."""
    with fresh_db.connect(role="owner") as owner:
        owner.execute("UPDATE ledger_book SET timezone = 'America/Los_Angeles'")
    march = period()
    with pytest.raises(closing.PeriodStillRuns):
        closing.close(period=march, at=datetime(2025, 4, 1, 6, 59, tzinfo=UTC), actor=ROBOT)
    assert closing.close(period=march, at=datetime(2025, 4, 1, 7, tzinfo=UTC), actor=ROBOT).status == "closed"


def test_the_accounting_day_is_the_books_own(fresh_db: Database) -> None:
    with fresh_db.connect(role="owner") as owner:
        owner.execute("UPDATE ledger_book SET timezone = 'Asia/Kathmandu'")
    entry = accrue("a", "1", at=datetime(2025, 3, 31, 18, 15, tzinfo=UTC))
    assert str(entry.effective_on) == "2025-04-01"
    assert str(Period.objects.get(pk=entry.period_id).starts_on) == "2025-04-01"
