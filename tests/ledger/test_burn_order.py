"""The burn order, one rule at a time, and the edges of who may pay. No database here."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from ledger.rules.burndown import Burning, Need, Purse, burn, order

D = Decimal
AT = datetime(2025, 3, 4, tzinfo=UTC)
DAY = timedelta(days=1)


def purse(grant_id: int = 1, **change: Any) -> Purse:
    plain = Purse(grant_id, "promotional", 50, AT - DAY, AT + DAY, (), D("10"))
    return replace(plain, **change)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (purse(2, priority=49, expires_at=None, kind="paid"), purse(1, priority=50)),
        (purse(2, expires_at=AT + DAY), purse(1, expires_at=AT + 2 * DAY)),
        (purse(2, expires_at=AT + 900 * DAY), purse(1, expires_at=None)),
        (purse(2, expires_at=AT + DAY, kind="paid"), purse(1, expires_at=AT + 2 * DAY, scope=("a",))),
        (purse(2, kind="promotional"), purse(1, kind="paid", scope=("a",))),
        (purse(2, kind="goodwill"), purse(1, kind="paid")),
        (purse(2, kind="included"), purse(1, kind="paid")),
        (purse(2, kind="paid", scope=("a",)), purse(1, kind="paid", effective_at=AT - 9 * DAY)),
        (purse(2, effective_at=AT - 2 * DAY), purse(1, effective_at=AT - DAY)),
        (purse(1), purse(2)),
    ],
)
def test_each_rule_of_the_order_decides_before_the_next(first: Purse, second: Purse) -> None:
    assert order(first) < order(second)
    for kept in ([first, second], [second, first]):
        taken = burn([Need("n", "a", D("4")), Need("m", "a", D("9"))], kept, at=AT)
        assert [(row.ref, row.grant_id, row.amount) for row in taken] == [
            ("n", first.grant_id, D("4")),
            ("m", first.grant_id, D("6")),
            ("m", second.grant_id, D("3")),
        ]
        assert [row.kind for row in taken] == [first.kind, first.kind, second.kind]


@pytest.mark.parametrize("kind", ["promotional", "goodwill", "included"])
def test_what_was_given_has_one_rank(kind: str) -> None:
    assert order(purse(1, kind=kind)) == order(purse(1))


@pytest.mark.parametrize(
    ("change", "pays"),
    [
        ({}, True),
        ({"effective_at": AT}, True),
        ({"effective_at": AT + timedelta.resolution}, False),
        ({"expires_at": AT}, False),
        ({"expires_at": AT + timedelta.resolution}, True),
        ({"expires_at": None}, True),
        ({"scope": ("a", "b")}, True),
        ({"scope": ("b",)}, False),
        ({"effective_at": AT + DAY, "expires_at": None}, False),
        ({"available": D("0")}, False),
        ({"available": D("-1")}, False),
    ],
)
def test_windows_are_half_open_and_scopes_are_kept(change: dict[str, Any], pays: bool) -> None:
    kept = purse(**change)
    parts, short = Burning([kept]).take(D("3"), feature="a", used_at=AT)
    assert (parts, short) == (([(kept, D("3"))], D("0")) if pays else ([], D("3")))
    assert bool(burn([Need("n", "a", D("3"))], [kept], at=AT)) is pays


def test_a_need_is_paid_as_of_its_own_instant() -> None:
    over = purse(expires_at=AT)
    assert burn([Need("n", "", D("1"))], [over], at=AT) == []
    (taken,) = burn([Need("n", "", D("1"), AT - timedelta.resolution)], [over], at=AT)
    assert (taken.grant_id, taken.amount) == (1, D("1"))


def test_all_or_nothing_takes_nothing_if_something_would_be_left() -> None:
    one, two = purse(1), purse(2)
    burning = Burning([two, one])
    assert burning.take(D("20.01"), feature="", used_at=AT, whole=True) == ([], D("0.01"))
    assert burning.take(D("20"), feature="", used_at=AT, whole=True) == ([(one, D("10")), (two, D("10"))], D("0"))
    assert burning.take(D("0.01"), feature="", used_at=AT) == ([], D("0.01"))


def test_what_one_takes_the_next_does_not_find() -> None:
    one, two, three = purse(1), purse(2, scope=("a",), expires_at=AT + 2 * DAY), purse(3, expires_at=None)
    burning = Burning([three, two, one])
    assert burning.take(D("10"), feature="b", used_at=AT) == ([(one, D("10"))], D("0"))
    assert burning.take(D("1"), feature="b", used_at=AT) == ([(three, D("1"))], D("0"))
    assert burning.take(D("25"), feature="a", used_at=AT) == ([(two, D("10")), (three, D("9"))], D("6"))
    assert burning.take(D("1"), feature="a", used_at=AT) == ([], D("1"))
    assert burning.take(D("1"), feature="a", used_at=AT, whole=True) == ([], D("1"))
