"""Draws by raw SQL, as the application: whole, before their own entry, and for nobody else's use."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.db import transaction

from ledger import balances, posting, proofs
from ledger.rules import movements
from ledger.rules.entries import LineSpec
from ledger.rules.movements import CreditUse
from tests.ledger.books import AT, ROBOT, accrue, give, refused, sql
from tests.support.database import Database

D = Decimal
_DRAW = (
    "INSERT INTO ledger_credit_draw (wallet_id, idempotency_key, ref, feature, amount, shortfall, outcome, used_at,"
    " entry_id) VALUES (%s, %s, '', %s, %s, 0, 'accepted', %s, %s) RETURNING id"
)
_ALLOCATION = "INSERT INTO ledger_credit_draw_allocation (draw_id, grant_id, amount) VALUES (%s, %s, %s)"


def raw_draw(wallet: int, entry: int, amount: str, *, feature: str = "") -> int:
    return int(sql(_DRAW, wallet, uuid4().hex, feature, amount, AT, entry)[0][0])


def use(grant: Any, amount: str) -> CreditUse:
    return CreditUse(grant.kind, str(grant.public_id), D(amount))


def post(entry: int, movement: str, lines: tuple[LineSpec, ...]) -> None:
    reserved = [replace(lines[0], reserved_id=entry), *lines[1:]]
    posting.post(movement=movement, key=f"raw {entry}", lines=reserved, at=AT, actor=ROBOT, customer_key="cus-1")


@pytest.mark.django_db
def test_two_allocations_of_one_draw_do_not_stand_for_none_of_another() -> None:
    """The second draw, of a feature that no credit pays for, would be accepted with the credit of the first."""
    one, two = give("a", "10", scope=["x"]), give("b", "10", scope=["x"])
    entry = posting.reserve_entry_id()
    first = raw_draw(one.wallet_id, entry, "10", feature="x")
    raw_draw(one.wallet_id, entry, "10", feature="y")
    sql(_ALLOCATION, first, one.pk, "10")
    with refused("ledger_allocation_whole"):
        sql(_ALLOCATION, first, two.pk, "10")
    with pytest.raises(posting.InvalidEntry), transaction.atomic():  # noqa: PT012
        lines = movements.credit_drawn(customer_key="cus-1", unit="USD", uses=[use(one, "10")])
        post(entry, movements.CREDIT_DRAWN, lines)
    transaction.set_rollback(True)  # the draws are still there, and have no entry


@pytest.mark.django_db
def test_the_credit_of_one_customer_does_not_pay_for_the_use_of_another() -> None:
    """That is a transfer, which needs an approval."""
    grant = give("a", "10", kind="paid")
    accrue("use", "10", customer="cus-2")
    with pytest.raises(posting.InvalidEntry) as caught, transaction.atomic():  # noqa: PT012
        entry = posting.reserve_entry_id()
        sql(_ALLOCATION, raw_draw(grant.wallet_id, entry, "10"), grant.pk, "10")
        lines = movements.credit_covered(customer_key="cus-1", unit="USD", uses=[use(grant, "10")])
        theirs = tuple(replace(line, customer_key="cus-2") if line.code == "1110" else line for line in lines)
        post(entry, movements.CREDIT_COVERED, theirs)
    assert caught.value.details["rule"] == "ledger_line_drawn"
    assert balances.of(customer_key="cus-2", unit="USD").unbilled == 10


def test_a_draw_under_an_entry_that_is_posted_at_this_moment(fresh_db: Database) -> None:
    """It does not see that entry yet, and when it commits the entry is there: compared with other draws."""
    grant = give("a", "10")
    with fresh_db.connect(autocommit=False) as other:
        with transaction.atomic():
            entry = posting.reserve_entry_id()
            sql(_ALLOCATION, raw_draw(grant.wallet_id, entry, "4"), grant.pk, "4")
            lines = movements.credit_drawn(customer_key="cus-1", unit="USD", uses=[use(grant, "4")])
            post(entry, movements.CREDIT_DRAWN, lines)
            row = other.execute(_DRAW, [grant.wallet_id, "free", "", "5", AT, entry]).fetchone()
            assert row is not None
            other.execute(_ALLOCATION, [row[0], grant.pk, "5"])
        with pytest.raises(psycopg.errors.CheckViolation) as caught:
            other.commit()
    assert caught.value.diag.constraint_name == "ledger_draw_posted"
    assert proofs.violations() == []
