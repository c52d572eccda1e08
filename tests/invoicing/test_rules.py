"""The pure rules of the bill, by example; ``tests/properties/test_invoicing.py`` has what holds for all values."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from moneyed import CURRENCIES, Money

from billing_ops.kit.money import BadAmount, quantum
from billing_ops.kit.periods import Period
from invoicing.rules import due, lines, settlement, totals
from plans.rules.prices import PriceTerms, Tier
from plans.rules.specs import CurrencyNotChargeable, PriceSpec, VersionSpec, check_publishable

JANUARY = Period(datetime(2025, 1, 1, tzinfo=UTC), datetime(2025, 2, 1, tzinfo=UTC))
THIRD = PriceTerms("per_unit", "USD", Decimal("0.333333333333"))


def decimals(*texts: str) -> list[Decimal]:
    return [Decimal(text) for text in texts]


def test_roundings_telescope() -> None:
    """0.33, then 0.34: together the 0.67 of the whole period."""
    first = lines.usage(THIRD, Decimal(1), lines.Billed())
    second = lines.usage(THIRD, Decimal(2), lines.Billed(1, first.unrounded, first.amount))
    assert (first.amount, first.revision, first.rule) == (Decimal("0.33"), 1, "cumulative_usage")
    assert (second.amount, second.revision, second.rule) == (Decimal("0.34"), 2, "difference_to_billed_usage")
    assert first.amount + second.amount == lines.usage(THIRD, Decimal(2), lines.Billed()).amount
    assert (second.quantity, second.cumulative) == (Decimal(2), Decimal("0.666666666666"))


def test_a_line_is_rounded_once_half_away_from_zero() -> None:
    for quantity, amount in ((1, "0.01"), (3, "0.02"), (5, "0.03")):
        terms = PriceTerms("per_unit", "USD", Decimal("0.005"))
        assert lines.usage(terms, Decimal(quantity), lines.Billed()).amount == Decimal(amount)
    yen = lines.usage(PriceTerms("per_unit", "JPY", Decimal("0.5")), Decimal(1), lines.Billed())
    assert (yen.amount, yen.unrounded) == (Decimal(1), Decimal("0.5"))
    dinar = lines.usage(PriceTerms("per_unit", "KWD", Decimal("0.0005")), Decimal(1), lines.Billed())
    assert dinar.amount == Decimal("0.001")


def test_a_difference_can_be_zero_or_negative() -> None:
    billed = lines.Billed(1, Decimal(5), Decimal(5))
    cents = PriceTerms("per_unit", "USD", Decimal("0.01"))
    assert lines.usage(cents, Decimal(500), billed).amount == 0
    less = lines.usage(cents, Decimal(200), billed)
    assert (less.amount, less.unrounded, less.cumulative) == (Decimal(-3), Decimal(-3), Decimal(2))


def test_more_taken_back_than_used_is_rated_as_nothing() -> None:
    terms = PriceTerms("graduated", "USD", tiers=(Tier(None, Decimal(1), Decimal("2.50")),))
    line = lines.usage(terms, Decimal(-7), lines.Billed(1, Decimal(4), Decimal(4)))
    assert (line.quantity, line.cumulative, line.amount) == (Decimal(-7), Decimal("2.50"), Decimal("-1.50"))


def test_a_fee_is_earned_by_the_second() -> None:
    fee = Decimal("26784.00")  # one cent a second
    assert [lines.earned(fee, JANUARY, JANUARY.start + timedelta(seconds=n)) for n in (0, 1, 100)] == decimals(
        "0", "0.01", "1"
    )
    assert lines.earned(fee, JANUARY, JANUARY.start - timedelta(days=1)) == 0
    assert lines.earned(fee, JANUARY, JANUARY.end - timedelta(seconds=1)) == fee - Decimal("0.01")
    assert lines.earned(fee, JANUARY, JANUARY.end) == lines.earned(fee, JANUARY, JANUARY.end + timedelta(1)) == fee
    assert lines.earned(Decimal(1), JANUARY, JANUARY.start + timedelta(days=10)) == Decimal("0.322580645161")
    assert lines.earned(Decimal(0), JANUARY, JANUARY.end) == 0


@pytest.mark.parametrize(
    ("amounts", "needs"),
    [
        (["10", "5"], ["10", "5"]),
        (["10", "-15", "20"], ["10", "0", "5"]),
        (["-15", "20", "10"], ["0", "15", "0"]),
        (["10", "-15"], ["0", "0"]),
        (["0", "3"], ["0", "3"]),
        ([], []),
    ],
)
def test_credit_is_needed_for_what_the_invoice_charges_in_all(amounts: list[str], needs: list[str]) -> None:
    assert totals.remaining_need(decimals(*amounts)) == decimals(*needs)


def test_an_invoice_adds_up_in_the_documented_order() -> None:
    rows = [
        totals.LineTotal(Decimal(100), Decimal(30), Decimal("13.30")),
        totals.LineTotal(Decimal("-5.00"), Decimal(0), Decimal("-0.95")),
    ]
    sums = totals.add_up(rows, customer_balance=Decimal(10))
    assert (sums.subtotal, sums.credits_applied, sums.tax_total, sums.total) == (
        Decimal(95),
        Decimal(30),
        Decimal("12.35"),
        Decimal("77.35"),
    )
    assert (sums.balance_applied, sums.amount_due) == (Decimal(10), Decimal("67.35"))


@pytest.mark.parametrize(
    ("total", "balance", "applied", "is_due"),
    [
        ("20", "0", "0", "20"),
        ("20", "5", "5", "15"),
        ("20", "20", "20", "0"),
        ("20", "50", "20", "0"),
        ("0", "50", "0", "0"),
        ("-3", "0", "-3", "0"),
        ("-3", "50", "-3", "0"),
        ("20", "-1", "0", "20"),
    ],
)
def test_an_invoice_is_never_due_below_zero(total: str, balance: str, applied: str, is_due: str) -> None:
    sums = totals.add_up([totals.LineTotal(Decimal(total), Decimal(0), Decimal(0))], customer_balance=Decimal(balance))
    assert (sums.balance_applied, sums.amount_due) == (Decimal(applied), Decimal(is_due))


@pytest.mark.parametrize(
    ("amount", "opened", "parts", "excess"),
    [
        ("20", ["20"], [("20", True)], "0"),
        ("10.49", ["10", "0.49"], [("10", True), ("0.49", True)], "0"),
        ("10", ["10", "0.49"], [("10", True), ("0", False)], "0"),
        ("25", ["20"], [("20", True)], "5"),
        ("5", ["20"], [("5", False)], "0"),
        ("5", ["0", "-1"], [("0", False), ("0", False)], "5"),
        ("5", [], [], "5"),
    ],
)
def test_a_payment_is_spread_in_order(
    amount: str, opened: list[str], parts: list[tuple[str, bool]], excess: str
) -> None:
    spread = settlement.spread(Decimal(amount), decimals(*opened))
    assert [(one.amount, one.settles) for one in spread.parts] == [(Decimal(one), settles) for one, settles in parts]
    assert (spread.excess, spread.applied) == (Decimal(excess), Decimal(amount) - Decimal(excess))


@pytest.mark.parametrize(
    ("amount", "currency", "small"),
    [("0.49", "USD", True), ("0.50", "USD", False), ("49", "JPY", True), ("50", "JPY", False), ("0.001", "KWD", False)],
)
def test_the_processors_minimum(amount: str, currency: str, small: bool) -> None:
    assert settlement.too_small_to_charge(Decimal(amount), currency) is small


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [
        ("19.99", "USD", 1999),
        ("-3.00", "EUR", -300),
        ("120", "JPY", 120),
        ("12.310", "KWD", 12_310),
        ("-0.010", "TND", -10),
        ("500", "ISK", 50_000),
        ("500", "UGX", 50_000),
        ("500", "MGA", 500),
        ("500", "HUF", 50_000),
        ("0", "USD", 0),
    ],
)
def test_the_processor_counts_in_its_own_minor_units(amount: str, currency: str, minor: int) -> None:
    money = Money(amount, currency)
    assert settlement.to_processor(money) == minor
    assert settlement.from_processor(minor, currency) == money


@pytest.mark.parametrize(("amount", "currency"), [("0.001", "USD"), ("1.50", "MGA"), ("0.5", "JPY"), ("12.312", "KWD")])
def test_what_the_processor_cannot_count_is_refused(amount: str, currency: str) -> None:
    with pytest.raises(BadAmount):
        settlement.to_processor(Money(amount, currency))


@pytest.mark.parametrize("currency", sorted(CURRENCIES))
def test_what_a_plan_may_be_priced_in_is_what_the_processor_can_count(currency: str) -> None:
    """To the last minor unit, which an invoice may well be due."""
    spec = VersionSpec(currency, (PriceSpec("fee", "Fee", "flat", Decimal(1)),))
    try:
        settlement.to_processor(Money(quantum(currency), currency))
    except BadAmount:
        with pytest.raises(CurrencyNotChargeable):
            check_publishable(spec)
    else:
        check_publishable(spec)


def test_a_trigger_names_its_edge_in_utc() -> None:
    assert due.trigger_of_edge(JANUARY.end) == "edge:2025-02-01T00:00:00Z"
    long = due.trigger_of_late_usage("s" * 128, JANUARY.end)
    assert len(long) <= 64
    assert long != due.trigger_of_late_usage("s" * 127, JANUARY.end)


DAY = timedelta(days=1)


def test_a_fee_is_owed_by_who_is_there_when_the_period_begins() -> None:
    at = JANUARY.start
    assert due.owed_in_advance(JANUARY, starts_at=at, ends_at=None) == JANUARY
    assert due.owed_in_advance(JANUARY, starts_at=at + DAY, ends_at=None) is None
    assert due.owed_in_advance(JANUARY, starts_at=at - DAY, ends_at=at) is None
    assert due.owed_in_advance(JANUARY, starts_at=at - DAY, ends_at=at + DAY) == JANUARY
    assert due.owed_in_advance(None, starts_at=at, ends_at=None) is None


def test_usage_is_owed_for_the_time_an_item_was_there() -> None:
    start, end = JANUARY.start, JANUARY.end
    assert due.owed_in_arrears(JANUARY, starts_at=start - DAY, ends_at=None) == JANUARY
    assert due.owed_in_arrears(JANUARY, starts_at=start + DAY, ends_at=end - DAY) == Period(start + DAY, end - DAY)
    assert due.owed_in_arrears(JANUARY, starts_at=end, ends_at=None) is None
    assert due.owed_in_arrears(JANUARY, starts_at=start - DAY, ends_at=start) is None
    assert due.owed_in_arrears(None, starts_at=start, ends_at=None) is None
