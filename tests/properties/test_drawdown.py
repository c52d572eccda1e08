"""However usage arrives and is looked at, the same is drawn in total: rated = drawn + owed, to the last digit."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from invoicing.rules.drawdown import Arrival, exact, slices
from plans.rules.prices import PriceTerms
from tests.properties.test_invoicing import prices

ZERO = Decimal(0)
START = datetime(2025, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=31)

quantities = st.decimals(-1000, 10**6, places=3)
instants = st.integers(0, 2_000_000).map(lambda seconds: START + timedelta(seconds=seconds))
arrivals = st.builds(Arrival, quantities, instants)
looks = st.lists(st.tuples(st.lists(arrivals, max_size=4), quantities), min_size=1, max_size=6)
"""What each look finds: what arrived, and what of the quantity nothing explains."""


@given(prices(), looks)
def test_looks_add_up_to_the_rating_of_all_usage(terms: PriceTerms, found: list[tuple[list[Arrival], Decimal]]) -> None:
    accounted = quantity = ZERO
    for arrived, unexplained in found:
        after = quantity + sum((one.quantity for one in arrived), ZERO) + unexplained
        made = slices(terms, accounted=accounted, before=quantity, after=after, arrivals=arrived, otherwise=LATER)
        rated = exact(terms, after)
        assert all(one.amount > 0 for one in made)
        assert sum((one.amount for one in made), ZERO) == max(rated - accounted, ZERO)
        in_order = iter(_instants(arrived))
        assert all(one.used_at in in_order for one in made), "each as of its own use, in the order of arrival"
        if made:
            assert (made[-1].cumulative, made[0].cumulative - made[0].amount) == (rated, accounted)
        accounted, quantity = rated, after  # what is below was given back
    once = slices(terms, accounted=ZERO, before=ZERO, after=quantity, arrivals=(), otherwise=LATER)
    assert sum((one.amount for one in once), ZERO) == accounted


def _instants(arrived: Sequence[Arrival]) -> list[datetime]:
    return [*(one.last_at for one in arrived), LATER]
