"""Usage that is drawn from credits as it arrives: drawn once, owed once, to the last digit."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from billing_ops.models import FailedWork
from invoicing import accruals, billing, drawdowns, drawing_down, previewing, proving
from invoicing.models import Accrual, Drawdown, InvoiceLine
from ledger import closing, draws
from ledger.models import CreditDraw, Period
from metering import ingesting
from plans import subscribing
from plans.models import Customer, SubscriptionItem
from plans.rules.prices import Tier
from tests.invoicing.drawing import HOUR, TIERED, D, books_of, credit, draw, drawn_price, facts, passed, proven, steps
from tests.invoicing.stories import (
    BILLED,
    CONTEXT,
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    accrue_to,
    billed,
    drafted,
    event,
    fee,
    finalized,
    fold,
    join,
    publish,
    told,
    usage_price,
    used,
)

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture
def acme(books: Any) -> Customer:
    return join(publish("prepaid", TIERED))


def test_usage_is_drawn_as_it_arrives_and_the_rest_is_owed(acme: Customer) -> None:
    credit("10.00")
    used(1, time=NOON, generated=6_000)
    assert draw(NOON + HOUR) == 1
    assert steps() == [(D(5), D(5), D(0))]
    assert draw(NOON + HOUR) == 0, "nothing new, nothing to look at"
    used(2, time=NOON + HOUR, generated=9_000)
    draw(NOON + 2 * HOUR)
    assert steps()[1:] == [(D(7), D(5), D(2))], "5,000 at the first tier's rate, 4,000 at the second's"
    assert (books_of().credits_total, books_of().unbilled) == (D(0), D(2))
    used(3, time=NOON + 2 * HOUR, generated=2_000)
    draw(NOON + 3 * HOUR)
    assert steps()[2:] == [(D(1), D(0), D(1))]
    proven()


def test_the_draw_names_the_usage_and_the_step_the_draw(acme: Customer) -> None:
    credit("10.00")
    used(1, time=NOON, generated=6_000)
    draw(NOON + HOUR)
    (step,) = facts()
    made = CreditDraw.objects.get(usage_ref__startswith="item:")
    item = SubscriptionItem.objects.get()
    assert made.usage_ref == f"item:{item.pk}:2025-01-01T00:00:00Z:{step.watermark}:1"
    assert (made.feature, made.policy, made.used_at, step.used_at) == ("output", "overage", NOON, NOON)
    assert made.entry_id == step.entry_id
    state = step.drawdown
    assert (state.quantity, state.rated, state.accounted, state.steps) == (D(6000), D(5), D(5), 1)
    assert state.watermark == step.watermark > 0


def test_within_the_included_units_nothing_is_drawn(acme: Customer) -> None:
    used(1, time=NOON, generated=1_000)
    assert draw(NOON + HOUR) == 1
    assert steps() == []
    assert Drawdown.objects.get().quantity == 1000
    proven()


def test_without_any_credit_the_usage_is_simply_owed(acme: Customer) -> None:
    used(1, time=NOON, generated=3_000)
    draw(NOON + HOUR)
    assert steps() == [(D(2), D(0), D(2))]
    invoice = billed(acme, MONTH_LATER)
    assert invoice.amount_due.amount == 2
    assert books_of().unbilled == 0
    proven()


def test_a_first_tiers_flat_amount_is_drawn_without_usage(books: Any) -> None:
    tiers = (Tier(D(10), D(1), D("2.50")), Tier(None, D(1)))
    join(publish("flat-tier", replace(TIERED, tiers=tiers, included_units=D(0))))
    credit("10.00", at=START)
    draw(START + HOUR)
    assert steps() == [(D("2.5"), D("2.5"), D(0))]
    assert facts()[0].used_at == START
    used(1, time=NOON, generated=3)
    draw(NOON + HOUR)
    assert steps()[1:] == [(D(3), D(3), D(0))]
    proven()


def test_its_usage_makes_no_line_and_no_accrual_and_its_overage_one_line(acme: Customer) -> None:
    credit("10.00")
    used(1, time=NOON, generated=15_000)
    draw(NOON + HOUR)
    accrue_to(NOON + 2 * HOUR, acme)
    assert not Accrual.objects.exists()
    invoice = billed(acme, MONTH_LATER)
    line = invoice.lines.get()
    assert (line.kind, line.amount.amount, line.unrounded_amount) == ("overage", D(2), D(2))
    assert [(step["rule"], step["amount"], step["quantity"]) for step in line.working] == [("drawdown", "2", "15000")]
    assert line.working[0]["label"] == (
        "Output tokens, 2025-01-01 to 2025-02-01: 15,000 tokens rated 12 USD, 10 drawn from credits, 2 owed"
    )
    assert books_of().unbilled == 0
    told(2, time=NOON, at=MONTH_LATER + timedelta(days=3), generated=1_000)
    (february,) = billed(acme, FEBRUARY_LATER).lines.all()
    assert february.working[0]["label"].endswith(
        "rated 12.5 USD, 10 drawn from credits, 2.5 owed, 0.5 of it since the last bill"
    )
    assert february.amount.amount == D("0.50")
    proven()


def test_the_bill_draws_what_the_task_did_not(acme: Customer) -> None:
    credit("10.00")
    used(1, time=NOON, generated=15_000)
    draft = drafted(acme, MONTH_LATER)
    assert steps() == [(D(12), D(10), D(2))]
    told(2, time=MONTH_LATER - HOUR, at=MONTH_LATER + timedelta(minutes=5), generated=2_000)
    assert draft.auto_finalize_at == BILLED, "the draft waits for late usage"
    invoice = finalized(draft, BILLED)
    assert steps()[1:] == [(D(1), D(0), D(1))]
    assert invoice.amount_due.amount == 3
    proven()


def test_roundings_telescope_over_the_bills(books: Any) -> None:
    acme = join(publish("fine", drawn_price("0.000333"), fee("1.00")))
    used(1, time=NOON, generated=1001)
    first = billed(acme, MONTH_LATER).lines.get(kind="overage")
    told(2, time=NOON, at=MONTH_LATER + timedelta(days=1), generated=1000)
    second = billed(acme, FEBRUARY_LATER).lines.get(kind="overage")
    assert [first.amount.amount, second.amount.amount] == [D("0.33"), D("0.34")]
    assert books_of().unbilled == 0


def test_late_usage_sees_the_credit_that_was_there_when_it_happened(acme: Customer) -> None:
    credit("3.00", key="january", effective_at=START, expires_at=MONTH_LATER)
    credit("5.00", key="february", effective_at=MONTH_LATER)
    passed(acme, MONTH_LATER)
    late = MONTH_LATER + timedelta(hours=6)
    told(1, time=NOON, at=late, generated=5_000)
    draw(late)
    assert steps() == [(D(4), D(3), D(1))], "january's credit, not february's, though it is over by now"
    assert facts()[0].used_at == NOON
    proven()


def test_what_arrives_at_once_is_split_where_credit_begins_and_ends(acme: Customer) -> None:
    turn = START + timedelta(days=15)
    credit("1.00", key="first", effective_at=START, expires_at=turn)
    credit("1.00", key="second", effective_at=turn)
    at = turn + timedelta(days=1)
    told(1, time=turn - HOUR, at=at, generated=2_500)
    told(2, time=turn + HOUR, at=at, generated=500)
    draw(at)
    assert steps() == [(D("1.5"), D(1), D("0.5")), (D("0.5"), D("0.5"), D(0))]
    assert [one.used_at for one in facts()] == [turn - HOUR, turn + HOUR]
    proven()


def test_a_correction_gives_back_the_latest_draws_and_overage_first(acme: Customer) -> None:
    credit("10.00")
    for number, hours in ((1, 0), (2, 1), (3, 2)):
        used(number, time=NOON + hours * HOUR, generated=5_000)
        draw(NOON + hours * HOUR)
    assert steps() == [(D(4), D(4), D(0)), (D(5), D(5), D(0)), (D(3), D(1), D(2))]
    used(4, time=NOON + 3 * HOUR, generated=-9_000)
    draw(NOON + 4 * HOUR)
    assert steps()[3:] == [(D(-3), D(-1), D(-2)), (D(-4), D(-4), D(0))]
    assert (books_of().credits_total, books_of().unbilled) == (D(5), D(0))
    used(5, time=NOON + 5 * HOUR, generated=2_000)
    draw(NOON + 6 * HOUR)
    assert steps()[5:] == [(D(2), D(2), D(0))]
    assert Drawdown.objects.get().rated == 7
    proven()


def test_usage_and_its_correction_that_arrive_together_draw_the_difference(acme: Customer) -> None:
    credit("10.00", key="a", effective_at=START)
    credit("1.00", key="b", effective_at=NOON)
    at = NOON + 2 * HOUR
    told(1, time=NOON - HOUR, at=at, generated=5_000)
    told(2, time=NOON + HOUR, at=at, generated=-2_000)
    draw(at)
    assert [one[0] for one in steps()] == [D(2)]
    proven()


def test_a_correction_of_very_many_draws_goes_on_in_the_next_transaction(
    acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    credit("100.00")
    used(0, time=NOON, generated=1_000)
    for number in range(1, 6):
        used(number, time=NOON + number * HOUR, generated=1_000)
        draw(NOON + number * HOUR)
    monkeypatch.setattr(drawing_down, "RETURNS_AT_ONCE", 2)
    used(9, time=NOON + 6 * HOUR, generated=-5_000)
    at = NOON + 7 * HOUR
    left = []
    while draw(at):
        state = Drawdown.objects.get()
        left.append(state.accounted - state.rated)
    assert left == [3, 1, 0]
    assert drawdowns.violations(at=at) == []
    monkeypatch.setattr(drawing_down, "RETURNS_OF_A_BILL", 1)
    told(10, time=NOON, at=at, generated=3_000)
    draw(at)
    told(11, time=NOON + HOUR, at=at, generated=3_000)
    draw(at)
    told(12, time=NOON + HOUR, at=at, generated=-5_000)
    with pytest.raises(drawing_down.DrawdownBehind):
        drafted(acme, MONTH_LATER)
    proven()


def test_a_top_up_in_between_pays_from_then_on(acme: Customer) -> None:
    credit("1.00", key="little")
    used(1, time=NOON, generated=3_000)
    draw(NOON + HOUR)
    credit("10.00", key="more", at=NOON + 2 * HOUR)
    used(2, time=NOON + 3 * HOUR, generated=3_000)
    draw(NOON + 4 * HOUR)
    assert steps() == [(D(2), D(1), D(1)), (D(3), D(3), D(0))]
    assert (books_of().credits_total, books_of().unbilled) == (D(7), D(1))
    proven()


def test_credit_restricted_to_another_feature_does_not_pay(acme: Customer) -> None:
    credit("10.00", scope=["input"])
    used(1, time=NOON, generated=3_000)
    draw(NOON + HOUR)
    assert steps() == [(D(2), D(0), D(2))]


def test_cancelled_and_ended_the_last_difference_is_on_its_last_bill_and_later_usage_on_its_own(acme: Customer) -> None:
    used(1, time=NOON, generated=3_000)
    subscribing.end(subscription=acme.subscriptions.get(), at=NOON, actor=TESTER)
    assert billed(acme, MONTH_LATER).amount_due.amount == 2
    late = MONTH_LATER + timedelta(days=2)
    told(2, time=NOON, at=late, generated=500)
    told(3, time=late, at=late, generated=7_000)
    assert draw(late) == 1
    assert steps()[1:] == [(D("0.5"), D(0), D("0.5"))], "what was used after the end is charged to nobody"
    billing.bill_overage(at=late, actor=TESTER)
    billing.finalize_due(at=late, actor=TESTER)
    assert [one.amount_due.amount for one in acme.invoices.order_by("pk")] == [2, D("0.50")]
    proven()


def test_preview_unbilled_and_available_know_what_is_not_drawn_yet(acme: Customer) -> None:
    credit("1.00")
    used(1, time=NOON, generated=3_000)
    at = NOON + HOUR
    assert accruals.unbilled(acme, at=at) == {"USD": 2}
    (row,) = draws.available(customer_key="acme", feature="output", at=at, unit="USD")
    assert (row.settled, row.unbilled, row.available) == (D(1), D(2), D(-1))
    (other,) = draws.available(customer_key="acme", feature="input", at=at, unit="USD")
    assert (other.unbilled, other.available) == (D(0), D(1))
    (before,) = previewing.preview(customer=acme, until=MONTH_LATER, at=at)
    draw(at)
    assert accruals.unbilled(acme, at=at) == {"USD": 1}
    (row,) = draws.available(customer_key="acme", feature="output", at=at, unit="USD")
    assert (row.settled, row.unbilled, row.available) == (D(0), D(0), D(0))
    (after,) = previewing.preview(customer=acme, until=MONTH_LATER, at=at)
    assert before.sums == after.sums
    assert after.sums.amount_due == 1
    assert billed(acme, MONTH_LATER).amount_due.amount == 1


def test_arrears_count_as_unbilled_until_their_invoice_is_final(books: Any) -> None:
    acme = join(publish("arrears", usage_price("output", "0.001"), drawn_price("0.002", key="input", meter=CONTEXT)))
    credit("9.00")
    used(1, time=NOON, generated=1_000, context=1_000)

    def unbilled(feature: str, at: datetime) -> Decimal:
        return drawdowns.unbilled(customer_key="acme", feature=feature, unit="USD", at=at)

    assert [unbilled(feature, NOON + HOUR) for feature in ("output", "input", "")] == [1, 2, 3]
    draft = drafted(acme, MONTH_LATER)
    assert [unbilled(feature, MONTH_LATER) for feature in ("output", "input", "")] == [1, 0, 1]
    finalized(draft, BILLED)
    assert unbilled("", BILLED) == 0
    assert drawdowns.unbilled(customer_key="nobody", feature="", unit="USD", at=BILLED) == 0


def test_usage_too_large_to_be_true_is_set_aside_and_drawn_once_it_is_mended(acme: Customer) -> None:
    used(1, time=NOON, generated=3_000)
    draw(NOON + HOUR)
    used(2, time=NOON, generated=10**16)
    draw(NOON + HOUR)
    assert steps() == [(D(2), D(0), D(2))]
    assert FailedWork.objects.get().code == "usage.set_aside"
    used(3, time=NOON, generated=-(10**16) + 1_000)
    draw(NOON + HOUR)
    assert steps()[1:] == [(D(1), D(0), D(1))]
    assert not FailedWork.objects.exists()
    proven()


def test_what_fails_is_kept_in_sight_and_does_not_stop_the_others(
    acme: Customer, monkeypatch: pytest.MonkeyPatch
) -> None:
    join(publish("other", drawn_price("0.001")), "globex")
    used(1, time=NOON, generated=3_000)
    used(2, time=NOON, generated=3_000, subject="globex")
    really = drawing_down.draw_item

    def fails_for_acme(*, item_id: int, **how: Any) -> int:
        if SubscriptionItem.objects.get(pk=item_id).customer == acme:
            raise RuntimeError("no")
        return really(item_id=item_id, **how)

    monkeypatch.setattr(drawing_down, "draw_item", fails_for_acme)
    tally = billing.draw_due(at=NOON + HOUR, actor=TESTER)
    assert (tally.done, tally.failed) == (1, 1)
    assert billing.draw_due(at=NOON + HOUR, actor=TESTER).failed == 0, "it rests"
    monkeypatch.undo()
    draw(NOON + HOUR + timedelta(minutes=2))
    assert sorted(one[0] for one in steps()) == [2, 3]


def test_the_nightly_proof_names_what_does_not_hold_and_forgets_what_was_mended(acme: Customer) -> None:
    used(1, time=NOON, generated=3_000)
    draw(NOON + HOUR)
    assert proving.prove(at=NOON) == 0
    Drawdown.objects.update(rated=1, rated_at=START)
    assert proving.prove(at=NOON) == 1
    (failed,) = FailedWork.objects.all()
    assert "rated 1.0" in failed.message
    Drawdown.objects.update(rated=2)
    assert proving.prove(at=NOON) == 0
    assert not FailedWork.objects.exists()


def test_a_backfill_reaches_a_period_of_long_ago(acme: Customer) -> None:
    for _ in range(4):
        edge = acme.subscriptions.get().due_at
        assert edge is not None
        passed(acme, edge)
    much_later = START + timedelta(days=110)
    draw(much_later)
    ingesting.backfill(
        events=[json.dumps(event(1, subject="acme", time=NOON, generated=3_000)).encode()],
        at=much_later, actor=TESTER, label="forgotten",
    )  # fmt: skip
    fold(much_later)
    draw(much_later + HOUR)
    assert steps() == [(D(2), D(0), D(2))]
    assert facts()[0].used_at == NOON
    assert not InvoiceLine.objects.filter(kind="usage").exists()
    proven(much_later)


def test_late_usage_of_a_closed_month_is_drawn_as_of_its_use_and_booked_in_the_open_one(acme: Customer) -> None:
    credit("1.00", expires_at=MONTH_LATER)
    passed(acme, MONTH_LATER)
    tenth = MONTH_LATER + timedelta(days=9)
    closing.close(period=Period.objects.get(starts_on="2025-01-01"), at=tenth, actor=TESTER)
    told(1, time=NOON, at=tenth, generated=3_000)
    draw(tenth)
    (step,) = facts()
    assert (step.drawn, step.overage, step.used_at) == (D(1), D(1), NOON)
    assert (step.entry.effective_at, step.entry.occurred_at) == (MONTH_LATER, NOON)
    assert billed(acme, FEBRUARY_LATER).amount_due.amount == 1
    proven()


def test_usage_that_no_new_batch_explains_counts_as_used_now(acme: Customer) -> None:
    """A batch may commit after one with a higher id: its events are in the quantity and not behind the watermark."""
    used(1, time=NOON, generated=2_000)
    draw(NOON + HOUR)
    Drawdown.objects.update(watermark=10**9)
    used(2, time=NOON, generated=1_000)
    draw(NOON + 2 * HOUR)
    assert [one.used_at for one in facts()] == [NOON, NOON + 2 * HOUR]
    assert steps()[1:] == [(D(1), D(0), D(1))]
    Drawdown.objects.update(watermark=10**9)
    told(3, time=NOON, at=MONTH_LATER + HOUR, generated=1_000)
    draw(MONTH_LATER + HOUR)
    assert facts()[2].used_at == MONTH_LATER - timedelta(microseconds=1), "the last moment of a period that is over"
    proven()


def test_a_new_period_is_looked_at_within_the_hour_without_any_usage(books: Any) -> None:
    tiers = (Tier(D(10), D(1), D("2.50")), Tier(None, D(1)))
    customer = join(publish("flat-tier", replace(TIERED, tiers=tiers, included_units=D(0))))
    draw(MONTH_LATER - HOUR)
    drafted(customer, MONTH_LATER)
    assert draw(MONTH_LATER - timedelta(minutes=1)) == 0
    assert draw(MONTH_LATER + timedelta(minutes=1)) == 1
    assert [one.used_at for one in facts()] == [START, MONTH_LATER]
    proven()
