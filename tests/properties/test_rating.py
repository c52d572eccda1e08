"""Rating against a fold that counts every unit by itself."""

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billing_ops.kit.money import round_amount
from plans.rules.prices import PriceTerms, Tier
from plans.rules.rating import difference, rate
from plans.rules.terms import check_terms

UNIT_AMOUNTS = st.one_of(
    st.just(Decimal(0)),
    st.decimals(min_value=0, max_value=10**4, places=12),
    st.decimals(min_value=0, max_value=100, places=2),
    st.just(Decimal("9999999999999999.999999999999")),
)
QUANTITIES = st.one_of(
    st.integers(0, 60).map(Decimal),
    st.decimals(min_value=0, max_value=60, places=12),
    st.decimals(min_value=0, max_value=10**20, places=12),
)


@st.composite
def ladders(draw: st.DrawFn, whole: bool = False) -> tuple[Tier, ...]:
    """Sound tiers: ascending bounds below 60, the last one open."""
    bounds = draw(st.lists(st.integers(1, 50), max_size=4, unique=True).map(sorted))
    scale = Decimal(1) if whole else draw(st.sampled_from([Decimal(1), Decimal("0.000000000001"), Decimal("1.5")]))
    limits: list[Decimal | None] = [Decimal(bound) * scale for bound in bounds]
    flats = st.one_of(st.just(Decimal(0)), st.decimals(min_value=0, max_value=50, places=2))
    return tuple(Tier(limit, draw(UNIT_AMOUNTS), draw(flats)) for limit in [*limits, None])


@st.composite
def any_terms(draw: st.DrawFn) -> PriceTerms:
    model = draw(st.sampled_from(["flat", "per_unit", "graduated"]))
    included = Decimal(0) if model == "flat" else draw(st.one_of(st.just(Decimal(0)), QUANTITIES.map(lambda q: q % 50)))
    if model == "graduated":
        return PriceTerms("graduated", "USD", included_units=included, tiers=draw(ladders()))
    return PriceTerms(model, "USD", unit_amount=draw(UNIT_AMOUNTS), included_units=included)  # type: ignore[arg-type]


def _decimal(value: Fraction) -> Decimal:
    """A fraction of at most twelve decimals, without the rounding of a decimal context."""
    scaled = value * 10**12
    assert scaled.denominator == 1
    return Decimal((0, tuple(map(int, str(scaled.numerator))), -12))


def _unit_by_unit(terms: PriceTerms, quantity: int) -> Fraction:
    """The naive fold: walk the billable units one by one and pay each at the tier it lies in."""
    total = Fraction(terms.tiers[0].flat_amount)
    reached = {0}
    for unit in range(1, quantity - int(terms.included_units) + 1):
        for index, tier in enumerate(terms.tiers):
            if tier.up_to is None or unit <= tier.up_to:
                total += Fraction(tier.unit_amount)
                if index not in reached:
                    reached.add(index)
                    total += Fraction(tier.flat_amount)
                break
    return total


@given(ladders(whole=True), st.integers(0, 20), st.integers(0, 90))
def test_graduated_is_the_sum_of_its_units(tiers: tuple[Tier, ...], included: int, quantity: int) -> None:
    terms = PriceTerms("graduated", "USD", included_units=Decimal(included), tiers=tiers)
    assert Fraction(rate(terms, Decimal(quantity)).amount) == _unit_by_unit(terms, quantity)


@given(any_terms(), QUANTITIES, QUANTITIES)
def test_more_usage_never_costs_less(terms: PriceTerms, one: Decimal, other: Decimal) -> None:
    check_terms(terms)
    less, more = sorted((one, other))
    assert rate(terms, less).amount <= rate(terms, more).amount


@given(any_terms(), QUANTITIES)
def test_the_working_adds_up_and_covers_the_quantity(terms: PriceTerms, quantity: Decimal) -> None:
    rated = rate(terms, quantity)
    assert Fraction(rated.amount) == sum(Fraction(step.amount) for step in rated.steps)
    assert sum(Fraction(step.quantity) for step in rated.steps) == Fraction(quantity)
    for step in rated.steps:
        exact = Fraction(step.quantity) * Fraction(step.unit_amount) + Fraction(step.flat_amount)
        assert Fraction(step.amount) == exact
    for before, after in pairwise(rated.steps):
        assert before.to == after.from_


@given(any_terms(), st.lists(QUANTITIES, min_size=2, max_size=8))
def test_differences_telescope_exactly_and_when_rounded(terms: PriceTerms, points: list[Decimal]) -> None:
    exact = sum((Fraction(difference(terms, a, b)) for a, b in pairwise(points)), Fraction(0))
    whole = Fraction(rate(terms, points[-1]).amount) - Fraction(rate(terms, points[0]).amount)
    assert exact == whole
    # Bills of a period re-rated on its cumulative usage: each bills the rounded total less what was billed before.
    totals = [Fraction(round_amount(rate(terms, point).amount, "USD")) for point in points]
    billed = [totals[0], *(after - before for before, after in pairwise(totals))]
    assert sum(billed) == totals[-1]
    for bill, (before, after) in zip(billed[1:], pairwise(points), strict=True):
        assert abs(bill - Fraction(difference(terms, before, after))) <= Fraction(1, 100)


@given(UNIT_AMOUNTS, QUANTITIES, QUANTITIES)
def test_one_open_tier_is_per_unit(unit_amount: Decimal, included: Decimal, quantity: Decimal) -> None:
    included %= 10**19
    graduated = PriceTerms("graduated", "USD", included_units=included, tiers=(Tier(None, unit_amount),))
    per_unit = PriceTerms("per_unit", "USD", unit_amount=unit_amount, included_units=included)
    assert rate(graduated, quantity).amount == rate(per_unit, quantity).amount


@given(any_terms(), QUANTITIES)
def test_included_units_are_free_and_come_first(terms: PriceTerms, quantity: Decimal) -> None:
    if terms.model == "flat":
        return
    bare = PriceTerms(terms.model, "USD", unit_amount=terms.unit_amount, tiers=terms.tiers)
    assert rate(terms, min(quantity, terms.included_units)).amount == rate(bare, Decimal(0)).amount
    beyond = max(Fraction(quantity) - Fraction(terms.included_units), Fraction(0))
    assert rate(terms, quantity).amount == rate(bare, _decimal(beyond)).amount


@given(st.integers(0, 10**26), st.integers(1, 10**28 - 1))
def test_24_decimals_are_kept(quantity: int, price: int) -> None:
    terms = PriceTerms("per_unit", "USD", unit_amount=_decimal(Fraction(price, 10**12)))
    units = _decimal(Fraction(quantity, 10**12))
    assert Fraction(rate(terms, units).amount) == Fraction(quantity * price, 10**24)
