"""Usage that arrives after its period was billed: the difference, once, on the period in which it happened."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billing_ops.kit import clock
from invoicing import billing
from invoicing.models import InvoiceLine
from ledger import balances
from metering import ingesting
from metering.models import Batch
from plans import subscribing
from plans.models import Subscription
from tests.invoicing.proof import prove
from tests.invoicing.stories import (
    BILLED,
    FEBRUARY_LATER,
    GRACE,
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    accrue_to,
    billed,
    by_price,
    drafted,
    fee,
    finalized,
    join,
    publish,
    told,
    usage_price,
    used,
)
from tests.support.billing import World, event, fold, ledger_of

TICK = timedelta(microseconds=1)


def test_late_usage_is_a_second_revision_with_the_exact_difference(books: World) -> None:
    third = publish("third", usage_price("tokens", "0.333333333333"))
    acme = join(third)
    used(1, time=NOON, generated=1)
    assert by_price(billed(acme, MONTH_LATER)) == [("tokens", 1, Decimal(1), Decimal("0.33"))]

    told(2, time=NOON + timedelta(hours=1), at=BILLED + timedelta(days=3), generated=1)
    accrue_to(BILLED + timedelta(days=3), acme)
    assert ledger_of(acme).unbilled == Decimal("0.333333333333")
    march = billed(acme, FEBRUARY_LATER)

    line = march.lines.get(service_start=START)
    assert (line.revision, line.service_end, line.quantity) == (2, MONTH_LATER, Decimal(2))
    assert (line.amount.amount, line.unrounded_amount) == (Decimal("0.34"), Decimal("0.333333333333"))
    assert line.cumulative_amount == Decimal("0.666666666666")
    assert line.rule == "difference_to_billed_usage"
    assert by_price(march) == [("tokens", 1, Decimal(0), Decimal(0)), ("tokens", 2, Decimal(2), Decimal("0.34"))]
    prove()


def test_late_usage_that_just_missed_the_next_bill_is_on_the_one_after(books: World) -> None:
    """The last day of January, told 33 days later: after February's bill, and within the 35 days that are accepted."""
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    billed(acme, MONTH_LATER)
    billed(acme, FEBRUARY_LATER)
    last_day = MONTH_LATER - timedelta(hours=2)
    told(1, time=last_day, at=last_day + timedelta(days=33), generated=700)
    accrue_to(last_day + timedelta(days=34), acme)

    april = billed(acme, FEBRUARY_LATER + timedelta(days=31))

    assert [(line.service_start, line.amount.amount) for line in april.lines.filter(revision=2)] == [
        (START, Decimal(7))
    ]
    prove()


def test_a_period_that_can_no_longer_change_is_not_rated_again(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    edges = [MONTH_LATER, FEBRUARY_LATER, *(FEBRUARY_LATER + timedelta(days=days) for days in (31, 61, 92))]
    invoices = [billed(acme, edge) for edge in edges]
    assert [one.lines.count() for one in invoices] == [1] * 5
    prove()


def test_late_usage_of_an_ended_subscription_gets_an_invoice_of_its_own(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    subscribing.end(subscription=Subscription.objects.get(customer=acme), at=NOON, actor=TESTER)
    used(1, time=NOON, generated=100)
    billed(acme, MONTH_LATER)
    told(2, time=NOON, at=BILLED + timedelta(days=1), generated=23)
    window_closed = MONTH_LATER + timedelta(days=36)

    assert billing.bill_late(at=window_closed - timedelta(days=1), actor=TESTER).done == 0
    assert billing.bill_late(at=window_closed, actor=TESTER).failed == 0
    assert billing.finalize_due(at=window_closed, actor=TESTER).done == 1
    assert billing.bill_late(at=window_closed + timedelta(days=1), actor=TESTER).failed == 0

    lines = InvoiceLine.objects.filter(item__subscription__customer=acme).order_by("pk")
    assert [(line.revision, line.amount.amount) for line in lines] == [(1, Decimal(1)), (2, Decimal("0.23"))]
    prove()


def test_usage_between_draft_and_finalisation_is_on_the_bill(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=100)
    accrue_to(NOON + timedelta(hours=1), acme)
    draft = drafted(acme, MONTH_LATER)
    assert draft.subtotal.amount == Decimal(1)
    told(2, time=MONTH_LATER - TICK, at=MONTH_LATER + timedelta(minutes=30), generated=50)

    invoice = finalized(draft, BILLED)

    assert by_price(invoice) == [("tokens", 1, Decimal(150), Decimal("1.50"))]
    assert invoice.amount_due.amount == Decimal("1.50")
    prove()


def test_usage_at_the_very_edge_belongs_to_the_next_period(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    told(1, time=START, at=MONTH_LATER, generated=1)
    told(2, time=MONTH_LATER - TICK, at=MONTH_LATER, generated=10)
    told(3, time=MONTH_LATER, at=MONTH_LATER, generated=100)
    told(4, time=FEBRUARY_LATER - TICK, at=FEBRUARY_LATER, generated=1000)
    told(5, time=FEBRUARY_LATER, at=FEBRUARY_LATER, generated=10_000)

    assert [line.quantity for line in billed(acme, MONTH_LATER).lines.all()] == [11]
    assert [line.quantity for line in billed(acme, FEBRUARY_LATER).lines.all()] == [1100]
    prove()


def test_usage_from_before_the_subscription_is_nobodys_bill(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")), starts_at=NOON)
    told(1, time=NOON - TICK, at=NOON, generated=1)
    told(2, time=NOON, at=NOON, generated=10)
    edge = Subscription.objects.get(customer=acme).periods.get(number=0).ends_at

    assert [line.quantity for line in billed(acme, edge).lines.all()] == [10]
    prove()


def test_a_billing_run_that_was_down_for_two_months_bills_each_month_on_its_own(books: World) -> None:
    both = publish("both", fee("20.00"), usage_price("tokens", "0.01"))
    acme = join(both, begin=False)
    used(1, time=NOON, generated=100)
    used(2, time=MONTH_LATER + timedelta(days=2), generated=200)
    late = FEBRUARY_LATER + timedelta(days=5)

    tally = billing.draft_due(until=late, at=late, actor=TESTER)
    assert (tally.done, tally.failed) == (3, 0)
    billing.finalize_due(at=late, actor=TESTER)

    found = [(one.number, one.amount_due.amount) for one in acme.invoices.order_by("pk")]
    assert found == [("INV-000001", Decimal(20)), ("INV-000002", Decimal(21)), ("INV-000003", Decimal(22))]
    accrue_to(FEBRUARY_LATER, acme)
    assert balances.of(customer_key="acme", unit="USD").deferred == 20
    prove()


def test_revenue_is_dated_in_the_period_of_its_usage(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=100)
    billed(acme, MONTH_LATER, at=MONTH_LATER + GRACE)
    january = {line.code: line.net for line in balances.trial_balance(unit="USD", until=MONTH_LATER)}
    assert january == {"1110": Decimal(1), "4000": Decimal(-1)}


APRIL, MAY, JUNE = (datetime(2025, month, 1, tzinfo=UTC) for month in (4, 5, 6))


def backfilled(number: int, *, time: datetime, at: datetime, generated: int, subject: str = "acme") -> None:
    """An old request, brought in at ``at``."""
    raw = json.dumps(event(number, subject=subject, time=time, generated=generated)).encode()
    assert ingesting.backfill(events=[raw], at=at, actor=TESTER, label="old").accepted == 1
    fold(at)


def test_backfilled_usage_of_a_running_subscription_is_on_the_next_bill_however_old(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=100)
    for edge in (MONTH_LATER, FEBRUARY_LATER, APRIL):
        billed(acme, edge)
    backfilled(2, time=NOON, at=APRIL + timedelta(days=9), generated=5_000)

    may = billed(acme, MAY)
    june = billed(acme, JUNE)

    assert [(line.service_start, line.revision, line.amount.amount) for line in may.lines.filter(revision__gt=1)] == [
        (START, 2, Decimal(50))
    ]
    assert june.lines.count() == 1, "the bill of May saw it"
    prove()


def test_a_backfill_that_commits_after_a_younger_batch_was_billed_is_found(books: World) -> None:
    """Ids are given before the commit: the bill's watermark may lie above a batch that it could not see."""
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    for edge in (MONTH_LATER, FEBRUARY_LATER, APRIL):
        billed(acme, edge)
    backfilled(1, time=NOON, at=APRIL + GRACE, generated=700)
    line = InvoiceLine.objects.filter(service_start=START).get()
    assert Batch.objects.latest("pk").pk > (line.watermark or 0)
    first = billed(acme, MAY)
    assert [one.amount.amount for one in first.lines.filter(service_start=START)] == [Decimal(7)]
    seen = InvoiceLine.objects.filter(service_start=START, revision=2).get()
    # Under way while that bill was rated: recorded an hour before it, with an id below its watermark.
    overtaken = Batch.objects.latest("pk").pk
    assert overtaken <= (seen.watermark or 0)
    raw = json.dumps(event(2, subject="acme", time=NOON, generated=300)).encode()
    at = MAY - timedelta(minutes=30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingesting, "_claim", lambda cursor, fresh: (_free_id(overtaken), {}))
        assert ingesting.backfill(events=[raw], at=at, actor=TESTER, label="slow").accepted == 1
    fold(MAY + GRACE)

    assert [one.amount.amount for one in billed(acme, JUNE).lines.filter(service_start=START)] == [Decimal(3)]
    prove()


def _free_id(below: int) -> int:
    """An id under ``below`` that no batch has."""
    taken = set(Batch.objects.values_list("pk", flat=True))
    return next(one for one in range(below, -1_000, -1) if one not in taken)


def test_backfilled_usage_of_a_subscription_that_ended_long_ago_gets_an_invoice_of_its_own(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    other = join(publish("other", usage_price("tokens", "0.01")), "other")
    for one in (acme, other):
        subscribing.end(subscription=Subscription.objects.get(customer=one), at=NOON + TICK, actor=TESTER)
        billed(one, MONTH_LATER)
    later = datetime(2025, 12, 1, tzinfo=UTC)
    assert billing.bill_late(at=later, actor=TESTER).done == 0, "nobody is looked at"
    backfilled(1, time=NOON, at=later, generated=1_000)

    assert billing.bill_late(at=later, actor=TESTER).done == 1
    assert billing.finalize_due(at=later, actor=TESTER).done == 1
    assert billing.bill_late(at=later + timedelta(days=2), actor=TESTER).failed == 0
    assert billing.finalize_due(at=later + timedelta(days=2), actor=TESTER).done == 0

    lines = InvoiceLine.objects.filter(revision=2)
    assert [(line.agreed_item.customer.key, line.amount.amount) for line in lines] == [("acme", Decimal(10))]
    prove()


def test_looking_for_late_usage_does_not_cost_more_as_history_grows(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    counts = []
    for month in range(2, 13):
        with CaptureQueriesContext(
            connection,
        ) as found:
            drafted_now = drafted(acme, datetime(2025, month, 1, tzinfo=UTC))
        counts.append(len(found))
        finalized(drafted_now, datetime(2025, month, 1, 1, tzinfo=UTC))
    assert counts[3:] == [counts[3]] * len(counts[3:])


def test_the_command_brings_in_a_file_and_says_what_it_did_not_take(
    books: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(clock, "now", lambda: APRIL)
    monkeypatch.setattr(ingesting, "MAX_EVENTS", 10_000)
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    for edge in (MONTH_LATER, FEBRUARY_LATER, APRIL):
        billed(acme, edge)
    rows = [json.dumps(event(n, subject="acme", time=NOON, generated=100)) for n in range(3)]
    rows += ["", "{broken", json.dumps(event(9, subject="acme", time=datetime(1999, 1, 1, tzinfo=UTC), generated=1))]
    (tmp_path / "old.ndjson").write_text("\n".join(rows))

    with pytest.raises(CommandError, match="2 events were not taken"):
        call_command("backfill", str(tmp_path / "old.ndjson"), label="January again")
    said = capsys.readouterr()
    assert "5 events: 3 accepted, 0 duplicate, 0 conflict, 2 rejected." in said.out
    assert "event 4 (None): event.malformed_json" in said.err
    assert Batch.objects.get(label="January again").origin == "backfill"

    (tmp_path / "old.ndjson").write_text("\n".join(rows[:3]))
    call_command("backfill", str(tmp_path / "old.ndjson"), label="once more")
    assert "3 duplicate" in capsys.readouterr().out
    assert [line.amount.amount for line in billed(acme, MAY).lines.filter(revision=2)] == [Decimal(3)]
