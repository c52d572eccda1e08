"""Bills below zero, and months of odd lengths and edges."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from moneyed import Money

from invoicing.models import Invoice
from ledger import balances
from plans.models import Subscription
from tests.invoicing.proof import prove
from tests.invoicing.stories import (
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
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
from tests.support.billing import World, ledger_of

APRIL = FEBRUARY_LATER + timedelta(days=31)


def dollars(amount: str) -> Money:
    return Money(amount, "USD")


def test_usage_taken_back_late_goes_to_the_customer_balance_and_pays_the_next_bills(books: World) -> None:
    """A negative event corrects a month that was billed: −3.00; nothing else is owed, then 1.00, then 5.00."""
    acme = join(publish("cents", usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=500)
    paid = billed(acme, MONTH_LATER)
    assert paid.amount_due.amount == 5
    told(2, time=NOON, at=MONTH_LATER + timedelta(days=2), generated=-300)

    february = billed(acme, FEBRUARY_LATER)
    assert by_price(february) == [("tokens", 1, Decimal(0), Decimal(0)), ("tokens", 2, Decimal(200), Decimal(-3))]
    assert (february.total, february.balance_applied, february.amount_due) == (
        dollars("-3.00"),
        dollars("-3.00"),
        dollars("0.00"),
    )
    assert february.status == "paid"
    assert ledger_of(acme).customer_balance == 3

    told(3, time=FEBRUARY_LATER + timedelta(days=1), at=FEBRUARY_LATER + timedelta(days=1), generated=100)
    march = billed(acme, APRIL)
    assert (march.total, march.balance_applied, march.amount_due) == (dollars("1"), dollars("1"), dollars("0"))
    assert march.status == "paid"
    told(4, time=APRIL + timedelta(days=1), at=APRIL + timedelta(days=1), generated=500)
    april = billed(acme, APRIL + timedelta(days=30))
    assert (april.total, april.balance_applied, april.amount_due) == (dollars("5"), dollars("2"), dollars("3"))
    assert (april.status, ledger_of(acme).customer_balance) == ("open", Decimal(0))
    prove()


def test_a_period_with_less_than_nothing_used_costs_nothing(books: World) -> None:
    acme = join(publish("cents", fee("20.00"), usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=-700)
    accrue_to(NOON + timedelta(hours=1), acme)
    invoice = billed(acme, MONTH_LATER)
    assert by_price(invoice) == [
        ("platform", 1, Decimal(1), Decimal(20)),
        ("tokens", 1, Decimal(-700), Decimal(0)),
    ]
    told(2, time=NOON, at=MONTH_LATER + timedelta(days=1), generated=800)
    assert billed(acme, FEBRUARY_LATER).lines.get(revision=2).amount.amount == 1
    prove()


def test_credit_is_not_spent_on_lines_that_another_line_takes_back(books: World) -> None:
    from tests.invoicing.test_credits_and_tax import give

    acme = join(publish("cents", fee("2.00"), usage_price("tokens", "0.01")))
    used(1, time=NOON, generated=500)
    billed(acme, MONTH_LATER)
    told(2, time=NOON, at=MONTH_LATER + timedelta(days=2), generated=-150)
    give("10.00")
    invoice = billed(acme, FEBRUARY_LATER)
    assert (invoice.subtotal, invoice.credits_applied, invoice.amount_due) == (
        dollars("0.50"),
        dollars("0.50"),
        dollars("0.00"),
    )
    assert ledger_of(acme).credits_total == Decimal("9.50")
    prove()


ZONES = {
    "Asia/Kathmandu": timedelta(hours=5, minutes=45),
    "America/St_Johns": timedelta(hours=-3, minutes=-30),
}


@pytest.mark.parametrize("zone", ZONES)
def test_a_month_is_the_customers_month(books: World, zone: str) -> None:
    """Edges that lie within an hour are cut from raw events, to the microsecond."""
    starts = datetime(2025, 2, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    ends = datetime(2025, 3, 1, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    assert starts == datetime(2025, 2, 1, tzinfo=UTC) - ZONES[zone]
    acme = join(publish("cents", usage_price("tokens", "0.01")), starts_at=starts, time_zone=zone)
    tick = timedelta(microseconds=1)
    for number, (time, generated) in enumerate(
        [(starts - tick, 1), (starts, 10), (starts + timedelta(minutes=15), 100), (ends - tick, 1000), (ends, 10_000)]
    ):
        told(number, time=time, at=ends, generated=generated)
    accrue_to(ends, acme)
    invoice = billed(acme, ends)
    line = invoice.lines.get()
    assert (line.service_start, line.service_end, line.quantity) == (starts, ends, Decimal(1110))
    prove(all_final=False)


@pytest.mark.parametrize(("month", "hours"), [(3, 31 * 24 - 1), (10, 31 * 24 + 1), (7, 31 * 24)])
def test_a_month_with_a_clock_change_is_an_hour_shorter_or_longer(books: World, month: int, hours: int) -> None:
    berlin = ZoneInfo("Europe/Berlin")
    starts = datetime(2025, month, 1, tzinfo=berlin).astimezone(UTC)
    ends = datetime(2025, month + 1, 1, tzinfo=berlin).astimezone(UTC)
    assert ends - starts == timedelta(hours=hours)
    acme = join(publish("fee", fee(str(hours))), starts_at=starts, time_zone="Europe/Berlin")
    assert Subscription.objects.get(customer=acme).due_at == ends
    (line,) = acme.invoices.get().lines.all()
    assert (line.service_start, line.service_end) == (starts, ends)
    accrue_to(starts + timedelta(hours=1), acme)
    assert balances.account_total(code="4010", unit="USD") == 1  # by the second of the real month
    accrue_to(ends, acme)
    assert ledger_of(acme).deferred == 0
    prove()


def test_day_31_comes_back_after_short_months(books: World) -> None:
    starts = datetime(2025, 1, 31, tzinfo=UTC)
    acme = join(publish("fee", fee("20.00")), starts_at=starts)
    for edge in ("2025-02-28", "2025-03-31", "2025-04-30"):
        finalized(drafted(acme, datetime.fromisoformat(f"{edge}T00:00+00:00")), starts + timedelta(days=100))
    spans = Invoice.objects.order_by("pk").values_list("lines__service_start", "lines__service_end")
    days = [(f"{start:%m-%d}", f"{end:%m-%d}") for start, end in spans]
    assert days == [("01-31", "02-28"), ("02-28", "03-31"), ("03-31", "04-30"), ("04-30", "05-31")]
    prove()
