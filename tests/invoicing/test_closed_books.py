"""What is learnt after a month's books were closed is booked on the first open day, with its own date beside it."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from invoicing import accruing, settling
from invoicing.models import Accrual, Invoice
from invoicing.stripe import gateway
from ledger import closing
from ledger.models import Entry, Period
from tests.invoicing.proof import prove
from tests.invoicing.stories import (
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
    TESTER,
    billed,
    fee,
    join,
    publish,
    told,
    usage_price,
    used,
)
from tests.support.billing import World, ledger_of

TENTH = MONTH_LATER + timedelta(days=9)


def close_january() -> None:
    closing.close(period=Period.objects.get(starts_on="2025-01-01"), at=TENTH, actor=TESTER)


def moved(entry: Entry) -> tuple[datetime, datetime | None]:
    """Where the entry is dated, and when it happened."""
    return entry.effective_at, entry.occurred_at


def test_late_usage_of_a_closed_month_is_revenue_of_the_open_one(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=100)
    billed(acme, MONTH_LATER)
    close_january()
    told(2, time=NOON, at=TENTH, generated=50)
    assert accruing.accrue(customer_id=acme.pk, at=TENTH, actor=TESTER) == 1
    step = Accrual.objects.order_by("pk").last()
    assert step is not None
    assert moved(step.entry) == (MONTH_LATER, MONTH_LATER - timedelta(microseconds=1))
    assert billed(acme, FEBRUARY_LATER).amount_due.amount == Decimal("0.50")
    prove()


def test_a_bill_that_is_made_after_its_month_was_closed(books: World) -> None:
    acme = join(publish("both", fee("20.00"), usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=100)
    close_january()
    assert billed(acme, MONTH_LATER, at=TENTH).amount_due.amount == 21
    accruing.accrue(customer_id=acme.pk, at=TENTH, actor=TESTER)
    assert ledger_of(acme).deferred == Decimal("13.571428571429")  # 19 of 28 days
    prove()


def test_a_payment_that_is_told_after_its_month_was_closed(books: World, monkeypatch: pytest.MonkeyPatch) -> None:
    invoice = join(publish("fee", fee("20.00"))).invoices.get()
    Invoice.objects.filter(pk=invoice.pk).update(stripe_id="in_1")
    close_january()
    mirror = gateway.Mirror(
        id="in_1",
        reference=invoice.public_id,
        status="paid",
        currency="USD",
        total_minor=2000,
        due_minor=2000,
        item_keys=frozenset(),
        payments=(gateway.MirrorPayment("ch_1", 2000, datetime(2025, 1, 31, 23, tzinfo=UTC)),),
    )
    monkeypatch.setattr(gateway, "fetch", lambda one: mirror)
    settling.refresh(stripe_id="in_1", at=TENTH)
    invoice.refresh_from_db()
    assert (invoice.status, invoice.paid_at) == ("paid", mirror.payments[0].paid_at)
    assert moved(invoice.payments.get().entry) == (MONTH_LATER, mirror.payments[0].paid_at)
    prove()
