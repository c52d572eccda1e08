"""Prepaid tokens from beginning to end, as finance reads it."""

from datetime import timedelta
from typing import Any

import pytest
from moneyed import Money

from ledger import crediting
from tests.invoicing.drawing import HOUR, TIERED, D, books_of, draw, proven
from tests.invoicing.stories import (
    BILLED,
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    billed,
    fee,
    join,
    publish,
    told,
    used,
)
from tests.invoicing.test_golden import compare
from tests.support.billing import World


@pytest.fixture(autouse=True)
def _holds_at_the_end(books: World) -> Any:
    yield
    proven()


def prepaid(amount: str, key: str, at: Any) -> None:
    """Credit that was bought before."""
    crediting.carry_over(
        customer_key="acme",
        kind="paid",
        amount=Money(amount, "USD"),
        reason_code="migration",
        actor=TESTER,
        at=at,
        key=key,
    )


def test_prepaid_tokens_run_out_are_corrected_topped_up_and_told_late() -> None:
    acme = join(publish("prepaid", fee("20.00"), TIERED), name="Acme Corp", country="US")
    prepaid("10.00", "first", START)
    for number, units in enumerate((4_000, 5_000, 3_000, 4_000)):  # across the tier at 11,000, and beyond the credit
        used(number, time=NOON + number * HOUR, generated=units)
        draw(NOON + number * HOUR + HOUR / 2)
    used(9, time=NOON + 4 * HOUR, generated=-1_500)  # one request was counted twice
    draw(NOON + 5 * HOUR)
    january = billed(acme, MONTH_LATER)
    assert january.lines.get(kind="overage").amount.amount == D("1.75")
    prepaid("3.00", "second", MONTH_LATER + timedelta(days=2))
    at = MONTH_LATER + timedelta(days=3)
    used(10, time=at, generated=2_500)
    told(11, time=NOON, at=at + HOUR, generated=2_001)  # january's: it sees no credit of february
    draw(at + HOUR)
    assert books_of().credits_total == D("1.50")
    february = billed(acme, FEBRUARY_LATER)
    assert february.lines.get(kind="overage").amount.amount == D("1.00")
    compare("prepaid_tokens", january, february)
    assert books_of().unbilled == 0
    assert january.finalized_at == BILLED
