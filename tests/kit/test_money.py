"""One module rounds, splits and parses money."""

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from moneyed import Money

from billing_ops.kit import money
from billing_ops.kit.money import BadAmount, BadCurrency

CURRENCIES = st.sampled_from(["USD", "JPY", "KWD", "EUR"])
AMOUNTS = st.decimals(min_value=-(10**12), max_value=10**12, places=12)


def _cents(code: str) -> st.SearchStrategy[Decimal]:
    return st.integers(-(10**12), 10**12).map(lambda minor: money.from_minor(minor, code).amount)


@pytest.mark.parametrize(("code", "decimals"), [("JPY", 0), ("USD", 2), ("KWD", 3), ("MGA", 2), ("XOF", 0)])
def test_decimals_of_a_currency(code: str, decimals: int) -> None:
    assert money.exponent(code) == decimals
    assert money.quantum(code) == Decimal(1).scaleb(-decimals)


@pytest.mark.parametrize("code", ["usd", "", "US", "840", "USDX", "$", None])
def test_an_unknown_currency_is_refused(code: str) -> None:
    with pytest.raises(BadCurrency) as refused:
        money.currency(code)
    assert refused.value.details["field"] == "currency"


@pytest.mark.parametrize(
    ("exact", "code", "rounded"),
    [
        ("0.005", "USD", "0.01"),
        ("-0.005", "USD", "-0.01"),
        ("0.004999999999", "USD", "0.00"),
        ("2.675", "USD", "2.68"),
        ("0.5", "JPY", "1"),
        ("-1.5", "JPY", "-2"),
        ("1.0005", "KWD", "1.001"),
    ],
)
def test_half_is_rounded_away_from_zero(exact: str, code: str, rounded: str) -> None:
    assert str(money.round_amount(Decimal(exact), code)) == rounded
    assert str(money.round_money(Money(Decimal(exact), code)).amount) == rounded


@pytest.mark.parametrize("amount", ["-0.001", "-0", "0"])
def test_what_rounds_to_zero_has_no_sign(amount: str) -> None:
    assert str(money.round_amount(Decimal(amount), "USD")) == "0.00"
    assert not money.round_scale(Decimal("-1E-13")).is_signed()


@given(AMOUNTS, CURRENCIES)
def test_rounding_moves_by_at_most_half_a_unit_and_is_symmetric(amount: Decimal, code: str) -> None:
    rounded = money.round_amount(amount, code)
    assert abs(Fraction(rounded) - Fraction(amount)) <= Fraction(money.quantum(code)) / 2
    assert money.round_amount(-amount, code) == -rounded
    assert money.round_amount(rounded, code) == rounded


def test_an_amount_of_66_digits_is_rounded_exactly() -> None:
    assert money.round_amount(Decimal("9" * 42 + "." + "0" * 23 + "1"), "USD") == Decimal("9" * 42)
    assert money.round_scale(Decimal("1" * 42 + ".0000000000005")) == Decimal("1" * 42 + ".000000000001")


@pytest.mark.parametrize("amount", ["NaN", "Infinity", "-Infinity", "sNaN"])
def test_what_is_not_finite_is_no_amount(amount: str) -> None:
    with pytest.raises(BadAmount):
        money.round_amount(Decimal(amount), "USD")
    with pytest.raises(BadAmount):
        money.round_scale(Decimal(amount))


@given(st.integers(-(10**25), 10**25), CURRENCIES)
def test_minor_units_there_and_back(minor: int, code: str) -> None:
    assert money.to_minor(money.from_minor(minor, code)) == minor


@pytest.mark.parametrize(("amount", "code"), [("0.001", "USD"), ("1.5", "JPY"), ("0.01" + "0" * 28 + "1", "USD")])
def test_a_fraction_of_a_minor_unit_is_refused(amount: str, code: str) -> None:
    with pytest.raises(BadAmount, match="whole number of minor units"):
        money.to_minor(Money(Decimal(amount), code))


# Splitting


@pytest.mark.parametrize(
    ("total", "weights", "parts"),
    [
        ("10.00", ["1", "1", "1"], ["3.34", "3.33", "3.33"]),
        ("-10.00", ["1", "1", "1"], ["-3.34", "-3.33", "-3.33"]),
        ("0.01", ["1", "1"], ["0.01", "0.00"]),
        ("0.05", ["0", "1", "3"], ["0.00", "0.01", "0.04"]),
        ("1.00", ["0", "0"], ["1.00", "0.00"]),
        ("0.00", ["2", "1"], ["0.00", "0.00"]),
        ("0.10", ["4", "1", "1"], ["0.07", "0.02", "0.01"]),
    ],
)
def test_largest_remainder(total: str, weights: list[str], parts: list[str]) -> None:
    split = money.allocate(Decimal(total), [Decimal(weight) for weight in weights], "USD")
    assert [str(part) for part in split] == parts


@given(
    CURRENCIES.flatmap(lambda code: st.tuples(st.just(code), _cents(code))),
    st.lists(st.decimals(min_value=0, max_value=10**9, places=12), min_size=1, max_size=12),
)
@example(("USD", Decimal("0.10")), [Decimal(40), Decimal(4), Decimal(1)])
def test_a_split_adds_up_and_each_part_is_within_a_unit_of_its_share(
    given_total: tuple[str, Decimal], weights: list[Decimal]
) -> None:
    code, total = given_total
    parts = money.allocate(total, weights, code)
    unit, whole = Fraction(money.quantum(code)), sum(map(Fraction, weights))
    assert sum(parts, Decimal(0)) == total
    assert len(parts) == len(weights)
    for part, weight in zip(parts, weights, strict=True):
        if whole:
            assert abs(Fraction(part) - Fraction(total) * Fraction(weight) / whole) < unit
        assert part == 0 or part.is_signed() == total.is_signed()


@given(st.integers(1, 10**6), st.integers(2, 9), st.integers(1, 10**18))
def test_equal_weights_of_any_size_give_the_rest_to_the_first(minor: int, count: int, weight: int) -> None:
    parts = money.allocate(money.from_minor(minor, "USD").amount, [Decimal(weight)] * count, "USD")
    assert parts == sorted(parts, reverse=True)
    assert parts[0] - parts[-1] <= Decimal("0.01")


def test_a_split_over_nothing_or_negative_weights_is_refused() -> None:
    assert money.allocate(Decimal(0), [], "USD") == []
    with pytest.raises(BadAmount):
        money.allocate(Decimal("0.01"), [], "USD")
    with pytest.raises(BadAmount):
        money.allocate(Decimal("1.00"), [Decimal(1), Decimal(-1)], "USD")
    with pytest.raises(BadAmount):
        money.allocate(Decimal("0.001"), [Decimal(1)], "USD")


# Parsing


def test_every_cent_up_to_a_thousand_dollars_is_read_as_that_cent() -> None:
    for cents in range(1, 100_001):
        text = f"{cents // 100}.{cents % 100:02}"
        assert money.to_minor(money.parse_money(text, "USD")) == cents


@pytest.mark.parametrize(("text", "code", "minor"), [("12", "JPY", 12), ("1.2", "USD", 120), ("0.001", "KWD", 1)])
def test_an_amount_in_its_currency(text: str, code: str, minor: int) -> None:
    assert money.to_minor(money.parse_money(text, code)) == minor


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1e3", "plain decimal"),
        ("NaN", "plain decimal"),
        ("Infinity", "plain decimal"),
        ("٣", "plain decimal"),
        ("３", "plain decimal"),
        ("1,000", "plain decimal"),
        ("1_000", "plain decimal"),
        (" 1", "plain decimal"),
        ("1\n", "plain decimal"),
        ("+1", "plain decimal"),
        (".5", "plain decimal"),
        ("5.", "plain decimal"),
        ("007", "plain decimal"),
        ("$5", "plain decimal"),
        ("0x10", "plain decimal"),
        ("1.001", "more than 2 decimals"),
        ("-1.00", "negative"),
        ("-0", "negative"),
        ("-0.00", "negative"),
        ("0", "zero"),
        ("0.00", "zero"),
        ("", "missing"),
        (None, "missing"),
        (19.99, "decimal string"),
        (True, "decimal string"),
        (5, "decimal string"),
        ("12345678901234", "larger than"),
    ],
)
def test_what_is_not_an_amount_is_refused_by_name(text: object, says: str) -> None:
    with pytest.raises(BadAmount, match=says) as refused:
        money.parse_money(text, "USD", field="price")
    assert refused.value.details["field"] == "price"
    assert refused.value.code == "amount.invalid"


def test_decimals_that_the_currency_does_not_have_are_refused_even_as_zeros() -> None:
    with pytest.raises(BadAmount):
        money.parse_money("1.0", "JPY")
    assert money.parse_money("0", "JPY", allow_zero=True).amount == 0


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=12))
def test_a_plain_decimal_is_read_back(value: Decimal) -> None:
    text = money.plain(value)
    assert "E" not in text
    assert not text.endswith(".")
    assert text != "-0"
    assert money.parse_decimal(text, field="x", decimals=12, allow_negative=True) == value


@pytest.mark.parametrize(
    ("value", "text"), [("1E+3", "1000"), ("100", "100"), ("0.000003000000", "0.000003"), ("-0.0", "0")]
)
def test_plain(value: str, text: str) -> None:
    assert money.plain(Decimal(value)) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("0", "0"),
        ("999", "999"),
        ("33685843", "33,685,843"),
        ("1234.500", "1,234.5"),
        ("-0.25", "-0.25"),
        ("-1000", "-1,000"),
        ("1E+6", "1,000,000"),
    ],
)
def test_a_quantity_is_grouped_for_people(amount: str, text: str) -> None:
    assert money.grouped(Decimal(amount)) == text
