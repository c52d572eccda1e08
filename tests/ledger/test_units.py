"""Credit in a company's own unit: rates by versions, the quantity as memo, its money beside it, to the last digit."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import ProgrammingError, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing_ops.kit.errors import InvalidInput
from ledger import balances, crediting, drawing, posting, proofs, registering, returning, units, voiding
from ledger.models import CreditGrant, Entry, Line, Unit, UnitRate
from ledger.rules import movements, worth
from tests.ledger.books import AT, ROBOT, account, raw_entry, raw_lines, refused, sql

D = Decimal


@pytest.fixture
def credits(db: Any) -> Unit:
    unit = registering.register(code="credits", actor=ROBOT, at=AT)
    registering.set_rate(unit="credits", currency="USD", rate=D("0.03"), reason="launch", actor=ROBOT, at=AT)
    return unit


def own(key: str, amount: str, *, kind: Any = "goodwill", **terms: Any) -> CreditGrant:
    act = crediting.carry_over if kind == "paid" else crediting.grant
    at = terms.pop("at", AT)
    return act(
        customer_key="cus-1", kind=kind, amount=D(amount), unit="credits", reason_code="test", actor=ROBOT, at=at,
        key=key, **terms,
    )  # fmt: skip


def lines(entry: Entry) -> list[tuple[str, str, Decimal, str]]:
    rows = Line.objects.filter(entry=entry).select_related("account").order_by("line_no")
    return [("Dr" if row.side > 0 else "Cr", row.account.code_id, row.amount.normalize(), row.unit) for row in rows]


def issued(grant: CreditGrant) -> list[tuple[str, str, Decimal, str]]:
    return lines(Entry.objects.get(grant_ref=str(grant.public_id)))


def money_of(grant: CreditGrant) -> Decimal:
    return balances.account_total(code=grant.money_code, unit=grant.currency)


def test_the_kinds_differ_in_their_money_and_not_in_their_quantity(credits: Unit) -> None:
    quantity = [("Dr", "9100", D(100), "credits"), ("Cr", "9110", D(100), "credits")]
    assert issued(own("g", "100")) == [*quantity, ("Dr", "4910", D(3), "USD"), ("Cr", "2015", D(3), "USD")]
    assert issued(own("p", "100", kind="promotional")) == quantity
    expensed = own("x", "100", kind="promotional", promo_policy="expense_on_grant")
    assert issued(expensed) == [*quantity, ("Dr", "6100", D(3), "USD"), ("Cr", "2025", D(3), "USD")]
    included = own("i", "100", kind="included")
    assert issued(included) == quantity
    assert (included.rate, included.currency, included.cost_basis) == (None, "", None)
    paid = own("b", "100", kind="paid", cost=D("2.50"))
    assert issued(paid) == [*quantity, ("Dr", "3000", D("2.5"), "USD"), ("Cr", "2005", D("2.5"), "USD")]
    assert (paid.rate, paid.cost_basis, paid.money_code) == (D("0.03"), D("2.50"), "2005")
    assert proofs.violations() == []


def test_both_promotional_policies_stand_side_by_side_in_a_currency(db: Any) -> None:
    from moneyed import Money

    terms: Any = {"customer_key": "cus-1", "kind": "promotional", "amount": Money("5", "USD"), "reason_code": "x"}
    memo = crediting.grant(key="a", actor=ROBOT, at=AT, **terms)
    expensed = crediting.grant(key="b", actor=ROBOT, at=AT, promo_policy="expense_on_grant", **terms)
    assert (memo.account.code_id, expensed.account.code_id) == ("9010", "2020")
    assert issued(expensed) == [("Dr", "6100", D(5), "USD"), ("Cr", "2020", D(5), "USD")]
    entry = voiding.void(grant=expensed, reason_code="x", actor=ROBOT, at=AT, key="v")
    assert lines(entry) == [("Dr", "2020", D(5), "USD"), ("Cr", "6100", D(5), "USD")]
    assert proofs.violations() == []


@pytest.mark.parametrize(("policy", "code"), [("income", "4030"), ("unclaimed_property", "2500")])
def test_breakage_takes_the_money_that_is_left(credits: Unit, policy: Any, code: str) -> None:
    end = AT + timedelta(days=1)
    grant = own("b", "3", kind="paid", cost=D(1), expires_at=end)
    entry = voiding.expire(grant=grant, at=end, actor=ROBOT, breakage=policy)
    assert entry is not None
    assert lines(entry) == [
        ("Dr", "9110", D(3), "credits"), ("Cr", "9100", D(3), "credits"),
        ("Dr", "2005", D(1), "USD"), ("Cr", code, D(1), "USD"),
    ]  # fmt: skip
    assert entry.fx_rate == D("0.333333333333")
    assert proofs.violations() == []


def test_expiry_waits_for_the_grace_and_for_the_watermark(credits: Unit) -> None:
    end, grace = AT + timedelta(days=1), timedelta(hours=24)
    own("g", "3", expires_at=end)
    assert voiding.expire_due(at=end + grace, grace=grace, watermark=end + grace - timedelta(seconds=1)) == 0
    assert voiding.expire_due(at=end + grace, grace=grace, watermark=end + grace) == 1


def test_a_grant_keeps_the_rate_that_it_was_made_at(credits: Unit) -> None:
    later = AT + timedelta(days=2)
    registering.set_rate(
        unit="credits", currency="USD", rate=D("0.05"), reason="dearer", actor=ROBOT, at=AT, valid_from=later
    )
    before, after = own("a", "10", at=later - timedelta(microseconds=1)), own("b", "10", at=later)
    assert [before.rate, after.rate] == [D("0.03"), D("0.05")]
    assert [row.rate for row in units.history(unit="credits")] == [D("0.05"), D("0.03")]


def test_a_unit_without_a_rate_or_with_several_needs_to_be_told(credits: Unit) -> None:
    registering.register(code="tokens_m", actor=ROBOT, at=AT)
    with pytest.raises(units.NoRate, match="has no rate"):
        crediting.grant(
            customer_key="c",
            kind="goodwill",
            amount=D(1),
            unit="tokens_m",
            reason_code="x",
            actor=ROBOT,
            at=AT,
            key="k",
        )
    registering.set_rate(unit="credits", currency="EUR", rate=D("0.02"), reason="Europe", actor=ROBOT, at=AT)
    with pytest.raises(units.NoRate, match="EUR, USD"):
        own("g", "5")
    assert own("h", "5", currency="EUR").rate == D("0.02")


@pytest.mark.parametrize(
    "change", [{"rate": D(0)}, {"rate": D("NaN")}, {"reason": " "}, {"currency": "XX"}, {"unit": "USD"},
               {"valid_from": AT - timedelta(seconds=1)}],
)  # fmt: skip
def test_a_rate_that_cannot_be_is_refused(credits: Unit, change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        registering.set_rate(**{"unit": "credits", "currency": "GBP", "rate": D(1), "reason": "x", "actor": ROBOT,
                                "at": AT, **change})  # fmt: skip


def test_a_rate_never_changes(credits: Unit) -> None:
    with pytest.raises(registering.RateSet):
        registering.set_rate(unit="credits", currency="USD", rate=D(9), reason="x", actor=ROBOT, at=AT)
    row = UnitRate.objects.get()
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        sql("UPDATE ledger_unit_rate SET rate = 9")
    with refused("ledger_unit_rate_units"):
        sql("INSERT INTO ledger_unit_rate (unit, currency, rate, valid_from, set_at, set_by_type, set_by_id, reason)"
            " VALUES ('USD', 'EUR', 1, %s, %s, 'user', 'x', 'x')", AT, AT)  # fmt: skip
    with refused("ledger_unit_rate_not_backdated"):
        sql("INSERT INTO ledger_unit_rate (unit, currency, rate, valid_from, set_at, set_by_type, set_by_id, reason)"
            " VALUES ('credits', 'EUR', 1, %s, %s, 'user', 'x', 'x')", AT - timedelta(days=1), AT)  # fmt: skip
    assert UnitRate.objects.get() == row


_PARTS = st.lists(st.integers(1, 10**9), min_size=1, max_size=20)


@given(cost=st.integers(0, 10**16), parts=_PARTS, scale=st.integers(0, 12))
def test_releases_add_up_to_the_cost_whatever_the_slices(cost: int, parts: list[int], scale: int) -> None:
    """Whoever slices the quantity, the money that leaves is the cost, the last unit taking the rest."""
    money, slices = D(cost).scaleb(-4), [D(part).scaleb(-scale) for part in parts]
    amount = sum(slices, D(0))
    left, out = amount, []
    for part in slices:
        out.append(worth.released(money, amount, before=left, after=left - part))
        left -= part
    assert sum(out, D(0)) == money
    assert all(part >= 0 for part in out)
    assert worth.released(money, amount, before=D(0), after=amount) == -money, "what is given back brings it all back"


@given(
    cost=st.decimals(0, 10**9, places=6), amount=st.decimals("0.000000000001", 10**9, places=12), part=st.integers(0, 7)
)
def test_money_left_is_proportional_to_within_half_a_step(cost: Decimal, amount: Decimal, part: int) -> None:
    from fractions import Fraction

    remaining = (amount * part / 7).quantize(D("1e-12"))
    exact = Fraction(cost) * Fraction(remaining) / Fraction(amount)
    assert abs(Fraction(worth.money_left(cost, amount, remaining)) - exact) <= Fraction(1, 2 * 10**12)


@given(
    cost=st.decimals(0, 10**15, places=12), amount=st.decimals("0.001", 10**12, places=12), share=st.integers(0, 997)
)
@pytest.mark.django_db
def test_the_database_computes_the_same_money(cost: Decimal, amount: Decimal, share: int) -> None:
    remaining = (amount * share / 997).quantize(D("1e-12"))
    found = sql("SELECT ledger_money_left(%s::numeric, %s::numeric, %s::numeric)", cost, amount, remaining)[0][0]
    assert found == worth.money_left(cost, amount, remaining)


# By raw SQL ----------------------------------------------------------------------------------------------------------

_GRANT = """
INSERT INTO ledger_credit_grant
       (public_id, wallet_id, account_id, customer_key, unit, kind, kind_rank, amount, priority,
    effective_at, scope, scope_rank, cost_basis, rate, currency, money_code, source_invoice, reason_code, reason_note,
    ticket, requested_by_type, requested_by_id, idempotency_key, request, created_at, from_grant_id)
VALUES (%s, ledger_lock_wallet('cus-1', 'credits'), %s, 'cus-1', 'credits', %s, %s, 10, 50, %s, '{}', 1, %s, %s, %s, %s,
        '', 'x', '', '', 'system', 'raw', %s, '{}', %s, %s)
"""


def raw_grant(
    *, kind: str = "goodwill", cost: str | None = "0.30", money_code: str = "2015", posted: str | None = "0.30",
    movement: str = movements.CREDIT_GRANTED, from_grant: int | None = None,
) -> None:  # fmt: skip
    """A grant of 10 credits, its quantity issued rightly, its money as told."""
    name = str(uuid4())
    own_account = account("9110", customer="cus-1", dimension=name, unit="credits")
    issued_by = account("9100", unit="credits")
    extra = []
    if posted is not None:
        extra = [(account("4910").pk, 1, None), (account("2015", customer="cus-1", dimension=name).pk, -1, posted)]
    entry = raw_entry(lines=2 + len(extra), movement=movement, fx_rate="0.03" if extra else None)
    rows: list[Any] = [
        (entry, 1, issued_by.pk, "credits", 1, "10", None, None),
        (entry, 2, own_account.pk, "credits", -1, "10", 1, "10"),
    ]  # fmt: skip
    for number, (pk, side, after) in enumerate(extra, 3):
        rows.append((entry, number, pk, "USD", side, posted, None if after is None else 1, after))
    raw_lines(*rows)
    sql(_GRANT, name, own_account.pk, kind, int(kind == "paid"), AT, cost, "0.03", "USD", money_code, uuid4().hex, AT,
        from_grant)  # fmt: skip


def test_a_grant_by_raw_sql_that_is_right_is_taken(credits: Unit) -> None:
    raw_grant()
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    assert proofs.violations() == []


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("ledger_grant_money", {"cost": "0.31"}),
        ("ledger_grant_money", {"posted": None}),
        ("ledger_account_has_units", {"cost": None, "money_code": "", "kind": "included"}),
        ("ledger_grant_money", {"cost": None, "money_code": "", "posted": None}),
        ("ledger_grant_worth", {"cost": None}),
        ("ledger_grant_by_its_kind", {"kind": "paid", "cost": "0", "money_code": "2005", "posted": None}),
    ],
)
def test_a_grant_says_what_its_entry_put_on_its_money_account(credits: Unit, rule: str, change: Any) -> None:
    with refused(rule):
        raw_grant(**change)


def test_a_grant_that_was_given_names_no_grant_that_it_came_from(credits: Unit) -> None:
    other = own("g", "10")
    with refused("ledger_grant_moved"):
        raw_grant(from_grant=other.pk)


def test_units_do_not_leave_without_their_money_nor_money_without_units(credits: Unit) -> None:
    grant = own("g", "10")
    beside = account("2015", customer="cus-1", dimension=str(grant.public_id))
    with refused("ledger_line_units_money"):
        entry = raw_entry(movement=movements.CREDIT_EXPIRED)
        raw_lines(
            (entry, 1, grant.account_id, "credits", 1, "5", 2, "5"),
            (entry, 2, account("9100", unit="credits").pk, "credits", -1, "5", None, None),
        )
    with refused("ledger_line_units_money"):
        entry = raw_entry(movement=movements.CREDIT_EXPIRED)
        raw_lines(
            (entry, 1, beside.pk, "USD", 1, "0.1", 2, "0.2"),
            (entry, 2, account("4910").pk, "USD", -1, "0.1", None, None),
        )


@pytest.mark.parametrize("numbers", [(7, 1, 5, 1), (7, 1, 5, 2), (7, 3, 4, 2), (13, 1, 7, 3)])
def test_an_expiry_that_is_undone_after_something_came_back_keeps_the_proportion(
    settings: Any, credits: Unit, numbers: tuple[int, int, int, int]
) -> None:
    amount, cost, used, back = numbers
    settings.CREDIT_HOLDER_CHECK = ""
    grant = own("g", str(amount), kind="paid", cost=D(cost), expires_at=AT + timedelta(hours=1))

    def draw(key: str, units: int, *, hours: int, used_at: Any = None) -> Any:
        at = AT + timedelta(hours=hours)
        return drawing.draw(
            customer_key="cus-1", unit="credits", amount=D(units), feature="", key=key, at=at, actor=ROBOT,
            used_at=used_at,
        )  # fmt: skip

    made = draw("k", used, hours=0)
    voiding.expire(grant=grant, at=AT + timedelta(hours=2), actor=ROBOT)
    returning.give_back(
        draw_id=made.id, amount=D(back), key="b", at=AT + timedelta(hours=3), actor=ROBOT, reason_code="over_counted"
    )
    assert draw("late", 1, hours=4, used_at=AT + timedelta(minutes=5)).outcome == "accepted"
    assert money_of(grant) == worth.money_left(D(cost), D(amount), D(amount - used + back - 1))
    assert proofs.violations() == []


def test_a_draw_is_not_reversed_when_its_money_would_be_another_by_now(settings: Any, credits: Unit) -> None:
    settings.CREDIT_HOLDER_CHECK = ""
    own("g", "3", kind="paid", cost=D(1))
    one, two = (
        drawing.draw(customer_key="cus-1", unit="credits", amount=D(1), feature="", key=key, at=AT, actor=ROBOT)
        for key in "ab"
    )
    terms: dict[str, Any] = {"at": AT, "actor": ROBOT, "reason_code": "test"}
    with pytest.raises(posting.InvalidEntry) as caught:
        posting.reverse(entry=Entry.objects.get(pk=one.entry_id or 0), key="u", **terms)
    assert caught.value.details["rule"] == "ledger_line_units_money"
    posting.reverse(entry=Entry.objects.get(pk=two.entry_id or 0), key="v", **terms)
    returning.give_back(draw_id=one.id, amount=D(1), key="b", **terms)
    assert proofs.violations() == []


def test_the_money_of_units_stands_only_where_a_grant_says_so(credits: Unit) -> None:
    for dimension in (str(uuid4()), "nonsense", str(own("g", "10", kind="promotional").public_id)):
        with refused("ledger_account_has_units"):
            account("2005", customer="cus-1", dimension=dimension)
