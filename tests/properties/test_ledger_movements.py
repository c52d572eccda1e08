"""Every movement with all valid input: it balances, stays on its route, and what undoes another is its mirror image."""

from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_ops.kit.actor import system
from ledger.rules import movements, routes
from ledger.rules.chart import BY_CODE
from ledger.rules.entries import EntryDraft, check, imbalance, mirror
from ledger.rules.movements import CreditUse
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
)

AT = datetime(2025, 3, 4, tzinfo=UTC)


def test_every_kind_of_entry_has_its_movement() -> None:
    assert {act.kind for act in ACTS.values()} == set(routes.BY_TYPE) - {routes.ENTRY_REVERSED}


@pytest.mark.parametrize("name", ACTS)
@settings(max_examples=40)
@given(data=st.data())
def test_it_balances_and_stays_on_its_route(name: str, data: st.DataObject) -> None:
    act = ACTS[name]
    lines = act.build(**data.draw(act.terms))
    route = routes.BY_TYPE[act.kind]
    assert all(line.amount > 0 for line in lines), "what is zero makes no line"
    assert imbalance(lines) == {}
    assert {line.code for line in lines if line.side == "debit"} <= set(route.debits)
    assert {line.code for line in lines if line.side == "credit"} <= set(route.credits)
    for line in lines:
        code = BY_CODE[line.code]
        assert bool(line.customer_key) == code.takes_customer
    if lines:
        check(EntryDraft(act.kind, "k", lines, AT, system("t"), fx_rate=Decimal(1)))


def _amounts(terms: Given, signed: tuple[str, ...]) -> list[tuple[str, Any]]:
    """Changes of the terms, each with one amount negative that must not be."""
    changes: list[tuple[str, Any]] = []
    for name, value in terms.items():
        if isinstance(value, Decimal) and name not in signed:
            changes.append((name, -(value or Decimal(1))))
        if isinstance(value, dict):
            changes += [(name, {**value, part: -(amount or Decimal(1))}) for part, amount in value.items()]
        if name in ("uses", "credits", "unused_units"):
            changes += [
                (name, [*value[:n], CreditUse(use.kind, use.dimension, -use.amount), *value[n + 1 :]])
                for n, use in enumerate(value)
            ]
    return changes


@pytest.mark.parametrize("name", ACTS)
@settings(max_examples=40)
@given(data=st.data())
def test_a_negative_amount_is_a_mistake_of_the_program(name: str, data: st.DataObject) -> None:
    act = ACTS[name]
    terms = data.draw(act.terms)
    for changed, value in _amounts(terms, act.signed):
        with pytest.raises(ValueError, match=r"must|balance"):
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
