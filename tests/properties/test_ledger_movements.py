"""Every movement with all valid input: it balances, stays on its route, and what undoes another is its mirror image."""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_ops.kit.actor import system
from ledger.rules import movements, routes
from ledger.rules.chart import BY_CODE
from ledger.rules.entries import EntryDraft, check, credit, debit, imbalance, mirror
from ledger.rules.movements import CreditUse
from ledger.rules.movements.parts import balanced
from tests.ledger.journals.terms import (
    ACTS,
    CONTRACT,
    USD,
    WHO,
    ZERO,
    Given,
    Lines,
    drawn,
    given_credit,
    of,
    refund_parts,
    some,
    taxes,
    used_credit,
)

AT = datetime(2025, 3, 4, tzinfo=UTC)
D = Decimal
WHOSE: Given = {"customer_key": "cus-1", "currency": "USD"}
OF: Given = {"customer_key": "cus-1", "unit": "USD", "grant": "g"}
UNITS: Given = {"customer_key": "cus-1", "unit": "credits", "grant": "g", "amount": D("1"), "code": "9110"}
MOVED: Given = {
    "unit": "USD", "amount": D("1"), "from_customer": "a", "from_grant": "g", "to_customer": "b", "to_grant": "h",
}  # fmt: skip


def test_every_kind_of_entry_has_its_movement() -> None:
    assert {act.kind for act in ACTS.values()} == set(routes.BY_TYPE) - {routes.ENTRY_REVERSED}


@pytest.mark.parametrize("name", ACTS)
@settings(max_examples=40)
@given(data=st.data())
def test_it_balances_and_stays_on_its_route(name: str, data: st.DataObject) -> None:
    act = ACTS[name]
    terms = data.draw(act.terms)
    lines = act.build(**terms)
    route = routes.BY_TYPE[act.kind]
    assert all(line.amount > 0 for line in lines), "what is zero makes no line"
    assert imbalance(lines) == {}
    assert {line.code for line in lines if line.side == "debit"} <= set(route.debits)
    assert {line.code for line in lines if line.side == "credit"} <= set(route.credits)
    for line in lines:
        code = BY_CODE[line.code]
        assert bool(line.customer_key) == code.takes_customer
        assert line.code != "2100" or line.dimension == terms.get("contract", line.dimension)
    if lines:
        check(EntryDraft(act.kind, "k", lines, AT, system("t"), fx_rate=Decimal(1)))


def _amounts(terms: Given, signed: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Changes of the terms, each with one amount negative that must not be."""
    changes: list[tuple[str, Any]] = []
    for name, value in terms.items():
        if isinstance(value, Decimal) and name not in signed:
            changes.append((name, -(value or Decimal(1))))
        if isinstance(value, dict) and name not in signed:
            changes += [(name, {**value, part: -(amount or Decimal(1))}) for part, amount in value.items()]
        if name in ("uses", "credits", "unused_units"):
            changes += [
                (name, [*value[:n], replace(use, amount=-use.amount), *value[n + 1 :]]) for n, use in enumerate(value)
            ]
    return changes


@pytest.mark.parametrize("name", ACTS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_negative_amount_is_a_mistake_of_the_program(name: str, data: st.DataObject) -> None:
    act = ACTS[name]
    terms = data.draw(act.terms)
    for changed, value in _amounts(terms, act.signed):
        part = next((f"[{key}]" for key, amount in value.items() if amount < 0), "") if isinstance(value, dict) else ""
        named = "amount" if isinstance(value, list) else changed + part
        with pytest.raises(ValueError, match=rf"^{re.escape(named)} is -[^:]*: it must"):
            act.build(**{**terms, changed: value})


def _plain(lines: Lines) -> Counter[tuple[object, ...]]:
    return Counter((line.side, line.code, line.amount, line.unit, line.customer_key, line.dimension) for line in lines)


@given(drawn())
def test_what_is_given_back_is_the_mirror_of_what_was_drawn(terms: Given) -> None:
    there, back = movements.credit_drawn(**terms), movements.credit_returned(**terms)
    assert _plain(mirror(there)) == _plain(back)


@given(given_credit())
def test_void_and_expiry_are_the_mirror_of_the_grant(terms: Given) -> None:
    if terms["money_code"]:
        terms["money"] = terms["money"] or Decimal(1)
    there = _plain(mirror(movements.credit_granted(**terms)))
    assert _plain(movements.credit_voided(**terms)) == there
    assert _plain(movements.credit_expired(**terms)) == there


@given(of(**WHO, **USD, **CONTRACT, **refund_parts))
def test_a_failed_refund_is_the_mirror_of_its_request(terms: Given) -> None:
    assert _plain(mirror(movements.refund_requested(**terms))) == _plain(movements.refund_failed(**terms))


@given(of(**WHO, **USD, price=some, tax=taxes))
def test_a_top_up_given_up_is_the_mirror_of_its_invoice(terms: Given) -> None:
    assert _plain(mirror(movements.topup_invoiced(**terms))) == _plain(movements.topup_voided(**terms))


@given(drawn())
def test_revenue_is_what_the_used_credit_was_worth(terms: Given) -> None:
    """Net of what promotional credit reduces, revenue is the money that was received or promised, and the overage."""
    lines = movements.credit_drawn(**terms)
    revenue = -sum((line.sign * line.amount for line in lines if line.code[0] == "4"), ZERO)
    promised = {"2000", "2005", "2010", "2015", "2020", "2025"}
    released = sum((line.amount for line in lines if line.code in promised), ZERO)
    assert revenue == released + terms["overage"]


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (lambda: movements.payment_succeeded(**WHOSE, amount=D("1"), applied=D("2")), "excess is -1"),
        (lambda: movements.payment_returned(**WHOSE, amount=D("1"), from_balance=D("2")), "owed_again is -1"),
        (lambda: movements.debt_written_off(**WHOSE, receivable=D("1"), unearned=D("2")), "lost is -1"),
        (lambda: movements.debt_recovered(**WHOSE, amount=D("1"), to_allowance=D("3")), "lost is -2"),
        (lambda: movements.tax_remitted(currency="USD", tax={}), "tax is 0"),
        (lambda: movements.refund_requested(**WHOSE), "refund is 0"),
        (lambda: movements.refund_failed(**WHOSE), "refund is 0"),
        (lambda: movements.dispute_lost(dispute="d", **WHOSE), "disputed is 0"),
        (
            lambda: movements.fx_settled(**WHOSE, applied=D("1"), paid_currency="USD", paid=D("1")),
            "USD paid in USD must be an ordinary payment",
        ),
        (
            lambda: movements.dispute_lost(
                dispute="d", **WHOSE, unit="credits", unused_units=[CreditUse("included", "g", D("1"), code="9110")]
            ),
            "unused units must be paid credit, with its money in USD",
        ),
        (
            lambda: movements.dispute_lost(
                dispute="d",
                **WHOSE,
                unit="credits",
                unused_units=[CreditUse("paid", "g", D("1"), None, "9110", D("1"), "EUR", "2005")],
            ),
            "unused units must be paid credit, with its money in USD",
        ),
        (
            lambda: movements.opening_balance(code="4000", unit="USD", amount=D("1")),
            "code is 4000: it must be an account that is opened by a balance",
        ),
        (lambda: movements.opening_balance(code="3000", unit="USD", amount=D("1")), "code is 3000"),
        (lambda: movements.opening_balance(code="9100", unit="USD", amount=D("1")), "code is 9100"),
        (
            lambda: movements.credit_bought(**WHOSE, price=D("1"), amount=D("2"), grant="g"),
            "amount is 2: credit in USD must be what was paid for it, 1",
        ),
        (
            lambda: movements.credit_bought(**WHOSE, price=D("1"), unit="credits", grant="g"),
            "amount is 0: it must be positive",
        ),
        (
            lambda: movements.credit_expired(**OF, kind="paid", amount=D("1"), breakage="4000"),
            "breakage is 4000: it must be 4030 or 2500",
        ),
        (
            lambda: movements.credit_granted(**OF, kind="paid", amount=D("1")),
            "paid credit is not given: it must be bought, refunded or reversed",
        ),
        (lambda: movements.credit_voided(**OF, kind="paid", amount=D("1"), code="9110"), "paid credit is not given"),
        (
            lambda: movements.credit_granted(**OF, kind="free", amount=D("1")),
            "kind is 'free': it must be one of paid, goodwill, promotional, included",
        ),
        (
            lambda: movements.credit_granted(**OF, kind="goodwill", amount=D("1"), code="9010"),
            "goodwill credit does not stand on 9010: it must be 2010 or 9110",
        ),
        (
            lambda: movements.credit_granted(**OF, kind="goodwill", amount=D("1"), money=D("1"), currency="USD"),
            "credit in a currency is its money: none must stand beside it",
        ),
        (
            lambda: movements.credit_voided(**OF, kind="goodwill", amount=D("1"), currency="EUR", money_code="2015"),
            "credit in a currency is its money: none must stand beside it",
        ),
        (
            lambda: movements.credit_granted(**UNITS, kind="goodwill", money=D("1"), currency="USD", money_code="2005"),
            "the money of goodwill credit must not stand on 2005",
        ),
        (
            lambda: movements.credit_voided(**UNITS, kind="goodwill", money=D("1"), currency="USD"),
            "the money of goodwill credit must be released from its account",
        ),
        (
            lambda: movements.credit_voided(**UNITS, kind="goodwill", money=D("1"), money_code="2015"),
            "the money of credit units must be in a currency",
        ),
        (
            lambda: movements.credit_granted(**UNITS, kind="goodwill", money=D("1"), money_code="2015"),
            "the money of credit units must be in a currency",
        ),
        (
            lambda: movements.credit_expired(**UNITS, kind="paid", money=D("1"), money_code="2005"),
            "the money of credit units must be in a currency",
        ),
        (
            lambda: movements.credit_voided(
                **UNITS, kind="goodwill", money=D("1"), currency="credits", money_code="2015"
            ),
            "the money of credit units must be in a currency",
        ),
        (
            lambda: movements.credit_voided(**UNITS, kind="included", money=D("1")),
            "the money of credit units must be in a currency",
        ),
        (
            lambda: movements.credit_granted(**UNITS, kind="goodwill", currency="USD", money_code="2015"),
            "money is 0: it must be positive",
        ),
        (
            lambda: movements.credit_moved(**MOVED | {"to_grant": "g"}, code="2000"),
            "g must move to another grant",
        ),
        (
            lambda: movements.credit_moved(**MOVED, code="2110"),
            "code is 2110: it must be an account on which grants stand",
        ),
        (
            lambda: movements.credit_moved(**MOVED, code="2000", money=D("1")),
            "credit in a currency is its money: none must stand beside it",
        ),
        (
            lambda: movements.credit_moved(**MOVED, code="2000", currency="EUR", money_code="2005"),
            "money on 2005 must stand beside units, in a currency",
        ),
        (
            lambda: movements.credit_moved(**MOVED, code="9110", currency="EUR", money_code="2000"),
            "money on 2000 must stand beside units, in a currency",
        ),
        (
            lambda: movements.credit_moved(**MOVED, code="9110", money_code="2005"),
            "money on 2005 must stand beside units, in a currency",
        ),
        (
            lambda: movements.credit_moved(**MOVED, code="9110", currency="USD", money_code="2005"),
            "money on 2005 must stand beside units, in a currency",
        ),
        (
            lambda: movements.credit_refunded(
                customer_key="c", unit="USD", amount=D("2"), grant="g", refund=D("2"), money=D("1")
            ),
            "money is 1: of credit in USD it must be its amount, 2",
        ),
        (
            lambda: movements.credit_refunded(
                customer_key="c", unit="credits", amount=D("2"), grant="g", refund=D("2"), currency="USD"
            ),
            "money is 0: it must be positive",
        ),
        (
            lambda: movements.credit_returned(customer_key="c", unit="USD", uses=[], against="4020"),
            "against is 4020: it must be one of 4000, 4910, 2100",
        ),
        (
            lambda: movements.credit_drawn(
                customer_key="c",
                unit="credits",
                uses=[CreditUse("included", "g", D("1"), code="9110")],
                overage=D("1"),
            ),
            "what is owed beside credits must have a currency",
        ),
        (
            lambda: movements.plan_prorated(**WHOSE, unearned=D("1"), balance=D("2")),
            "the lines do not balance: -1 USD",
        ),
        (
            lambda: movements.plan_prorated(**WHOSE, unearned=D("1"), balance=D("2"), open_invoices=D("-1")),
            "open_invoices is -1: it must not be negative",
        ),
    ],
)
def test_what_no_journal_can_mean_is_refused_in_words(build: Callable[[], object], why: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(why)}"):
        build()


def test_money_in_two_units_that_does_not_balance_is_named_in_each() -> None:
    with pytest.raises(ValueError, match=r"^the lines do not balance: 2 USD, -1 USD \(memo\)$"):
        balanced((*debit("1000", D("2"), "USD"), *credit("9000", D("1"), "USD")))


def test_where_the_money_of_units_stands() -> None:
    assert movements.money_account("paid") == movements.money_account("paid", expensed=True) == "2005"
    assert movements.money_account("goodwill") == "2015"
    assert movements.money_account("promotional", expensed=True) == "2025"
    assert movements.money_account("promotional") == movements.money_account("included", expensed=True) == ""


@given(used_credit())
def test_the_debit_side_of_what_is_used_is_that_of_the_draw(terms: Given) -> None:
    used, lines = movements.credit_used(**terms), movements.credit_drawn(**terms)
    assert _plain(used) == _plain(tuple(line for line in lines if line.code != "4000"))
    assert {line.customer_key for line in used if BY_CODE[line.code].takes_customer} == {"cus-1"}


def test_draws_go_with_their_entrys_id() -> None:
    uses = [CreditUse("paid", "g", D("1"), 42), CreditUse("included", "h", D("1"), 42)]
    for lines in (
        movements.credit_drawn(customer_key="c", unit="USD", uses=uses),
        movements.credit_covered(customer_key="c", unit="USD", uses=uses),
        movements.invoice_finalized(**WHOSE, receivable=D("0"), accrued_cleared=D("2"), credits=uses),
    ):
        assert {(line.code, line.reserved_id) for line in lines if line.dimension} == {("2000", 42), ("9010", 42)}
        assert {line.reserved_id for line in lines if not line.dimension} == {None}


def test_units_of_one_wallet_may_have_been_sold_in_two_currencies() -> None:
    uses = [
        CreditUse("paid", "a", D("100"), None, "9110", D("2.00"), "USD", "2005"),
        CreditUse("paid", "b", D("100"), None, "9110", D("1.80"), "EUR", "2005"),
        CreditUse("promotional", "c", D("50"), None, "9110", D("1.00"), "USD"),
        CreditUse("promotional", "d", D("25"), None, "9110", D("0.50"), "USD"),
    ]
    of: Given = {"customer_key": "cus-1", "unit": "credits", "uses": uses}
    revenue = {("4000", "USD"): D("3.50"), ("4000", "EUR"): D("1.80")}
    drawn_, back = movements.credit_drawn(**of), movements.credit_returned(**of)
    assert {(line.code, line.unit): line.amount for line in drawn_ if line.code == "4000"} == revenue
    assert {(line.code, line.unit): line.amount for line in back if line.code == "4000"} == revenue
    assert [line.amount for line in drawn_ if line.code == "4900"] == [D("1.50")]
    assert [line.amount for line in drawn_ if line.code == "9100"] == [D("275")]


def test_what_credit_in_a_currency_covers_is_owed_in_that_currency() -> None:
    uses = [CreditUse("paid", "g", D("3"))]
    covered = movements.credit_covered(customer_key="cus-1", unit="USD", uses=uses, accrued=D("3"))
    assert _plain(covered) == _plain(movements.credit_covered(customer_key="cus-1", unit="USD", uses=uses))
    owed = movements.credit_drawn(customer_key="cus-1", unit="USD", uses=uses, overage=D("2"))
    assert {(line.code, line.unit) for line in owed} == {
        ("2000", "USD"), ("1110", "USD"), ("4000", "USD"), ("4020", "USD")
    }  # fmt: skip


@pytest.mark.parametrize("currency", ["", "credits"])
def test_units_say_in_which_currency_their_money_is(currency: str) -> None:
    use = CreditUse("paid", "g", D("3"), None, "9110", D("1"), currency, "2005")
    with pytest.raises(ValueError, match=r"^the money of credit units must be in a currency$"):
        movements.credit_drawn(customer_key="cus-1", unit="credits", uses=[use])
    with pytest.raises(ValueError, match=r"^the money of credit units must be in a currency$"):
        movements.credit_expired(**UNITS, kind="paid", money=D("1"), currency=currency, money_code="2005")
    with pytest.raises(ValueError, match=r"^what is owed beside credits must have a currency$"):
        movements.credit_covered(
            customer_key="cus-1", unit="credits", accrued=D("1"), uses=[CreditUse("included", "g", D("1"), code="9110")]
        )
