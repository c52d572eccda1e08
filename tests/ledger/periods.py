"""Short ways to change periods, for the ledger's tests."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.db import transaction

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.models import Approval
from ledger import posting, reopening
from ledger.models import Book, Period
from tests.ledger.books import sql

ANN = Actor("user", "ann", "Ann")
BOB = Actor("user", "bob", "Bob")
LATER = datetime(2025, 12, 31, tzinfo=UTC)


def month(number: int, year: int = 2025) -> Period:
    """That month's period, opened if need be."""
    book = Book.objects.get(key="main")
    if not Period.objects.filter(book=book, starts_on=date(year, number, 1)).exists():
        with transaction.atomic():
            posting.enter_period(effective_at=datetime(year, number, 1, 12, tzinfo=UTC))
    return Period.objects.select_related("book").get(book=book, starts_on=date(year, number, 1))


def move_period(period_id: int, before: str, after: str, *, at: str = "2025-12-31T00:00:00Z", **other: Any) -> None:
    """A row of a period's history by raw SQL: the only way to change the period's status."""
    values = {"period_id": period_id, "from_status": before, "to_status": after, "at": at, "actor_type": "system",
              "actor_id": "raw", "actor_label": "", "reason": "", "note": "", **other}  # fmt: skip
    marks = ", ".join(["%s"] * len(values))
    sql(f"INSERT INTO ledger_period_change ({', '.join(values)}) VALUES ({marks})", *values.values())


def asked(period: Period, *, key: str = "reopen", at: datetime = LATER, by: Actor = ANN) -> Approval:
    """A request to reopen it."""
    return reopening.ask(period=period, reason="wrong_invoice", note="see the ticket", at=at, actor=by, key=key)


def reopened(period: Period, *, key: str = "reopen", at: datetime = LATER) -> Approval:
    """Reopened as people do it: one asks, another approves what was shown."""
    request = asked(period, key=key, at=at)
    seen = approving.preview(approval=request, at=at).fingerprint()
    return approving.approve(approval_id=request.pk, seen=seen, actor=BOB, at=at + timedelta(minutes=1))
