"""What an entry leaves on its accounts is decided in memory: no database here."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing_ops.kit.actor import system
from ledger.deciding import Overdraft, decide
from ledger.opening import Key, Place, key_of
from ledger.rules import movements
from ledger.rules.entries import EntryDraft, InvalidEntry, LineSpec

AT = datetime(2025, 3, 4, tzinfo=UTC)
ROBOT = system("test")


def D(text: str) -> Decimal:  # noqa: N802  # reads as in an account book
    return Decimal(text)


def draft(lines: tuple[LineSpec, ...], movement: str = movements.BALANCE_APPLIED) -> EntryDraft:
    return EntryDraft(movement, "k", lines, AT, ROBOT)


def applied(amount: str) -> EntryDraft:
    """The customer's balance (2110, not below zero) pays an invoice (1100)."""
    return draft(movements.balance_applied(customer_key="cus-1", currency="USD", amount=D(amount)))


def places(of: EntryDraft, **change: Any) -> dict[Key, Place]:
    """Accounts 11, 12, … of its lines; those of customers hold 10.00, at their 7th version."""
    found: dict[Key, Place] = {}
    for line in of.lines:
        materialised = bool(line.customer_key)
        found.setdefault(
            key_of(line),
            Place(
                id=11 + len(found),
                normal_side=1 if line.code == "1100" else -1,
                materialised=materialised,
                net=D("10.00"),
                held=None,
                floor=D("0") if line.code == "2110" else None,
                version=7,
            ),
        )
    if change:
        first = key_of(of.lines[0])
        found[first] = replace(found[first], **change)
    return found


def test_the_lines_are_numbered_signed_and_leave_a_balance_and_a_version() -> None:
    asked = applied("4.50")
    known = places(asked)
    assert decide(asked, 99, "2025-03-04", known) == (
        "99\t1\t11\tUSD\t1\t4.50\t8\t5.50\t2025-03-04\n99\t2\t12\tUSD\t-1\t4.50\t8\t5.50\t2025-03-04\n"
    )
    assert [(place.version, place.net) for place in known.values()] == [(8, D("5.50")), (8, D("5.50"))]


def test_an_account_without_a_stored_balance_keeps_none() -> None:
    asked = draft(movements.payout_paid(currency="USD", amount=D("3")), movements.PAYOUT_PAID)
    known = places(asked)
    assert decide(asked, 1, "2025-03-04", known) == (
        "1\t1\t11\tUSD\t1\t3\t\\N\t\\N\t2025-03-04\n1\t2\t12\tUSD\t-1\t3\t\\N\t\\N\t2025-03-04\n"
    )
    assert {(place.version, place.net) for place in known.values()} == {(7, D("10.00"))}


def test_two_lines_on_one_account_are_two_versions_and_only_the_end_counts() -> None:
    one, other = applied("12.00").lines
    both = draft((one, other, replace(one, side="credit"), replace(other, side="debit")))
    known = places(both)
    shown = decide(both, 1, "2025-03-04", known).split("\n")
    assert [row.split("\t")[6:8] for row in shown[:4]] == [
        ["8", "-2.00"],
        ["8", "-2.00"],
        ["9", "10.00"],
        ["9", "10.00"],
    ]


@pytest.mark.parametrize(
    ("amount", "held", "floor", "short"),
    [
        ("10.00", None, "0", None),
        ("10.01", None, "0", "0.01"),
        ("7.00", "3.00", "0", None),
        ("7.50", "3.00", "0", "0.5"),
        ("15.00", None, "-5.00", None),
        ("15.25", None, "-5.00", "0.25"),
        ("6.00", None, "4.00", None),
        ("6.01", None, "4.00", "0.01"),
        ("100.00", "3.00", None, None),
    ],
)
def test_no_account_ends_below_its_floor_with_what_is_held(
    amount: str, held: str | None, floor: str | None, short: str | None
) -> None:
    asked = applied(amount)
    known = places(asked, held=held and D(held), floor=floor and D(floor))
    if short is None:
        assert decide(asked, 1, "2025-03-04", known)
        return
    with pytest.raises(Overdraft) as caught:
        decide(asked, 1, "2025-03-04", known)
    assert str(caught.value).startswith(f"Account 2110 of cus-1 is {short} USD short.")
    assert caught.value.details == {"account": "2110", "customer_key": "cus-1", "short": short, "unit": "USD"}
    assert caught.value.remedy == "Take less, or raise the balance first."


@pytest.mark.parametrize(
    "amount", ["0.0000000000001", "1.0000000000001", "1E-13", "123456789.1234567890123", "0.12345678901230001"]
)
def test_an_amount_that_would_be_rounded_is_refused(amount: str) -> None:
    asked = draft(movements.usage_accrued(customer_key="cus-1", unit="USD", amount=D("1")), movements.USAGE_ACCRUED)
    lines = tuple(replace(line, amount=D(amount)) for line in asked.lines)
    with pytest.raises(InvalidEntry) as caught:
        decide(replace(asked, lines=lines), 1, "2025-03-04", places(asked))
    assert (caught.value.details["rule"], caught.value.details["field"]) == ("amount", "amount")


@pytest.mark.parametrize("amount", ["0.000000000001", "1E-12", "1E+3", "1.0000000000000", "123456789.123456789012"])
def test_an_amount_that_the_books_can_hold_is_taken_as_it_is_written(amount: str) -> None:
    asked = draft(movements.usage_accrued(customer_key="cus-1", unit="USD", amount=D(amount)), movements.USAGE_ACCRUED)
    assert decide(asked, 1, "2025-03-04", places(asked)).split("\t")[5] == str(D(amount))


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 10**6)), min_size=1, max_size=8), st.integers(0, 500))
def test_balances_are_the_sum_of_their_lines_whatever_the_order(steps: list[tuple[bool, int]], held: int) -> None:
    one, other = applied("1").lines
    lines: tuple[LineSpec, ...] = ()
    for swap, cents in steps:
        pair = (replace(one, amount=D(str(cents)).scaleb(-2)), replace(other, amount=D(str(cents)).scaleb(-2)))
        lines += tuple(line.mirrored() for line in pair) if swap else pair
    asked = draft(lines)
    known = places(draft((one, other)), held=D(str(held)).scaleb(-2))
    ends = D("10.00") + sum((D(str(cents)).scaleb(-2) * (1 if swap else -1) for swap, cents in steps), D("0"))
    if ends - D(str(held)).scaleb(-2) < 0:
        with pytest.raises(Overdraft):
            decide(asked, 1, "2025-03-04", known)
        return
    decide(asked, 1, "2025-03-04", known)
    assert {(place.net, place.version) for place in known.values()} == {(ends, 7 + len(steps))}
