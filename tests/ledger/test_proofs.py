"""The proofs find what is wrong: each invariant is broken by the owner, with the triggers switched off."""

from decimal import Decimal
from typing import Any

import pytest
from moneyed import Money

from billing_ops.celery import app
from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.models import FailedWork
from ledger import approved, crediting, posting, proofs, proving, tasks
from ledger.queries import statement
from ledger.rules import movements
from ledger.rules.limits import Above
from ledger.rules.terms import Asked, terms_of
from tests.ledger.books import AGENT, AT, ROBOT, SUPPORT, account, accrue, give, raw_entry, raw_lines, spend
from tests.support.database import Database

_MORE_IN_ONE_LINE = (
    "UPDATE ledger_line SET amount = amount + 1 WHERE line_no = 2 AND entry_id = (SELECT min(id) FROM ledger_entry)"
)
SABOTAGE = {
    "I1": _MORE_IN_ONE_LINE,
    "I2": _MORE_IN_ONE_LINE,
    "I3": "UPDATE ledger_balance SET debits = debits + 1, credits = credits + 2",
    "I4": "ALTER TABLE ledger_balance DROP CONSTRAINT ledger_balance_no_overdraft;"
    " UPDATE ledger_balance SET held = 100 WHERE min_available IS NOT NULL",
    "I7": "UPDATE ledger_line SET amount = amount + 1 WHERE entry_id = (SELECT max(id) FROM ledger_entry)",
    "I10": "UPDATE ledger_credit_grant SET amount = amount + 1",
    "I11": "UPDATE ledger_balance SET credits = credits + 1",
    "I12": "UPDATE ledger_credit_draw_allocation SET amount = amount - 1",
    "APPROVED": "UPDATE billing_ops_approval SET used_for = 'entry:another'",
    "LIMITED": "UPDATE ledger_limit_use SET amount = amount - 1",
    "I8": "ALTER TABLE ledger_entry DROP CONSTRAINT ledger_entry_one_per_key;"
    " UPDATE ledger_entry SET idempotency_key = 'same'",
}


def _given_alone_and_by_approval() -> None:
    asked: Asked = {"customer_key": "c", "kind": "goodwill", "amount": Money("5.00", "USD"), "reason_code": "outage"}
    crediting.grant(key="alone", actor=AGENT, at=AT, authority=SUPPORT, **asked)
    above = Above("per_credit", "Support", Decimal(100), Decimal(100))
    terms = terms_of({**asked, "amount": Money("500.00", "USD")})
    row = approved.ask_for_credit(terms=terms, above=above, key="k", actor=AGENT, at=AT)
    seen = approving.preview(approval=row, at=AT).fingerprint()
    approving.approve(approval_id=row.pk, seen=seen, actor=Actor("user", "bob"), at=AT)


def test_each_broken_invariant_is_found(fresh_db: Database, settings: Any) -> None:
    settings.CREDIT_HOLDER_CHECK = ""
    _given_alone_and_by_approval()
    accrue("a", "3")
    give("g", "5")
    spend("inv", "2")
    entry = accrue("b", "1")
    posting.reverse(entry=entry, key="undo", at=AT, actor=ROBOT, reason_code="test")
    assert proofs.violations() == []
    with fresh_db.connect(role="admin", autocommit=False) as admin:
        for rule, sabotage in SABOTAGE.items():
            admin.execute("ALTER TABLE billing_ops_approval DISABLE TRIGGER USER")
            for table in ("entry", "line", "balance", "credit_grant", "credit_draw_allocation", "limit_use"):
                admin.execute(f"ALTER TABLE ledger_{table} DISABLE TRIGGER USER")
            admin.execute(sabotage)
            found = admin.execute(statement("proofs"), {"limit": 100}).fetchall()
            assert rule in {row[0] for row in found}, rule
            assert all(subject and detail for _, subject, detail in found)
            admin.rollback()
    assert proofs.violations() == []


def test_what_is_broken_is_shown_until_it_is_mended(fresh_db: Database) -> None:
    accrue("a", "3")
    assert (tasks.prove(), FailedWork.objects.count()) == (0, 0)
    tamper = (
        "ALTER TABLE ledger_balance DISABLE TRIGGER USER; UPDATE ledger_balance SET credits = credits + {};"
        " ALTER TABLE ledger_balance ENABLE TRIGGER USER"
    )
    with fresh_db.connect(role="admin") as admin:
        admin.execute(tamper.format(1))
        found = tasks.prove()
        assert found == tasks.prove() == FailedWork.objects.filter(task=proving.TASK, tries=2).count() > 0
        assert {row.code for row in FailedWork.objects.all()} == {"ledger.invariant_broken"}
        assert "stored" in FailedWork.objects.get(subject__startswith="I3").message
        admin.execute(tamper.format(-1))
    assert (tasks.prove(), FailedWork.objects.count()) == (0, 0)


def test_a_list_that_was_cut_short_clears_nothing(fresh_db: Database) -> None:
    accrue("a", "3")
    with fresh_db.connect(role="admin") as admin:
        admin.execute("ALTER TABLE ledger_balance DISABLE TRIGGER USER; UPDATE ledger_balance SET credits = 99")
    whole = proving.prove(at=AT)
    assert proving.prove(at=AT, limit=1) == 1
    assert FailedWork.objects.filter(task=proving.TASK).count() == whole > 1


def test_the_books_are_proven_every_night() -> None:
    assert "ledger.prove" in {entry["task"] for entry in app.conf.beat_schedule.values()}


@pytest.mark.django_db
def test_credit_that_expired_before_its_time_is_named() -> None:
    grant = give("g", "5")
    entry = raw_entry(movement=movements.CREDIT_EXPIRED)
    raw_lines(
        (entry, 1, grant.account_id, "USD", 1, "5", 2, "0"),
        (entry, 2, account("9000").pk, "USD", -1, "5", None, None),
    )
    assert [(one.rule, one.subject) for one in proofs.violations()] == [("I10", f"grant {grant.pk}")]
