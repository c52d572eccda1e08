"""Stripe goes away while a worker collects: attempts wait for an answer, and when it is back each is charged once."""

from pathlib import Path
from typing import Any

from tests.faults.rig import make_drafts, nudge
from tests.stripe_standin.process import Standin
from tests.support.processes import Worker, wait_until

INVOICES = 12


def test_what_waits_is_charged_once_when_stripe_is_back(
    fresh_db: Any, standin: Standin, clock: Any, redis_url: str, tmp_path: Path
) -> None:
    from billing_ops.models import FailedWork
    from invoicing.models import Invoice, PaymentAttempt
    from tests.invoicing.proof import prove

    make_drafts(INVOICES)
    env = {**standin.environment(), "DATABASE_URL": fresh_db.url(), "BILLING_CLOCK_FILE": str(clock.path)}
    worker = Worker(tmp_path, env)

    def paid() -> int:
        return Invoice.objects.filter(status="paid").count()

    def tried_in_vain() -> int:
        return PaymentAttempt.objects.filter(status="pending", tries__gt=0).count()

    try:
        worker.start()
        nudge("invoicing.bill")
        nudge("invoicing.collect_due")
        wait_until(lambda: paid() >= 3, "some are paid")
        standin.kill()
        wait_until(lambda: paid() + tried_in_vain() == INVOICES, "the others were tried in vain")
        assert not PaymentAttempt.objects.filter(status="failed").exists(), "nobody was declined"
        waiting = tried_in_vain()
        assert waiting >= 1
        standin.start()
        nudge("invoicing.collect_due")  # their time has not come: nothing is asked again yet
        clock.advance(minutes=2)
        nudge("invoicing.collect_due")
        wait_until(lambda: paid() == INVOICES, "every invoice is paid")
    finally:
        worker.stop()
    charges = sorted(charge["description"] for charge in standin.objects("charge"))
    numbers = Invoice.objects.order_by("number").values_list("number", flat=True)
    assert charges == [f"Payment for Invoice {number}" for number in numbers]
    assert list(PaymentAttempt.objects.values_list("status", flat=True)) == ["succeeded"] * INVOICES
    assert not FailedWork.objects.exists()
    prove(standin)
