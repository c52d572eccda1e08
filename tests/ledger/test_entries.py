"""Entries before they are posted: their sums, their mirror, and what of them is refused. No database here."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from billing_ops.kit.actor import Actor, system
from ledger.rules import movements
from ledger.rules.entries import (
    EntryDraft,
    InvalidEntry,
    LineSpec,
    check,
    credit,
    debit,
    has_hidden_mistake,
    imbalance,
    mirror,
    too_fine,
)

AT = datetime(2025, 3, 4, tzinfo=UTC)
D = Decimal


def fee(**change: Any) -> EntryDraft:
    """A processing fee: 6000 against 1010."""
    lines = movements.payment_fee(currency="USD", amount=D("4.17"))
    return replace(EntryDraft(movements.PAYMENT_FEE, "k", lines, AT, system("test")), **change)


def rule_of(draft: EntryDraft) -> str:
    with pytest.raises(InvalidEntry) as caught:
        check(draft)
    assert caught.value.details["field"] == caught.value.details["rule"]
    return str(caught.value.details["rule"])


def test_a_negative_amount_changes_sides_and_zero_is_no_line() -> None:
    assert debit("1100", D("5"), "USD", customer_key="c", dimension="d") == (
        LineSpec("debit", "1100", D("5"), "USD", "c", "d"),
    )
    assert (
        debit("1100", D("-5"), "USD") == credit("1100", D("5"), "USD") == (LineSpec("credit", "1100", D("5"), "USD"),)
    )
    assert credit("1100", D("-5"), "USD", customer_key="c", dimension="d") == (
        LineSpec("debit", "1100", D("5"), "USD", "c", "d"),
    )
    assert debit("1100", D("0.00"), "USD") == credit("1100", D("0"), "USD") == ()


def test_the_mirror_of_a_line_is_the_same_line_on_the_other_side() -> None:
    line = LineSpec("debit", "2000", D("5"), "USD", "c", "d", 42)
    assert (line.sign, line.mirrored().sign) == (1, -1)
    assert line.mirrored() == LineSpec("credit", "2000", D("5"), "USD", "c", "d")
    assert line.mirrored().reserved_id is None  # a reversal draws nothing
    assert line.mirrored().mirrored() == line
    assert mirror([line, line.mirrored()]) == (line.mirrored(), line)


def test_units_and_memo_lines_balance_apart() -> None:
    memo = LineSpec("debit", "9000", D("5"), "USD")
    real = LineSpec("credit", "4000", D("5"), "USD")
    assert imbalance([memo, real]) == {"USD (memo)": D("5"), "USD": D("-5")}
    assert imbalance([real, replace(real, side="debit", unit="EUR")]) == {"USD": D("-5"), "EUR": D("5")}
    assert imbalance([real, replace(real, side="debit", code="no such code")]) == {}
    assert imbalance([]) == {}


def test_what_is_right_is_taken() -> None:
    check(fee())
    check(fee(key="k" * 200))
    check(fee(refs={"invoice": "i", "grant": "g", "stripe": "s", "batch": "b"}))
    check(fee(actor=Actor("user", "ana"), reason_code="because"))
    reversal = fee(reverses_id=1, movement=movements.ENTRY_REVERSED, lines=mirror(fee().lines))
    check(reversal)


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"movement": "no.such"}, "event_type"),
        ({"movement": movements.PAYOUT_PAID}, "routing"),
        ({"movement": movements.ENTRY_REVERSED}, "routing"),
        ({"key": ""}, "key"),
        ({"key": "k" * 201}, "key"),
        ({"refs": {"invoice": "1", "order": "1"}}, "refs"),
        ({"effective_at": AT.replace(tzinfo=None)}, "effective_at"),
        ({"actor": Actor("user", "ana")}, "reason"),
        ({"lines": ()}, "lines"),
        ({"lines": fee().lines[:1]}, "lines"),
        ({"lines": (*fee().lines, *debit("6000", D("1"), "USD"))}, "balanced"),
        ({"lines": (*fee().lines, *debit("6000", D("1"), "EUR"), *credit("1010", D("1"), "EUR"))}, "fx_rate"),
    ],
)
def test_what_is_wrong_with_an_entry_is_named(change: dict[str, Any], rule: str) -> None:
    assert rule_of(fee(**change)) == rule


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"code": "1234"}, "code"),
        ({"amount": D("0")}, "amount"),
        ({"amount": D("-1")}, "amount"),
        ({"amount": D("NaN")}, "amount"),
        ({"amount": D("Infinity")}, "amount"),
        ({"amount": D("1e16")}, "amount"),
        ({"amount": D("1.0000000000001")}, "amount"),
        ({"customer_key": "c"}, "customer"),
        ({"dimension": "d"}, "dimension"),
        ({"side": "credit", "code": "2200"}, "routing"),
    ],
)
def test_what_is_wrong_with_a_line_is_named(change: dict[str, Any], rule: str) -> None:
    one, other = fee().lines
    assert rule_of(fee(lines=(replace(one, **change), other))) == rule


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"movement": "no.such"}, "There is no kind of entry “no.such”."),
        ({"key": ""}, "An entry needs a key of at most 200 characters."),
        ({"refs": {"order": "1"}}, "An entry has no reference “order”."),
        ({"effective_at": AT.replace(tzinfo=None)}, "An entry's date needs a time zone."),
        ({"actor": Actor("user", "ana")}, "A person who posts gives a reason code."),
        ({"lines": ()}, "An entry has at least two lines."),
        ({"movement": movements.PAYOUT_PAID}, "“Payout paid” may not debit 6000 Processing fees."),
        ({"lines": (*fee().lines, *debit("6000", D("1.00"), "USD"))}, "Debits and credits differ by 1.00 USD."),
        (
            {"lines": (*fee().lines, *debit("6000", D("1"), "EUR"), *credit("1010", D("2"), "USD"))},
            "Debits and credits differ by 1 EUR, -2.00 USD.",
        ),
        ({"lines": (replace(fee().lines[0], code="1234"), fee().lines[1])}, "The chart has no account 1234."),
        (
            {"lines": (replace(fee().lines[0], customer_key="c"), fee().lines[1])},
            "6000 Processing fees takes no customer.",
        ),
        (
            {"lines": (replace(fee().lines[0], dimension="d"), fee().lines[1])},
            "6000 Processing fees: its dimension is none.",
        ),
        (
            {"lines": (replace(fee().lines[0], amount=D("-1")), fee().lines[1])},
            "6000: -1 is not a positive amount of at most twelve decimals.",
        ),
        (
            {"lines": (replace(fee().lines[0], reserved_id=1), replace(fee().lines[1], reserved_id=2))},
            "An entry carries the draws of one application of credit.",
        ),
        (
            {"lines": (*fee().lines, *debit("6000", D("1"), "EUR"), *credit("1010", D("1"), "EUR"))},
            "An entry across units carries its rate.",
        ),
        (
            {"movement": movements.BALANCE_APPLIED, "lines": (*debit("2110", D("1"), "USD"), *fee().lines[1:])},
            "2110 Customer balance needs customer.",
        ),
    ],
)
def test_what_is_wrong_is_said_in_words(change: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidEntry) as caught:
        check(fee(**change))
    assert str(caught.value).startswith(said)


def test_an_account_needs_the_customer_and_the_dimension_of_its_code() -> None:
    accrued = movements.usage_accrued(customer_key="c", unit="USD", amount=D("1"))
    usage = fee(movement=movements.USAGE_ACCRUED, lines=accrued)
    check(usage)
    assert rule_of(replace(usage, lines=tuple(replace(line, customer_key="") for line in accrued))) == "customer"
    remitted = movements.tax_remitted(currency="USD", tax={"DE": D("1")})
    check(fee(movement=movements.TAX_REMITTED, lines=remitted))
    without = tuple(replace(line, dimension="") for line in remitted)
    assert rule_of(fee(movement=movements.TAX_REMITTED, lines=without)) == "dimension"
    fees = movements.fee_recognised(customer_key="c", unit="USD", amount=D("1"), contract="")
    check(fee(movement=movements.FEE_RECOGNISED, lines=fees))  # a contract may be named and need not


def test_the_largest_amount_has_sixteen_digits() -> None:
    largest = D("9999999999999999.999999999999")
    check(fee(lines=tuple(replace(line, amount=largest) for line in fee().lines)))


def test_entries_in_two_units_carry_their_rate() -> None:
    lines = movements.fx_settled(customer_key="c", currency="USD", applied=D("100"), paid_currency="EUR", paid=D("92"))
    check(fee(movement=movements.FX_SETTLED, lines=lines, fx_rate=D("1.08")))


def test_an_entry_has_the_draws_of_one_application() -> None:
    one, other = fee().lines
    drawn = fee(lines=(replace(one, reserved_id=5), replace(other, reserved_id=5)))
    assert drawn.reserved_id == 5
    check(drawn)
    assert fee().reserved_id is None
    assert fee(lines=(one, replace(other, reserved_id=7))).reserved_id == 7
    assert rule_of(fee(lines=(replace(one, reserved_id=5), replace(other, reserved_id=6)))) == "reserved_id"


@pytest.mark.parametrize(
    ("text", "fine"),
    [
        ("1", False),
        ("0.000000000001", False),
        ("0.0000000000001", True),
        ("1.0000000000000", False),
        ("1.5000000000000", False),
        ("1E+20", False),
        ("1E-12", False),
        ("1E-13", True),
        ("NaN", True),
        ("Infinity", True),
    ],
)
def test_more_than_twelve_decimals_is_too_fine(text: str, fine: bool) -> None:
    assert too_fine(D(text)) is fine


@pytest.mark.parametrize(
    ("change", "hidden"),
    [
        ({}, False),
        ({"key": ""}, True),
        ({"effective_at": AT.replace(tzinfo=None)}, True),
        ({"refs": {"order": "1"}}, True),
        ({"refs": {"invoice": "1", "order": "1"}}, True),
        ({"refs": {"invoice": "1"}}, False),
    ],
)
def test_what_the_database_would_cut_or_forget_is_noticed(change: dict[str, Any], hidden: bool) -> None:
    assert has_hidden_mistake(fee(**change)) is hidden
