"""A billing run whose worker is killed again and again: in the end each customer is billed once, to the cent.

The kills are drawn by a seed: when so many invoices are drafted, final, tried or paid. Then one run goes undisturbed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

from tests.faults.rig import nudge, seeded
from tests.stripe_standin.process import Standin
from tests.support.processes import Worker, wait_until

CUSTOMERS = 60
# Every third began in January: January's fee, then its usage with February's fee. The others begin in February.
INVOICES = CUSTOMERS + CUSTOMERS // 3
TICKS = ("metering.advance", "invoicing.bill", "invoicing.collect_due", "invoicing.accrue")


@dataclass(frozen=True)
class Usage:
    """What one customer used in January, and what that costs by hand."""

    context: int
    generated: int

    @property
    def bills(self) -> list[list[Decimal]]:
        """The lines of each invoice."""
        return [[Decimal(20)], [Decimal(20), *self.lines]]

    @property
    def lines(self) -> list[Decimal]:
        """Context tokens beyond 100,000 at $3.00 and from 400,000 on at $2.40 a million; generated at $15.00."""
        billable = max(self.context - 100_000, 0)
        first = min(billable, 400_000)
        context = (first * 300 + (billable - first) * 240) * Decimal("1e-8")
        return [cents(context), cents(self.generated * Decimal("0.000015"))]


def cents(dollars: Decimal) -> Decimal:
    return dollars.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def test_each_customer_is_billed_once(
    fresh_db: Any, standin: Standin, clock: Any, redis_url: str, tmp_path: Path
) -> None:
    from tests.invoicing.proof import prove
    from tests.support.billing import MONTH_LATER, START

    env = {**standin.environment(), "DATABASE_URL": fresh_db.url()}
    env["BILLING_CLOCK_FILE"] = str(clock.path)
    clock.set(START)
    usages = _world()
    clock.set(MONTH_LATER)
    clock.advance(hours=1)
    worker = Worker(tmp_path, env)
    try:
        _kill_again_and_again(worker, clock)
        clock.advance(hours=7)  # whatever rests after a failure may be tried again
        worker.start()
        _run_until(lambda: _paid() == INVOICES and not _pending(), "every invoice is paid")
        # And what Stripe tells of each payment afterwards changes nothing.
        nudge("invoicing.sweep_stripe_events")
        wait_until(lambda: _told() == INVOICES, "every payment's event is handled", 90)
    finally:
        worker.stop()
    _compare(usages, standin)
    prove(standin)


def _world() -> list[Usage | None]:
    from tests.support.billing import MONTH_LATER, START, event, make_world, send

    noon = START + timedelta(days=10, hours=12)
    chance = seeded(60)
    world = make_world()
    usages: list[Usage | None] = []
    for number in range(CUSTOMERS):
        is_old = number % 3 == 0
        world.subscribe(world.customer(f"cus-{number}"), starts_at=START if is_old else MONTH_LATER)
        usages.append(Usage(chance.randrange(1_500_000), chance.randrange(300_000)) if is_old else None)
    rows = [
        event(number, subject=f"cus-{number}", time=noon, context=used.context, generated=used.generated)
        for number, used in enumerate(usages)
        if used
    ]
    assert send(rows, at=noon).accepted == CUSTOMERS // 3
    return usages


def _kill_again_and_again(worker: Worker, clock: Any) -> None:
    for count, low, high in _points():
        worker.start()
        wanted = seeded(low).randrange(low, high)
        _run_until(lambda count=count, wanted=wanted: count() >= wanted, f"{count.__name__} is {wanted}")  # type: ignore[misc]  # mypy cannot type default arguments of a lambda
        worker.kill()
        clock.advance(minutes=3)


def _points() -> list[tuple[Callable[[], int], int, int]]:
    """What is counted, and between which numbers the kill falls."""
    part = INVOICES // 6
    return [
        (_drafted, 1, part),
        (_drafted, 3 * part, 5 * part),
        (_final, part, 3 * part),
        (_tried, 1, part),
        (_paid, part, 2 * part),
        (_paid, 3 * part, 5 * part),
    ]


def _run_until(condition: Callable[[], bool], what: str) -> None:
    """The clock's ticks, sent once as beat would; then wait."""
    for task in TICKS:
        nudge(task)
    wait_until(condition, what, 90)


def _drafted() -> int:
    from invoicing.models import Invoice

    return Invoice.objects.count()


def _final() -> int:
    from invoicing.models import Invoice

    return Invoice.objects.exclude(status="draft").count()


def _tried() -> int:
    from invoicing.models import PaymentAttempt

    return PaymentAttempt.objects.count()


def _paid() -> int:
    from invoicing.models import Invoice

    return Invoice.objects.filter(status="paid").count()


def _pending() -> int:
    from invoicing.models import PaymentAttempt

    return PaymentAttempt.objects.filter(status="pending").count()


def _told() -> int:
    from invoicing.models import StripeEvent

    return StripeEvent.objects.filter(type="invoice.paid", handled_at__isnull=False, outcome="applied").count()


def _compare(usages: list[Usage | None], standin: Standin) -> None:
    from billing_ops.models import FailedWork
    from invoicing.models import Invoice

    charged: dict[str, list[int]] = {}
    for charge in standin.objects("charge"):
        assert charge["paid"]
        charged.setdefault(charge["description"], []).append(charge["amount"])
    for number, used in enumerate(usages):
        invoices = Invoice.objects.filter(customer__key=f"cus-{number}").order_by("pk")
        bills = used.bills if used else [[Decimal(20)]]
        for invoice, lines in zip(invoices, bills, strict=True):
            assert [line.amount.amount for line in invoice.lines.all()] == lines
            assert (invoice.status, invoice.amount_paid.amount) == ("paid", sum(lines))
            assert charged.pop(f"Payment for Invoice {invoice.number}") == [int(sum(lines) * 100)]
    assert not charged, "a charge without an invoice"
    assert not FailedWork.objects.exists()


def test_by_hand() -> None:
    """650,000 context tokens: 400,000 at $3.00 and 150,000 at $2.40 a million; 40,003 generated at $15.00."""
    assert Usage(650_000, 40_003).lines == [Decimal("1.56"), Decimal("0.60")]
