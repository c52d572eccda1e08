"""Books worth bending, and a hand that bends them: the superuser, with every trigger switched off."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import psycopg

from ledger import closing, drawing, posting, returning, sealing
from ledger.models import CreditDraw, Seal
from tests.ledger.books import AT, ROBOT, accrue, give, spend
from tests.ledger.periods import ANN, LATER, month, reopened
from tests.support.database import Database


def settle(*, at: datetime = LATER, most: int = 3) -> list[int]:
    """Seal until nothing waits; the seals made.

    A transaction of another test's database may count as one of this database's for the moment in which it ends.
    """
    made: list[int] = []
    deadline = time.monotonic() + 60
    while True:
        made += sealing.seal(at=at, most=most)
        if not sealing.waiting():
            return made
        assert time.monotonic() < deadline, "a transaction in the cluster stays open"
        time.sleep(0.01)


def sealed_books() -> list[Seal]:
    """A few entries of every sort, a closed and a reopened period, in a chain of several seals."""
    for number in range(4):
        accrue(f"usage {number}", "1.25")
    give("promo", "5")
    spend("invoice", "3")
    drawing.draw(customer_key="cus-1", unit="USD", amount=Decimal("1.5"), feature="", key="draw", at=AT, actor=ROBOT)
    drawn = CreditDraw.objects.get(idempotency_key="draw").pk
    back = Decimal("0.5")
    returning.give_back(draw_id=drawn, amount=back, key="back", at=AT, actor=ROBOT, reason_code="over_counted")
    entry = accrue("mistake", "7", at=AT + timedelta(days=40))
    posting.reverse(entry=entry, key="undo", at=AT + timedelta(days=41), actor=ROBOT, reason_code="test")
    for number in (3, 4):
        closing.close(period=month(number), at=LATER, actor=ANN)
    reopened(month(4))
    settle()  # the first seals of a cluster walk the ids, and wait for nobody's transaction
    return list(Seal.objects.order_by("seq"))


@contextmanager
def unguarded(database: Database) -> Iterator[psycopg.Connection[Any]]:
    """The superuser, with no trigger or foreign key in force; what is done stays."""
    with database.connect(role="admin", autocommit=False) as admin:
        admin.execute("SET session_replication_role = replica")
        yield admin
        admin.commit()
