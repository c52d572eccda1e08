"""Rating by example: what stands on an invoice and how it reads."""

from decimal import Decimal

import pytest

from plans.rules.prices import PriceTerms, Tier
from plans.rules.rating import BadQuantity, rate
from plans.rules.wording import amount_text, number_text

CONTEXT = PriceTerms(
    "graduated",
    "USD",
    included_units=Decimal(100_000),
    tiers=(Tier(Decimal(400_000), Decimal("0.000003")), Tier(None, Decimal("0.0000024"))),
)


def _steps(terms: PriceTerms, quantity: str) -> list[tuple[str, str, str]]:
    return [(step.rule, step.label, f"{step.amount.normalize():f}") for step in rate(terms, Decimal(quantity)).steps]


def test_graduated_with_included_units_reads_like_the_price_list() -> None:
    assert _steps(CONTEXT, "750000") == [
        ("included", "first 100,000 included", "0"),
        ("tier 1", "400,000 at $0.000003 = $1.20", "1.2"),
        ("tier 2", "250,000 at $0.0000024 = $0.60", "0.6"),
    ]
    assert rate(CONTEXT, Decimal(750_000)).amount == Decimal("1.8")


def test_the_free_part_is_shown_even_when_nothing_is_owed() -> None:
    assert _steps(CONTEXT, "40000") == [
        ("included", "first 100,000 included, 40,000 used", "0"),
        ("tier 1", "0 at $0.000003 = $0.00", "0"),
    ]


@pytest.mark.parametrize(
    ("quantity", "amount", "steps"),
    [("500000", "1.2", 2), ("500000.000000000001", "1.2000000000000000024", 3), ("100000", "0", 2)],
)
def test_an_upper_bound_belongs_to_its_tier(quantity: str, amount: str, steps: int) -> None:
    rated = rate(CONTEXT, Decimal(quantity))
    assert rated.amount == Decimal(amount)
    assert len(rated.steps) == steps


def test_steps_name_the_units_they_cover_included_ones_counted() -> None:
    spans = [f"{step.from_} – {step.to}" for step in rate(CONTEXT, Decimal(750_000)).steps]
    assert spans == ["0 – 100000", "100000 – 500000", "500000 – None"]


def test_the_first_tiers_flat_amount_is_owed_at_zero_units_and_another_tiers_once_it_is_reached() -> None:
    terms = PriceTerms(
        "graduated",
        "USD",
        tiers=(Tier(Decimal(10), Decimal(1), Decimal(5)), Tier(None, Decimal(2), Decimal(7))),
    )
    amounts = [rate(terms, Decimal(units)).amount for units in ("0", "10", "10.000000000001", "11")]
    assert amounts == [5, 15, Decimal("22.000000000002"), 24]
    assert _steps(terms, "0") == [("tier 1", "0 at $1.00 + $5.00 = $5.00", "5")]


def test_a_zero_priced_tier_is_kept() -> None:
    terms = PriceTerms("graduated", "USD", tiers=(Tier(Decimal(10), Decimal(0)), Tier(None, Decimal(1))))
    assert _steps(terms, "12") == [("tier 1", "10 at $0.00 = $0.00", "0"), ("tier 2", "2 at $1.00 = $2.00", "2")]


def test_flat_is_each_period_for_each_subscribed_unit() -> None:
    terms = PriceTerms("flat", "USD", unit_amount=Decimal(20))
    assert _steps(terms, "1") == [("flat", "$20.00 a period", "20")]
    assert _steps(terms, "3") == [("flat", "3 at $20.00 a period = $60.00", "60")]


def test_per_unit_in_a_currency_without_decimals() -> None:
    terms = PriceTerms("per_unit", "JPY", unit_amount=Decimal("0.25"), included_units=Decimal(2))
    assert _steps(terms, "5") == [("included", "first 2 included", "0"), ("per_unit", "3 at ¥0.25 = ¥0.75", "0.75")]


def test_the_rule_is_named() -> None:
    assert rate(CONTEXT, Decimal(0)).rule == "rating.graduated"


@pytest.mark.parametrize("quantity", ["-1", "-0.000000000001", "NaN", "Infinity", "0.0000000000001"])
def test_what_is_not_a_quantity_is_refused(quantity: str) -> None:
    with pytest.raises(BadQuantity) as refused:
        rate(CONTEXT, Decimal(quantity))
    assert refused.value.code == "quantity.invalid"
    assert refused.value.details["field"] == "quantity"


def test_trailing_zeros_are_not_decimals() -> None:
    assert rate(CONTEXT, Decimal("600000.00000000000000")).amount == Decimal("1.44")


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        ("1.2", "USD", "$1.20"),
        ("0.000003000000", "USD", "$0.000003"),
        ("-1234567.5", "USD", "-$1,234,567.50"),
        ("3", "JPY", "¥3"),
        ("1", "KWD", "KWD\N{NO-BREAK SPACE}1.000"),
        ("-0.00", "EUR", "€0.00"),
    ],
)
def test_amounts_as_a_person_reads_them(amount: str, currency: str, text: str) -> None:
    assert amount_text(Decimal(amount), currency) == text


@pytest.mark.parametrize(
    ("quantity", "text"),
    [("1000000", "1,000,000"), ("1E+3", "1,000"), ("0.250", "0.25"), ("-0.5", "-0.5"), ("-1200", "-1,200")],
)
def test_quantities_as_a_person_reads_them(quantity: str, text: str) -> None:
    assert number_text(Decimal(quantity)) == text
