"""The life of a period: open, soft-closed, closed, reopened; who may post into it then, and who may move it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any

import pytest
from django.db import ProgrammingError, transaction

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import InvalidInput
from billing_ops.models import Approval, AuditEntry
from ledger import closing, posting, proofs, reopening
from ledger.models import Entry, EventType, Period, PeriodChange
from ledger.posting import PeriodClosed
from ledger.rules import lifecycle, movements, routes
from ledger.rules.entries import EntryDraft
from tests.ledger.books import AT, ROBOT, accrue, period, raw_entry, refused, sql
from tests.ledger.periods import ANN, BOB, LATER, asked, month, move_period, reopened

pytestmark = pytest.mark.django_db


def adjustment(key: str, *, actor: Actor = ANN, reason: str = "estimate", **other: Any) -> EntryDraft:
    lines = movements.usage_accrued(customer_key="cus-1", unit="USD", amount=Decimal(1))
    at = other.pop("at", AT)
    return EntryDraft(movements.USAGE_ACCRUED, key, lines, at, actor, customer_key="cus-1", reason_code=reason, **other)


def fee(key: str) -> EntryDraft:
    """A kind of entry that adjusts nothing."""
    return EntryDraft(
        movements.PAYMENT_FEE, key, movements.payment_fee(currency="USD", amount=Decimal(1)), AT, ANN, reason_code="x"
    )


# Soft-closed ----------------------------------------------------------------------------------------------------------


def test_a_soft_closed_period_takes_a_persons_adjustment() -> None:
    march = closing.soft_close(period=period(), at=LATER, actor=ANN)
    assert (march.status, march.closed_by) == ("soft_closed", "Ann")
    (posted,) = posting.post_many([adjustment("a")], at=LATER)
    assert Entry.objects.get(pk=posted.id).period_id == march.pk
    assert proofs.violations() == []


@pytest.mark.parametrize(
    "draft",
    [fee("a"), adjustment("a", actor=ROBOT), adjustment("a", actor=Actor("api_key", "k"))],
    ids=["no adjustment", "by a program", "by a key"],
)
def test_a_soft_closed_period_takes_nothing_else(draft: EntryDraft) -> None:
    closing.soft_close(period=period(), at=LATER, actor=ANN)
    with pytest.raises(PeriodClosed):
        posting.post_many([draft], at=LATER)
    assert not Entry.objects.exists()


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({"actor_type": "user", "actor_id": "ann"}, "ledger_entry_user_gives_reason"),
        ({"movement": movements.PAYMENT_FEE, "actor_type": "user", "reason_code": "x"}, "ledger_entry_period_open"),
        ({"reason_code": "x"}, "ledger_entry_period_open"),
    ],
    ids=["no reason", "no adjustment", "no person"],
)
def test_the_database_keeps_a_soft_closed_period(values: dict[str, Any], rule: str) -> None:
    march = closing.soft_close(period=period(), at=LATER, actor=ANN)
    with refused(rule):
        raw_entry(period_id=march.pk, **values)


def test_which_kinds_adjust_is_the_same_in_the_code_and_the_database() -> None:
    assert {row.code for row in EventType.objects.filter(adjusts=True)} == {
        route.code for route in routes.ROUTES if route.adjusts
    }


def test_one_batch_into_a_soft_closed_period_dates_each_on_its_own() -> None:
    march = closing.soft_close(period=period(), at=LATER, actor=ANN)
    drafts = [adjustment("a"), adjustment("b", actor=ROBOT, reason="", late="move")]
    kept, moved = [Entry.objects.get(pk=one.id) for one in posting.post_many(drafts, at=LATER)]
    assert (kept.period_id, kept.effective_at, kept.occurred_at) == (march.pk, AT, None)
    assert (moved.effective_at, moved.occurred_at) == (datetime(2025, 4, 1, tzinfo=UTC), AT)


# Late facts -----------------------------------------------------------------------------------------------------------


def test_a_late_fact_goes_over_closed_and_soft_closed_periods_to_the_first_open_day() -> None:
    accrue("march", "1")
    for number in (3, 4):
        closing.close(period=month(number), at=LATER, actor=ANN)
    for number in (5, 6):
        closing.soft_close(period=month(number), at=LATER, actor=ANN)

    def late(key: str) -> tuple[datetime, datetime | None]:
        entry = Entry.objects.get(pk=posting.post_many([adjustment(key, actor=ROBOT, late="move")], at=LATER)[0].id)
        return entry.effective_at, entry.occurred_at

    assert late("a") == (datetime(2025, 7, 1, tzinfo=UTC), AT)
    reopened(month(6), key="june")
    assert late("b") == (datetime(2025, 6, 1, tzinfo=UTC), AT)
    reopened(month(4), key="april")
    assert late("c") == (datetime(2025, 4, 1, tzinfo=UTC), AT)
    reopened(month(3), key="march")
    assert late("d") == (AT, None)
    closing.close(period=month(3), at=LATER, actor=ANN)
    assert late("e") == (datetime(2025, 4, 1, tzinfo=UTC), AT)
    assert proofs.violations() == []


def test_what_was_before_the_first_closed_period_is_closed_too() -> None:
    """A period that nobody opened in time is not opened before a closed one: what was closed would change."""
    closing.close(period=period(), at=LATER, actor=ANN)
    february = AT - timedelta(days=31)
    with pytest.raises(PeriodClosed):
        posting.enter_period(effective_at=february)
    with pytest.raises(PeriodClosed):
        posting.post_many([adjustment("a", at=february)], at=LATER)
    (moved,) = posting.post_many([adjustment("a", at=february, late="move")], at=LATER)
    assert Entry.objects.get(pk=moved.id).occurred_at == february
    with refused("ledger_period_in_order"):
        sql(
            "INSERT INTO ledger_period (book_id, starts_on, ends_before, status, closed_by)"
            " SELECT id, '2025-02-01', '2025-03-01', 'open', '' FROM ledger_book"
        )


# Closing --------------------------------------------------------------------------------------------------------------


def test_periods_are_closed_from_the_first_to_the_last() -> None:
    march, april = month(3), month(4)
    with pytest.raises(closing.PeriodOutOfOrder):
        closing.close(period=april, at=LATER, actor=ANN)
    with refused("ledger_period_in_order"):
        move_period(april.pk, "open", "closed")
    closing.soft_close(period=march, at=LATER, actor=ANN)
    with pytest.raises(closing.PeriodOutOfOrder):
        closing.close(period=april, at=LATER, actor=ANN)
    closing.close(period=march, at=LATER, actor=ANN)
    assert closing.close(period=april, at=LATER, actor=ANN).status == "closed"


def test_every_change_is_in_the_history_and_the_audit_trail() -> None:
    march = period()
    closing.soft_close(period=march, at=LATER, actor=ANN, note="waiting for two invoices")
    closing.close(period=march, at=LATER, actor=BOB)
    approval = reopened(march)
    rows = PeriodChange.objects.filter(period=march).order_by("pk")
    assert [(row.from_status, row.to_status, row.actor_id, row.approval_id) for row in rows] == [
        ("open", "soft_closed", "ann", None),
        ("soft_closed", "closed", "bob", None),
        ("closed", "open", "bob", approval.pk),
    ]
    assert [row.note for row in rows] == ["waiting for two invoices", "", "see the ticket"]
    recorded = [row.recorded_at for row in rows]
    assert recorded == sorted(recorded)
    acts = AuditEntry.objects.filter(subject_type="period").order_by("pk")
    assert [(act.action, act.actor_id) for act in acts] == [
        ("period.soft_closed", "ann"),
        ("period.closed", "bob"),
        ("period.reopened", "bob"),
    ]
    march.refresh_from_db()
    assert (march.status, march.closed_at, march.closed_by) == ("open", None, "")


def test_doing_it_again_changes_nothing() -> None:
    march = period()
    for _ in range(2):
        closing.soft_close(period=march, at=LATER, actor=ANN)
    for _ in range(2):
        closing.close(period=march, at=LATER, actor=ANN)
    assert PeriodChange.objects.count() == AuditEntry.objects.count() == 2
    with pytest.raises(closing.PeriodIsClosed):
        closing.soft_close(period=march, at=LATER, actor=ANN)


def test_a_period_that_runs_is_not_soft_closed() -> None:
    with pytest.raises(closing.PeriodStillRuns):
        closing.soft_close(period=period(), at=AT, actor=ANN)


def test_the_database_allows_the_transitions_of_the_table_and_no_other() -> None:
    for before, after in product(lifecycle.STATUSES, repeat=2):
        march = Period.objects.filter(starts_on="2025-03-01").first() or period()
        with transaction.atomic():
            if before != "open":
                move_period(march.pk, "open", before)
            if (before, after) in lifecycle.TRANSITIONS and after != "open":
                move_period(march.pk, before, after)
            elif (before, after) in lifecycle.TRANSITIONS:
                reopened(march, key=f"{before} {after}")
            else:
                rule = "ledger_period_reopen_approved" if after == "open" else "ledger_period_change_allowed"
                with refused(rule):
                    move_period(march.pk, before, after)
            transaction.set_rollback(True)


def test_a_change_starts_from_what_the_period_is() -> None:
    with refused("ledger_period_change_from"):
        move_period(period().pk, "soft_closed", "closed")


@pytest.mark.parametrize("change", ["UPDATE ledger_period_change SET note = 'x'", "DELETE FROM ledger_period_change"])
def test_history_does_not_change(change: str) -> None:
    closing.close(period=period(), at=LATER, actor=ANN)
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        sql(change)


def test_the_instant_of_a_change_is_the_databases() -> None:
    march = period()
    move_period(march.pk, "open", "closed", recorded_at="2020-01-01T00:00:00Z")
    assert sql("SELECT recorded_at > now() - interval '1 minute' FROM ledger_period_change") == [(True,)]


# Reopening ------------------------------------------------------------------------------------------------------------


def test_only_the_latest_closed_period_is_reopened() -> None:
    march, april = month(3), month(4)
    for one in (march, april):
        closing.close(period=one, at=LATER, actor=ANN)
    march.refresh_from_db()
    with pytest.raises(closing.PeriodOutOfOrder):
        asked(march)
    reopened(april, key="april")
    closing.soft_close(period=april, at=LATER, actor=ANN)
    reopened(month(3), key="march")
    assert [one.status for one in Period.objects.order_by("starts_on")] == ["open", "soft_closed"]


def test_a_request_is_void_once_a_later_period_is_closed() -> None:
    march = month(3)
    closing.close(period=march, at=LATER, actor=ANN)
    march.refresh_from_db()
    request = asked(march)
    closing.close(period=month(4), at=LATER, actor=ANN)
    with pytest.raises(closing.PeriodOutOfOrder):
        approving.preview(approval=request, at=LATER)
    with pytest.raises(closing.PeriodOutOfOrder):
        approving.approve(approval_id=request.pk, seen="", actor=BOB, at=LATER)
    assert Approval.objects.get().status == "pending"
    assert month(3).status == "closed"


def test_nobody_reopens_on_their_own_request() -> None:
    march = closing.close(period=period(), at=LATER, actor=ANN)
    request = asked(march)
    seen = approving.preview(approval=request, at=LATER).fingerprint()
    for same in (ANN, Actor("user", " ANN ")):
        with pytest.raises(approving.OwnRequest):
            approving.approve(approval_id=request.pk, seen=seen, actor=same, at=LATER)
    assert period_status() == "closed"


def period_status() -> str:
    return Period.objects.get(starts_on="2025-03-01").status


def test_an_open_period_is_not_reopened_and_a_reason_is_given() -> None:
    march = period()
    with pytest.raises(closing.PeriodIsOpen):
        asked(march)
    closed = closing.close(period=march, at=LATER, actor=ANN)
    with pytest.raises(InvalidInput):
        reopening.ask(period=closed, reason=" ", at=LATER, actor=ANN, key="k")


def test_an_approval_that_is_not_given_or_is_for_another_period_reopens_nothing() -> None:
    march, april = month(3), month(4)
    for one in (march, april):
        closing.close(period=one, at=LATER, actor=ANN)
    april.refresh_from_db()
    request = asked(april)
    with pytest.raises(closing.ReopenNotApproved):
        closing.reopen(period=april, approval=request, reason="x", at=LATER, actor=BOB)
    given = reopened(april, key="given")
    with pytest.raises(closing.ReopenNotApproved):
        closing.reopen(period=march, approval=given, reason="x", at=LATER, actor=BOB)
    closing.close(period=april, at=LATER, actor=ANN)
    with refused("ledger_period_reopen_approved"):
        move_period(april.pk, "closed", "open", reason="x", approval_id=request.pk)


def test_an_approval_reopens_once() -> None:
    march = closing.close(period=period(), at=LATER, actor=ANN)
    approval = reopened(march)
    assert (approval.status, approval.used_for) == ("approved", f"period:{march.pk}")
    closing.close(period=march, at=LATER, actor=ANN)
    with pytest.raises(closing.ReopenNotApproved):
        closing.reopen(period=march, approval=approval, reason="again", at=LATER, actor=BOB)
    with refused("ledger_period_reopen_approved"):
        move_period(march.pk, "closed", "open", reason="again", approval_id=approval.pk)
    assert period_status() == "closed"
