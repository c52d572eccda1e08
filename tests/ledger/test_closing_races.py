"""Closing and posting at the same moment, on connections of their own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from billing_ops.kit import approving
from billing_ops.models import Approval, AuditEntry
from ledger import closing, posting, proofs
from ledger.models import Entry, Period, PeriodChange
from tests.ledger.books import AT, accrue, period
from tests.ledger.periods import ANN, BOB, LATER, asked, month
from tests.ledger.test_at_the_same_time import all_at_once
from tests.support.database import Database


def apart(act: Callable[[], Any]) -> Any:
    """Run it on this thread's own connection, and close that."""
    try:
        return act()
    finally:
        connection.close()


def waits_for_a_lock(watcher: psycopg.Connection[Any]) -> None:
    """Return when somebody in this database waits for an advisory lock."""
    for _ in range(200_000):
        row = watcher.execute(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        ).fetchone()
        if row and row[0]:
            return
    raise AssertionError("nobody waits")


def test_a_close_waits_for_a_posting_in_flight_and_has_it(fresh_db: Database) -> None:
    march = period()
    with ThreadPoolExecutor(1) as pool, fresh_db.connect() as watcher:
        with transaction.atomic():
            entry = accrue("in flight", "1")
            closer: Future[Period] = pool.submit(apart, lambda: closing.close(period=march, at=LATER, actor=ANN))
            waits_for_a_lock(watcher)
            assert period().status == "open"
        assert closer.result(timeout=60).status == "closed"
    change = PeriodChange.objects.get()
    assert entry.recorded_at < change.recorded_at
    assert proofs.violations() == []


@pytest.mark.parametrize("act", [closing.soft_close, closing.close])
def test_a_posting_that_waits_for_a_close_is_refused(fresh_db: Database, act: Callable[..., Period]) -> None:
    march = period()
    with ThreadPoolExecutor(1) as pool, fresh_db.connect() as watcher:
        with transaction.atomic():
            act(period=march, at=LATER, actor=ANN)
            late: Future[Entry] = pool.submit(apart, lambda: accrue("late", "1"))
            waits_for_a_lock(watcher)
        with pytest.raises(posting.PeriodClosed):
            late.result(timeout=60)
    assert not Entry.objects.exists()


def test_a_posting_that_waits_for_a_reopening_is_recorded_after_it(fresh_db: Database) -> None:
    march = closing.close(period=period(), at=LATER, actor=ANN)
    request = asked(march)
    seen = approving.preview(approval=request, at=LATER).fingerprint()
    with ThreadPoolExecutor(1) as pool, fresh_db.connect() as watcher:
        with transaction.atomic():
            approving.approve(approval_id=request.pk, seen=seen, actor=BOB, at=LATER)
            late: Future[Entry] = pool.submit(apart, lambda: accrue("late", "1"))
            waits_for_a_lock(watcher)
        assert late.result(timeout=60).period_id == march.pk
    assert proofs.violations() == []


def test_many_closers_close_once(fresh_db: Database) -> None:
    march = period()
    answers = all_at_once(6, lambda _: closing.close(period=march, at=LATER, actor=ANN).status)
    assert answers == ["closed"] * 6
    assert PeriodChange.objects.count() == AuditEntry.objects.filter(action="period.closed").count() == 1


def test_two_approvers_reopen_once(fresh_db: Database) -> None:
    march = closing.close(period=period(), at=LATER, actor=ANN)
    requests = [asked(march, key=f"request {number}") for number in range(2)]
    seen = [approving.preview(approval=one, at=LATER).fingerprint() for one in requests]

    def approve(number: int) -> str:
        pk = requests[number].pk
        return approving.approve(approval_id=pk, seen=seen[number], actor=BOB, at=LATER).status

    answers = all_at_once(2, approve)
    assert sorted(type(one).__name__ for one in answers) == ["PeriodIsOpen", "str"], answers
    assert sorted(Approval.objects.values_list("status", flat=True)) == ["approved", "pending"]
    assert PeriodChange.objects.filter(to_status="open").count() == 1


def test_months_are_closed_in_order_whoever_comes_first(fresh_db: Database) -> None:
    months = [month(number) for number in (3, 4, 5)]
    answers = all_at_once(3, lambda number: closing.close(period=months[number], at=LATER, actor=ANN).status)
    for one in answers:
        assert one == "closed" or isinstance(one, closing.PeriodOutOfOrder), repr(one)
    closed = [one.status == "closed" for one in Period.objects.order_by("starts_on")]
    assert closed == sorted(closed, reverse=True)
    assert proofs.violations() == []


def test_postings_and_a_close_at_once_leave_no_entry_on_the_wrong_side(fresh_db: Database) -> None:
    march, begun = period(), Event()

    def act(number: int) -> Any:
        if number == 0:
            begun.wait(timeout=60)
            return closing.close(period=march, at=LATER, actor=ANN).status
        posted = 0
        for turn in range(15):
            if number == 1 and turn == 3:
                begun.set()
            try:
                accrue(f"{number} {turn}", "1", customer=f"cus-{number}", at=AT)
                posted += 1
            except posting.PeriodClosed:
                break
        return posted

    answers = all_at_once(5, act)
    assert answers[0] == "closed", answers
    assert sum(answers[1:]) == Entry.objects.count() >= 3
    change = PeriodChange.objects.get()
    assert not Entry.objects.filter(recorded_at__gte=change.recorded_at).exists()
    assert proofs.violations() == []
