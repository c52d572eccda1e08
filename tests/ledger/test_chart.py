"""The chart and the routes in the database are those of the rules."""

from collections import Counter

import pytest

from ledger.models import AccountCode, EventType, Unit
from ledger.rules.chart import BY_CODE, CHART, EXPENSED, GRANT_ACCOUNT, UNITS_MONEY, UNITS_QUANTITY
from ledger.rules.routes import BY_TYPE, ROUTES


@pytest.mark.django_db
def test_the_database_has_the_same_chart() -> None:
    stored = {
        row.code: (
            row.name,
            row.category,
            row.normal_side,
            row.materialised,
            row.exact,
            row.floor,
            row.memo,
            row.takes_customer,
            row.dimension,
            row.dimension_required,
        )
        for row in AccountCode.objects.all()
    }
    assert stored == {
        row.code: (
            row.name,
            row.category,
            row.normal_side,
            row.materialised,
            row.exact,
            row.floor,
            row.memo,
            row.takes_customer,
            row.dimension,
            row.dimension_required,
        )
        for row in CHART
    }


@pytest.mark.django_db
def test_the_database_has_the_same_routes() -> None:
    stored = {
        row.code: (
            row.label,
            row.template_version,
            tuple(row.allowed_debit),
            tuple(row.allowed_credit),
            row.draws_credit,
            row.returns_credit,
            row.adjusts,
            row.needs_approval,
            row.needs_approval_over,
        )
        for row in EventType.objects.all()
    }
    assert stored == {
        row.code: (
            row.label,
            row.template_version,
            row.debits,
            row.credits,
            row.draws_credit,
            row.returns_credit,
            row.adjusts,
            row.needs_approval,
            row.needs_approval_over,
        )
        for row in ROUTES
    }


@pytest.mark.django_db
def test_the_units_of_the_first_day_have_their_iso_exponents() -> None:
    from billing_ops.kit.money import exponent

    units = dict(Unit.objects.values_list("code", "posting_scale"))
    assert len(units) == 24
    assert units == {code: exponent(code) for code in units}


def test_codes_are_unique_and_routes_name_codes_of_the_chart() -> None:
    assert max(Counter(row.code for row in CHART).values()) == 1
    assert max(Counter(route.code for route in ROUTES).values()) == 1
    assert {code for route in ROUTES for code in route.debits + route.credits} <= BY_CODE.keys()
    kept = {*GRANT_ACCOUNT.values(), EXPENSED, UNITS_QUANTITY}
    assert kept == {row.code for row in CHART if row.dimension == "grant"}
    assert set(UNITS_MONEY.values()) == {row.code for row in CHART if row.dimension == "units"}
    assert BY_TYPE["entry.reversed"].debits == BY_TYPE["entry.reversed"].credits == ()


@pytest.mark.parametrize(
    ("code", "side", "memo", "floor"),
    [
        ("1100", 1, False, None),
        ("1190", -1, False, None),
        ("2000", -1, False, 0),
        ("2100", -1, False, 0),
        ("4000", -1, False, None),
        ("4900", 1, False, None),
        ("6310", 1, False, None),
        ("9000", 1, True, None),
        ("9010", -1, True, 0),
    ],
)
def test_normal_sides_and_floors(code: str, side: int, memo: bool, floor: int | None) -> None:
    row = BY_CODE[code]
    assert (row.normal_side, row.memo, row.floor) == (side, memo, floor)
