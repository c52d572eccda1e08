"""Usage that cannot be true stops nothing: fees and other meters are billed, it is set aside, shown, and mended."""

from datetime import timedelta
from decimal import Decimal

import pytest

from billing_ops.models import FailedWork
from invoicing import accruals, billing, previewing
from tests.invoicing.proof import prove
from tests.invoicing.stories import (
    BILLED,
    CONTEXT,
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
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
from tests.support.billing import World

LARGEST = 10**20 - 1
"""The largest number that an event may carry."""


@pytest.mark.parametrize("unit_amount", ["0.000001", "1.00", "9999999999999"])
def test_an_absurd_quantity_stops_neither_the_fee_nor_another_meter(books: World, unit_amount: str) -> None:
    both = publish(
        "both", fee("20.00"), usage_price("tokens", unit_amount), usage_price("context", "0.01", meter=CONTEXT)
    )
    acme = join(both)
    used(1, time=NOON, context=300)
    accrue_to(NOON, acme)
    used(2, time=NOON, generated=LARGEST)
    accrue_to(NOON + timedelta(hours=1), acme)
    assert previewing.preview(customer=acme, until=MONTH_LATER, at=NOON)
    assert accruals.unbilled(acme, at=NOON + timedelta(hours=1)) == {"USD": Decimal(3)}

    tally = billing.draft_due(until=MONTH_LATER, at=MONTH_LATER, actor=TESTER)
    assert (tally.done, tally.failed) == (1, 0)
    assert billing.finalize_due(at=BILLED, actor=TESTER).done == 1
    february = acme.invoices.latest("pk")
    assert february.amount_due.amount == Decimal(23)
    assert [row[3] for row in by_price(february) if row[0] == "tokens"] == [0]
    assert "set aside" in february.lines.get(price__key="tokens").description
    (failed,) = FailedWork.objects.all()
    assert (failed.code, failed.customer_key) == ("usage.set_aside", "acme")
    prove()

    told(3, time=NOON + timedelta(hours=1), at=BILLED + timedelta(days=1), generated=-LARGEST)
    told(4, time=NOON + timedelta(hours=1), at=BILLED + timedelta(days=1), generated=1)
    march = billed(acme, FEBRUARY_LATER)
    (mended,) = march.lines.filter(revision=2)
    assert mended.cumulative_amount == Decimal(unit_amount) or mended.rule == "usage_set_aside"
    prove()


def test_a_billed_period_that_becomes_absurd_stays_as_it_was_billed_until_it_is_mended(books: World) -> None:
    acme = join(publish("cents", usage_price("tokens", "1.00")))
    used(1, time=NOON, generated=5)
    draft = drafted(acme, MONTH_LATER)
    told(2, time=NOON, at=MONTH_LATER, generated=LARGEST)
    assert by_price(finalized(draft, BILLED))[0][3] == 0, "absurd between draft and bill"
    assert FailedWork.objects.count() == 1
    told(3, time=NOON, at=BILLED + timedelta(days=1), generated=-LARGEST)
    march = billed(acme, FEBRUARY_LATER)
    assert [line.amount.amount for line in march.lines.filter(revision=2)] == [Decimal(5)]
    assert not FailedWork.objects.exists(), "mended work is no longer shown"
    told(4, time=FEBRUARY_LATER - timedelta(days=1), at=FEBRUARY_LATER + timedelta(days=2), generated=LARGEST)
    april = billed(acme, FEBRUARY_LATER + timedelta(days=31))
    (aside,) = april.lines.filter(service_start=MONTH_LATER)
    assert (aside.revision, aside.amount.amount, aside.rule) == (2, Decimal(0), "usage_set_aside")
    assert FailedWork.objects.count() == 1
    prove()
