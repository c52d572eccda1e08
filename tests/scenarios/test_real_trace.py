"""A cloud's real hour: 19,366 requests through HTTP, a worker killed on the way, a month closed, every cent compared.

The trace is of November 2023 (see its README). Row n is a request of customer ``cus-{n mod 40}`` onto a plan of $20 a
month in advance; 100,000 context tokens included, then graduated $3.00 a million to 400,000 billable tokens and $2.40
beyond; generated tokens $15.00 a million. What the product says is compared with a fold of the CSV that shares no code
with it.
"""

import csv
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.stripe_standin.process import Standin
from tests.support.processes import Http, Web, Worker, wait_until

TRACE = Path(__file__).resolve().parents[3] / "shared" / "data" / "llm-usage-conversation.csv"
CUSTOMERS = 40
BATCH = 500
MONTH_START = datetime(2023, 11, 1, tzinfo=UTC)
AFTER_TRACE = datetime(2023, 11, 16, 19, 30, tzinfo=UTC)
MONTH_END = datetime(2023, 12, 1, tzinfo=UTC)
AFTER_GRACE = datetime(2023, 12, 1, 1, 0, 30, tzinfo=UTC)

pytestmark = pytest.mark.skipif(not TRACE.exists(), reason="the trace is not beside the checkout")


# --- the independent fold: whole numbers and fractions, nothing of the product ---


@dataclass
class Expected:
    """One customer's month by the fold: exact dollars and rounded cents of each usage line."""

    context: int = 0
    generated: int = 0

    @property
    def context_exact(self) -> Fraction:
        billable = max(self.context - 100_000, 0)
        first = min(billable, 400_000)
        return Fraction(first * 300 + (billable - first) * 240, 100_000_000)

    @property
    def generated_exact(self) -> Fraction:
        return Fraction(self.generated * 1500, 100_000_000)

    @property
    def exact(self) -> Fraction:
        return self.context_exact + self.generated_exact

    @property
    def usage_cents(self) -> int:
        return cents(self.context_exact) + cents(self.generated_exact)


def cents(dollars: Fraction) -> int:
    """Half away from zero; the amounts are not negative."""
    return int(dollars * 100 + Fraction(1, 2))


def fold_of_the_csv() -> list[Expected]:
    expected = [Expected() for _ in range(CUSTOMERS)]
    with TRACE.open() as lines:
        for number, row in enumerate(csv.DictReader(lines)):
            mine = expected[number % CUSTOMERS]
            mine.context += int(row["ContextTokens"])
            mine.generated += int(row["GeneratedTokens"])
    return expected


# --- the product, from outside ---


def batches() -> Iterator[list[dict[str, Any]]]:
    """The trace as CloudEvents, in batches: out of order inside and among themselves, every tenth batch twice."""
    with TRACE.open() as lines:
        events = [
            {
                "specversion": "1.0",
                "id": f"row-{number}",
                "source": "trace/conversation",
                "type": "llm.request",
                "subject": f"cus-{number % CUSTOMERS}",
                "time": row["TIMESTAMP"].replace(" ", "T") + "Z",
                "data": {
                    "context_tokens": int(row["ContextTokens"]),
                    "generated_tokens": int(row["GeneratedTokens"]),
                },
            }
            for number, row in enumerate(csv.DictReader(lines))
        ]
    shuffled = random.Random(2023)  # noqa: S311  # an order, not a secret
    cut = [events[start : start + BATCH] for start in range(0, len(events), BATCH)]
    cut += cut[::10]
    shuffled.shuffle(cut)
    for batch in cut:
        if shuffled.random() < 0.3:
            shuffled.shuffle(batch)
        yield batch


def agree(http: Http) -> None:
    """Meters, the plan, forty customers with a card, and their subscriptions: all over the API."""
    for key, path in (("context", "context_tokens"), ("generated", "generated_tokens")):
        meter = {"key": key, "name": key.title(), "event_type": "llm.request", "aggregation": "sum"}
        http.post("/meters", {**meter, "value_path": path, "unit": "tokens"})
    http.post(
        "/plans",
        {
            "key": "pro",
            "name": "Pro",
            "currency": "USD",
            "prices": [
                {"key": "platform", "name": "Platform fee", "model": "flat", "unit_amount": "20"},
                {
                    "key": "context",
                    "name": "Context tokens",
                    "model": "graduated",
                    "meter": "context",
                    "included_units": "100000",
                    "tiers": [
                        {"up_to": "400000", "unit_amount": "0.000003"},
                        {"up_to": None, "unit_amount": "0.0000024"},
                    ],
                },
                {
                    "key": "generated",
                    "name": "Generated tokens",
                    "model": "per_unit",
                    "meter": "generated",
                    "unit_amount": "0.000015",
                },
            ],
        },
    )
    http.post("/plans/pro/versions/1/publish", {})
    for number in range(CUSTOMERS):
        key = f"cus-{number}"
        http.post("/customers", {"key": key, "name": f"Customer {number}", "currency": "USD"})
        http.put(f"/customers/{key}/payment", {"default_payment_method": "pm_card_visa"})
        http.post("/subscriptions", {"key": f"sub-{number}", "customer": key, "plan": "pro"})


def nudge(task: str) -> None:
    from billing_ops.celery import app

    app.send_task(task)


def test_the_trace_is_billed_to_the_cent(
    fresh_db: Any, standin: Standin, clock: Any, redis_url: str, tmp_path: Path
) -> None:
    env = {**fresh_db.env(), **standin.environment(), "DATABASE_URL": fresh_db.url(), "BILLING_ENV": "test"}
    env["BILLING_CLOCK_FILE"] = str(clock.path)
    web, worker = Web(tmp_path, env), Worker(tmp_path, env)
    standin.set_webhook(f"{web.url}/webhooks/stripe")
    clock.set(MONTH_START)
    try:
        web.start()
        worker.start()
        _play(standin, clock, web, worker)
    finally:
        web.stop()
        worker.stop()


def _play(standin: Standin, clock: Any, web: Web, worker: Worker) -> None:
    from invoicing.models import Invoice, StripeEvent
    from metering.models import Batch
    from tests.support.api import new_key

    http = Http(web.url, new_key(at=MONTH_START))
    agree(http)

    def invoices(status: str) -> int:
        return Invoice.objects.filter(status=status).count()

    def bill_until_paid(wanted: int) -> None:
        nudge("invoicing.bill")
        nudge("invoicing.collect_due")
        wait_until(lambda: invoices("paid") == wanted, f"{wanted} paid invoices", 120)
        standin.deliver(everything=True)
        nudge("invoicing.handle_due_events")
        wait_until(
            lambda: not StripeEvent.objects.filter(handled_at__isnull=True).exists(), "every webhook handled", 120
        )

    bill_until_paid(CUSTOMERS)  # the first month's fee, in advance

    # The hour itself, with the aggregator killed in the middle of its work.
    clock.set(AFTER_TRACE)
    outcomes = {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": 0}
    for number, batch in enumerate(batches()):
        answer = http.post("/events", batch, content_type="application/cloudevents-batch+json")
        for name in outcomes:
            outcomes[name] += answer[name]
        nudge("metering.advance")
        if number == 20:
            worker.kill()
        if number == 25:
            worker.start()
    assert outcomes["accepted"] == 19_366
    assert (outcomes["conflict"], outcomes["rejected"]) == (0, 0)
    assert outcomes["duplicate"] > 0
    nudge("metering.advance")
    wait_until(lambda: not Batch.objects.filter(fold__isnull=True).exists(), "every batch folded", 120)

    # The month ends; an hour of grace later it is billed, with the next month's fee.
    clock.set(AFTER_GRACE)
    nudge("invoicing.accrue")
    bill_until_paid(2 * CUSTOMERS)
    nudge("invoicing.accrue")  # what was left of November's fees is earned
    _compare(standin, http)


def _compare(standin: Standin, http: Http) -> None:
    from invoicing.models import Invoice

    expected = fold_of_the_csv()
    for number, mine in enumerate(expected):
        first, second = Invoice.objects.filter(customer__key=f"cus-{number}").order_by("pk")
        assert [line.amount.amount for line in first.lines.all()] == [Decimal(20)]
        assert [(line.agreed_price.key, line.amount.amount) for line in second.lines.all()] == [
            ("platform", Decimal(20)),
            ("context", money(cents(mine.context_exact))),
            ("generated", money(cents(mine.generated_exact))),
        ]
        assert [line.quantity for line in second.lines.all()][1:] == [mine.context, mine.generated]
        assert second.amount_paid.amount == second.amount_due.amount == money(2000 + mine.usage_cents)
        shown = http.get(f"/invoices/{second.public_id}")
        assert Decimal(shown["total"]) == money(2000 + mine.usage_cents)
    _compare_books(standin, expected)


def _compare_books(standin: Standin, expected: list[Expected]) -> None:
    from ledger import balances

    def total(code: str) -> Decimal:
        return balances.account_total(code=code, unit="USD")

    exact = sum((mine.exact for mine in expected), Fraction(0))
    usage_cents = sum(mine.usage_cents for mine in expected)
    paid_cents = CUSTOMERS * 2 * 2000 + usage_cents
    # November's fees are earned, and of December's the hour and thirty seconds that passed, each to twelve decimals.
    passed = Fraction(20 * 3630, 31 * 24 * 3600)
    december = CUSTOMERS * Fraction(int(passed * 10**12 + Fraction(1, 2)), 10**12)
    wait_until(lambda: Fraction(total("4010")) == CUSTOMERS * 20 + december, "the fees earned so far", 120)
    assert Fraction(total("2100")) == CUSTOMERS * 20 - december, "deferred revenue"
    assert total("1100") == 0, "receivable"
    assert total("1110") == 0, "unbilled"
    assert Fraction(total("4000")) == exact, "usage revenue"
    assert Fraction(total("6310")) == exact - Fraction(usage_cents, 100), "rounding"
    assert total("1010") == money(paid_cents), "cash"
    assert standin.state()["paid_minor"] == {"usd": paid_cents}
    proof = balances.trial_balance(unit="USD")
    assert sum(row.debits for row in proof) == sum(row.credits for row in proof)


def money(whole_cents: int) -> Decimal:
    return (Decimal(whole_cents) / 100).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def test_the_fold_says_what_a_person_would() -> None:
    """By hand for 650,000 context and 40,003 generated tokens: 1.20 + 0.36, and 0.600045."""
    one = Expected(context=650_000, generated=40_003)
    assert one.context_exact == Fraction("1.56")
    assert one.generated_exact == Fraction("0.600045")
    assert one.usage_cents == 156 + 60
    assert json.dumps(cents(Fraction("0.005"))) == "1"
