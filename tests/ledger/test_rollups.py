"""Roll-ups: a figure is the roll-ups and the entries not in them, exact at any moment and whoever commits late."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Event, Thread
from time import monotonic

import psycopg
import pytest
from django.db import ProgrammingError, connection, transaction

from ledger import balances, posting, proofs, rolling_up, tasks
from ledger.models import Account, AccountDay, CodeDay, Entry, RollupState
from ledger.queries import snapshot
from ledger.rules.entries import LineSpec, credit, debit
from tests.ledger.books import AT, ROBOT, accrue, give, refused, spend, sql
from tests.ledger.test_at_the_same_time import accrual, all_at_once
from tests.support.database import Database

FAR = 1_000_000


def usage() -> Decimal:
    """The total of usage revenue, by the trial balance, which must add up to zero."""
    lines = balances.trial_balance(unit="USD")
    assert sum(line.net for line in lines) == 0
    return sum((-line.net for line in lines if line.code == "4000"), Decimal(0))


def rolled() -> int:
    """How many lines are in the roll-ups; both tables say the same."""
    by_account = sum(AccountDay.objects.values_list("lines", flat=True))
    assert by_account == sum(CodeDay.objects.values_list("lines", flat=True))
    return by_account


def catch_up(step: int = rolling_up.STEP) -> int:
    """Roll up until every entry is in: others' transactions may be seen to end only a moment later."""
    done, waiting, deadline = 0, True, monotonic() + 60
    while waiting:
        assert monotonic() < deadline
        done += rolling_up.roll_up(step=step).entries
        waiting = bool(sql("SELECT EXISTS (SELECT FROM ledger_unrolled_entries())")[0][0])
    return done


def test_every_line_is_rolled_up_once(fresh_db: Database) -> None:
    accrue("a", "3.5")
    give("g", "5")
    spend("inv", "2")
    before = balances.trial_balance(unit="USD")
    assert rolled() == 0
    assert catch_up() == 4
    assert rolled() == sql("SELECT count(*) FROM ledger_line")[0][0] > 0
    assert rolling_up.roll_up().entries == 0
    assert balances.trial_balance(unit="USD") == before
    accrue("b", "1")
    assert usage() == Decimal("6.5")
    assert proofs.violations() == []


@contextmanager
def late(key: str) -> Iterator[None]:
    """Somebody posts at the beginning of the block and commits at its end."""
    posted, may_commit = Event(), Event()
    failed: list[BaseException] = []

    def work() -> None:
        try:
            with transaction.atomic():
                accrue(key, "1", customer="cus-late")
                posted.set()
                assert may_commit.wait(60)
        except BaseException as error:  # told to the test below
            failed.append(error)
        finally:
            posted.set()
            connection.close()

    thread = Thread(target=work)
    thread.start()
    try:
        assert posted.wait(60)
        yield
    finally:
        may_commit.set()
        thread.join(60)
    assert not failed


def test_who_commits_late_is_neither_lost_nor_counted_twice(fresh_db: Database) -> None:
    accrue("before", "10")
    with late("late"):
        accrue("meanwhile", "100")
        rolling_up.roll_up()
        horizon = RollupState.objects.get().horizon
        assert usage() == 110
    assert usage() == 111
    assert Entry.objects.get(idempotency_key="late").created_xid >= horizon, "it stands before the open transaction"
    assert rolled() <= 2
    catch_up()
    assert usage() == 111
    assert rolled() == 6
    assert proofs.violations() == []


def test_a_transaction_of_another_database_holds_nothing_back(fresh_db: Database) -> None:
    accrue("a", "1")
    with psycopg.connect(fresh_db.server.admin_url) as elsewhere:
        elsewhere.execute("SELECT pg_current_xact_id()")
        accrue("b", "1")
        assert catch_up() == 2


def test_only_a_fresh_snapshot_rolls_up(fresh_db: Database) -> None:
    accrue("a", "1")
    with refused("ledger_rollup_isolation"):
        sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        rolling_up.roll_up()


def test_a_transaction_that_posts_and_rolls_up_reads_itself(fresh_db: Database) -> None:
    accrue("before", "10")
    with transaction.atomic():
        accrue("own", "1")
        rolling_up.roll_up()
        accrue("own, after it", "100")
        assert usage() == 111
    assert usage() == 111
    catch_up()
    assert usage() == 111
    assert rolled() == 6


def test_the_work_of_a_step_is_bounded_and_transactions_stay_whole(fresh_db: Database) -> None:
    for number in range(5):
        accrue(f"k{number}", "1")
    posting.post_many([accrual(f"batch {number}", "cus-1") for number in range(7)], at=AT)
    accrue("last", "1")
    sizes: list[int] = []
    deadline = monotonic() + 60
    while sum(sizes) < 13 and monotonic() < deadline:
        sizes.append(rolling_up.roll_up(step=2, steps=1).entries)
        assert usage() == 13
    assert max(size for size in sizes if size != 7) <= 2
    assert sizes.count(7) == 1, "the batch of seven is one transaction"
    assert sum(sizes) == 13
    assert proofs.violations() == []


def test_two_workers_add_nothing_twice(fresh_db: Database) -> None:
    def work(number: int) -> int:
        for round_ in range(5):
            accrue(f"{number} {round_}", "1", customer=f"cus-{number}")
            rolling_up.roll_up(step=3)
            assert usage() >= round_ + 1
        return 5

    assert all_at_once(6, work) == [5] * 6
    catch_up(step=3)
    assert usage() == 30
    assert rolled() == 60
    assert proofs.violations() == []


def test_a_snapshot_keeps_its_figures_while_others_roll_up(fresh_db: Database) -> None:
    accrue("a", "1")
    with snapshot():
        assert usage() == 1

        def meanwhile(_: int) -> None:
            accrue("b", "1")
            rolling_up.roll_up()
            rolling_up.restart()

        assert all_at_once(1, meanwhile) == [None]
        assert usage() == 1
        with pytest.raises(Exception, match="read-only"), transaction.atomic():
            accrue("c", "1")
    assert usage() == 2


def test_a_restore_into_another_cluster_loses_and_doubles_nothing(fresh_db: Database) -> None:
    """There the transactions bear other numbers: the old ones may be still to come, and the horizon means nothing."""
    for number in range(6):
        accrue(f"old {number}", "1")
    rolling_up.roll_up(step=3, steps=1)
    ids = list(Entry.objects.order_by("id").values_list("pk", flat=True))
    with fresh_db.connect(role="admin") as admin:
        admin.execute("SET session_replication_role = replica")  # no trigger
        admin.execute(
            "UPDATE ledger_rollup_state"
            " SET system_identifier = 42, horizon = (horizon::text::bigint + 999999)::text::xid8"
        )
        # Two were written by transactions that will come here soon, two by some that are far away.
        for ahead, pair in ((8, ids[2:4]), (FAR, ids[4:6])):
            admin.execute(
                "UPDATE ledger_entry SET created_xid = (pg_current_xact_id()::text::bigint + %s)::text::xid8"
                " WHERE id = ANY (%s)",
                [ahead, pair],
            )
    assert usage() == 6, "read from the lines"
    accrue("new", "1")
    assert usage() == 7
    assert rolling_up.roll_up(step=3, steps=1) == rolling_up.RolledUp(0, more=True), "it begins anew"
    assert usage() == 7
    for number in range(20):  # past the first pair's transactions
        accrue(f"new {number}", "1")
        if number % 3 == 0:
            rolling_up.roll_up(step=2, steps=1)
        assert usage() == 8 + number
        assert proofs.violations() == []
    catch_up(step=2)
    assert usage() == 27
    assert rolled() == 2 * 27
    assert proofs.violations() == []


def test_the_application_cannot_write_roll_ups(fresh_db: Database) -> None:
    accrue("a", "1")
    catch_up()
    for statement in (
        "UPDATE ledger_account_day SET debits = debits + 1",
        "DELETE FROM ledger_code_day",
        "TRUNCATE ledger_code_day",
        "UPDATE ledger_rollup_state SET horizon = '99999999'",
        "INSERT INTO ledger_account_day SELECT account_id, '2001-01-01', '2001-01-01', 1, 1, 1 FROM ledger_account_day",
    ):
        with pytest.raises(ProgrammingError, match="permission denied"):
            sql(statement)


def test_the_proof_finds_roll_ups_that_differ(fresh_db: Database) -> None:
    accrue("a", "1")
    catch_up()
    with fresh_db.connect(role="admin") as admin:
        admin.execute("UPDATE ledger_account_day SET debits = debits + 1 WHERE debits > 0")
    assert {found.rule for found in proofs.violations()} == {"ROLLUP"}
    rolling_up.restart()
    assert proofs.violations() == []
    with fresh_db.connect(role="admin") as admin:
        admin.execute("UPDATE ledger_rollup_state SET horizon = (pg_current_xact_id()::text::bigint + 1)::text::xid8")
    assert {found.rule for found in proofs.violations()} == {"ROLLUP"}, "what the horizon passed over"


def test_the_task_rolls_up(fresh_db: Database) -> None:
    accrue("a", "1")
    done, deadline = 0, monotonic() + 60
    while not done and monotonic() < deadline:  # others' transactions hold it back, too
        done = tasks.roll_up()
    assert done == 1
    assert RollupState.objects.get().rolled_at is not None


def test_as_of_both_clocks(fresh_db: Database) -> None:
    accrue("a", "1")
    accrue("b", "10", at=AT + timedelta(days=2))
    now = datetime.now(UTC)
    later = now + timedelta(hours=1)
    account = Account.objects.get(code="1110")
    for _ in range(2):
        assert balances.as_of(account=account) == 11
        assert balances.as_of(account=account, until=AT + timedelta(days=1)) == 1
        assert balances.as_of(account=account, until=AT) == 0, "an instant is exclusive"
        assert balances.as_of(account=account, until=AT + timedelta(seconds=1)) == 1
        assert balances.as_of(account=account, known=now - timedelta(hours=1)) == 0
        assert balances.as_of(account=account, known=later) == 11
        found = balances.customer_as_of(customer_key="cus-1", unit="USD", until=AT + timedelta(days=1))
        assert [found.unbilled, found.receivable] == [Decimal(1), Decimal(0)]
        rolling_up.roll_up()


def test_totals_of_codes_without_a_stored_balance(fresh_db: Database) -> None:
    posting.post(
        movement="topup.invoiced",
        key="t",
        lines=[*_topup("cus-1", "5"), *_topup("cus-2", "7")],
        at=AT,
        actor=ROBOT,
    )
    for _ in range(2):
        assert balances.account_total(code="2050", unit="USD") == 12
        assert balances.account_total(code="2050", unit="USD", customer_key="cus-2") == 7
        assert balances.account_total(code="2050", unit="USD", customer_key="cus-3") == 0
        rolling_up.roll_up()


def _topup(customer: str, amount: str) -> tuple[LineSpec, ...]:
    whole = Decimal(amount)
    return (
        *debit("1100", whole, "USD", customer_key=customer),
        *credit("2050", whole, "USD", customer_key=customer),
    )
