"""However usage arrives and whoever looks at it, the same is drawn and owed in total."""

from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest
from django.db import transaction
from django.db.models import Sum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from invoicing import drafting, drawdowns
from invoicing.models import UsageDraw
from ledger import proofs
from tests.invoicing.drawing import TIERED, credit, draw
from tests.invoicing.stories import MONTH_LATER, START, TESTER, join, publish, told

ZERO = Decimal(0)
LATER = MONTH_LATER

used = st.lists(
    st.tuples(
        st.integers(0, 29 * 24),  # the hour of use
        st.one_of(st.integers(1, 20_000), st.integers(-5_000, -1)),
        st.booleans(),  # whether somebody looks after it
    ),
    min_size=1,
    max_size=7,
)
_numbers = count(1)


@pytest.mark.usefixtures("books")
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=used, order=st.randoms(use_true_random=False), credit_cents=st.integers(1, 3_000))
def test_any_slicing_of_arrivals_draws_and_owes_the_same(events: list[Any], order: Any, credit_cents: int) -> None:
    """One customer's usage is looked at once; another's arrives in any order, with looks in between; a third's is only
    looked at by the bill."""
    block = transaction.atomic()
    block.__enter__()
    try:
        mark = next(_numbers)
        plan = publish(f"sliced-{mark}", TIERED)
        names = [f"{name}-{mark}" for name in ("once", "sliced", "billed")]
        customers = {name: join(plan, name) for name in names}
        for name in names:
            credit(str(Decimal(credit_cents).scaleb(-2)), customer=name, key=name)
        shuffled = list(events)
        order.shuffle(shuffled)
        for name, told_events in zip(names, (events, shuffled, events), strict=True):
            for hour, units, look in told_events:
                at = START + timedelta(days=30, hours=1)
                told(next(_numbers), time=START + timedelta(hours=hour), at=at, subject=name, generated=units)
                if look and name == names[1]:
                    draw(at)
        drafting.draft(customer_id=customers[names[2]].pk, edge=LATER, at=LATER, actor=TESTER)
        draw(LATER)
        draw(LATER)
        rated = exact_of(sum(units for _, units, _ in events))
        drawn = min(rated, Decimal(credit_cents).scaleb(-2))
        assert [totals_of(name) for name in names] == [(drawn, rated - drawn)] * len(names)
        assert drawdowns.violations(at=LATER) == []
        assert proofs.violations() == []
    finally:
        transaction.set_rollback(True)
        block.__exit__(None, None, None)


def exact_of(units: int) -> Decimal:
    """1,000 tokens included, then $1.00 a thousand up to 10,000 billable ones, then $0.50 a thousand."""
    billable = max(units - 1_000, 0)
    return Decimal(min(billable, 10_000)).scaleb(-3) + Decimal(max(billable - 10_000, 0)) * Decimal("0.0005")


def totals_of(customer: str) -> tuple[Decimal, Decimal]:
    rows = UsageDraw.objects.filter(drawdown__item__customer__key=customer)
    sums = rows.aggregate(drawn=Sum("drawn", default=ZERO), owed=Sum("overage", default=ZERO))
    return sums["drawn"], sums["owed"]
