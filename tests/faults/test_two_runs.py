"""A billing run meets customers that another worker is busy with: it goes round them, and does them last."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.faults.rig import make_drafts
from tests.support.processes import wait_until


@pytest.mark.parametrize("step", ["draft", "finalize"])
def test_who_is_busy_comes_last_and_is_not_forgotten(fresh_db: Any, clock: Any, step: str) -> None:
    from invoicing import billing
    from invoicing.models import Invoice
    from plans.models import Customer
    from tests.support.billing import MONTH_LATER, START, TESTER

    make_drafts(3)
    billing.finalize_due(at=START, actor=TESTER)
    if step == "finalize":
        billing.draft_due(until=MONTH_LATER, at=MONTH_LATER, actor=TESTER)
        Invoice.objects.filter(status="draft").update(auto_finalize_at=MONTH_LATER)

    def done() -> set[str]:
        rows = Invoice.objects.filter(drafted_at=MONTH_LATER)
        final = rows if step == "draft" else rows.exclude(status="draft")
        return set(final.values_list("customer__key", flat=True))

    def run() -> None:
        if step == "draft":
            billing.draft_due(until=MONTH_LATER, at=MONTH_LATER, actor=TESTER)
        else:
            billing.finalize_due(at=MONTH_LATER, actor=TESTER)

    first = Customer.objects.order_by("pk")[0]
    with fresh_db.connect(autocommit=False) as other:
        other.execute("SELECT FROM plans_customer WHERE id = %s FOR NO KEY UPDATE", [first.pk])
        running = in_thread(run)
        wait_until(lambda: done() == {"cus-1", "cus-2"}, "the others are done")
        assert running.is_alive(), "it waits for the one that is busy"
        other.rollback()
        running.join(30)
    assert not running.is_alive()
    assert done() == {"cus-0", "cus-1", "cus-2"}


def in_thread(work: Callable[[], None]) -> threading.Thread:
    from django.db import connection

    def run() -> None:
        try:
            work()
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
