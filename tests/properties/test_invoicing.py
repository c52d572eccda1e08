"""What holds for every bill, whatever was used, when it was told and how much there is to pay with."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing_ops.kit.money import exponent, round_amount
from billing_ops.kit.periods import Period, billing_period
from invoicing.rules import due, lines, settlement, totals
from plans.rules.prices import PriceTerms, Tier

ZERO = Decimal(0)
START = datetime(2025, 1, 1, tzinfo=UTC)

currencies = st.sampled_from(["USD", "JPY", "KWD"])
rates = st.decimals(0, 100, places=12)
quantities = st.decimals(-1000, 10**9, places=3)
cents = st.integers(-(10**9), 10**9).map(lambda one: Decimal(one).scaleb(-2))
positive_cents = st.integers(0, 10**9).map(lambda one: Decimal(one).scaleb(-2))
instants = st.integers(-(10**7), 10**7).map(lambda seconds: START + timedelta(seconds=seconds))


@st.composite
def prices(draw: st.DrawFn) -> PriceTerms:
    """Per unit or graduated, with included units and flat amounts."""
    currency = draw(currencies)
    included = draw(st.sampled_from([ZERO, Decimal(100)]))
    if draw(st.booleans()):
        return PriceTerms("per_unit", currency, draw(rates), included)
    bounds = sorted(draw(st.sets(st.integers(1, 10**6), max_size=3)))
    tiers = tuple(Tier(Decimal(bound), draw(rates), draw(rates)) for bound in bounds)
    return PriceTerms("graduated", currency, None, included, (*tiers, Tier(None, draw(rates), draw(rates))))


@given(prices(), st.lists(quantities, min_size=1, max_size=6))
def test_any_number_of_revisions_adds_up_to_one_bill(terms: PriceTerms, cumulative: list[Decimal]) -> None:
    """Usage becomes known bit by bit (or is taken back): the lines add up to one of the last state."""
    billed, made = lines.Billed(), []
    for quantity in cumulative:
        line = lines.usage(terms, quantity, billed)
        billed = lines.Billed(line.revision, billed.exact + line.unrounded, billed.rounded + line.amount)
        made.append(line)
    once = lines.usage(terms, cumulative[-1], lines.Billed())
    assert sum((line.amount for line in made), ZERO) == once.amount
    assert sum((line.unrounded for line in made), ZERO) == once.unrounded == made[-1].cumulative
    assert [line.revision for line in made] == list(range(1, len(made) + 1))
    assert once.amount == round_amount(once.unrounded, terms.currency)
    assert abs(once.amount - once.unrounded) * 2 <= Decimal(1).scaleb(-exponent(terms.currency))


@given(prices(), quantities)
def test_the_working_of_a_line_adds_up(terms: PriceTerms, quantity: Decimal) -> None:
    line = lines.usage(terms, quantity, lines.Billed())
    exact = sum((Decimal(step["amount"]) for step in line.working), ZERO)
    assert abs(exact - line.cumulative) <= Decimal("5E-13")


@given(st.lists(cents, max_size=8))
def test_credit_never_exceeds_what_is_charged_in_all(amounts: list[Decimal]) -> None:
    needs = totals.remaining_need(amounts)
    assert sum(needs, ZERO) == max(sum(amounts, ZERO), ZERO)
    assert all(0 <= need <= max(amount, ZERO) for need, amount in zip(needs, amounts, strict=True))


@given(st.lists(st.tuples(cents, positive_cents, cents), max_size=6), cents)
def test_the_sums_of_an_invoice_add_up_and_are_never_due_below_zero(
    rows: list[tuple[Decimal, Decimal, Decimal]], balance: Decimal
) -> None:
    sums = totals.add_up([totals.LineTotal(*row) for row in rows], customer_balance=balance)
    assert sums.total == sums.subtotal - sums.credits_applied + sums.tax_total
    assert sums.amount_due == sums.total - sums.balance_applied >= 0
    if sums.total < 0:
        assert sums.balance_applied == sums.total
    else:
        assert 0 <= sums.balance_applied <= max(balance, ZERO)
        assert not (sums.amount_due and balance > sums.balance_applied)  # nothing is due while there is balance


@given(positive_cents, st.lists(cents, max_size=6))
def test_a_payment_is_spread_to_the_cent(amount: Decimal, opened: list[Decimal]) -> None:
    spread = settlement.spread(amount, opened)
    assert sum((part.amount for part in spread.parts), ZERO) == spread.applied == amount - spread.excess
    left = amount
    for part, due_amount in zip(spread.parts, opened, strict=True):
        assert part.amount == max(min(left, due_amount), ZERO)
        assert part.settles == (due_amount > 0 and part.amount == due_amount)
        left -= part.amount
    assert spread.excess == left >= 0


@given(positive_cents, st.integers(1, 10**7), st.lists(instants, min_size=1, max_size=6))
def test_a_fee_is_earned_once_whenever_it_is_looked_at(amount: Decimal, seconds: int, looks: list[datetime]) -> None:
    period = Period(START, START + timedelta(seconds=seconds))
    earned = [lines.earned(amount, period, at) for at in sorted(looks)]
    assert earned == sorted(earned)
    assert all(0 <= one <= amount for one in earned)
    assert lines.earned(amount, period, period.start) == 0
    assert lines.earned(amount, period, period.end) == amount


@given(st.integers(0, 400), st.one_of(st.none(), st.integers(1, 400)), st.integers(1, 12))
def test_the_service_periods_of_usage_tile_an_items_life(start: int, length: int | None, months: int) -> None:
    """No instant of an item's life is billed twice or never, and none outside it."""
    starts_at = START + timedelta(days=start, hours=5)
    ends_at = None if length is None else starts_at + timedelta(days=length)
    periods = [billing_period(START, number, "Europe/Berlin") for number in range(months)]
    spans = [due.owed_in_arrears(one, starts_at=starts_at, ends_at=ends_at) for one in periods]
    found = [span for span in spans if span is not None]
    assert all(before.end == after.start for before, after in pairwise(found))
    horizon = periods[-1].end
    last = horizon if ends_at is None else min(ends_at, horizon)
    if starts_at < last:
        assert (found[0].start, found[-1].end) == (starts_at, last)
    else:
        assert found == []
