"""The burn-down, as a pure function: order, conservation, scope, windows, and slicing."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ledger.rules.burndown import Need, Purse, Taken, burn, order

T0 = datetime(2025, 1, 1, tzinfo=UTC)
FEATURES = ("tokens", "images", "")
KINDS = ("paid", "promotional", "goodwill", "included")

instants = st.integers(0, 6).map(lambda days: T0 + timedelta(days=days))
amounts = st.integers(1, 400).map(lambda cents: Decimal(cents).scaleb(-2))


@st.composite
def purses(draw: st.DrawFn) -> list[Purse]:
    count = draw(st.integers(0, 6))
    made = []
    for number in range(count):
        effective = draw(instants)
        lasts = draw(st.one_of(st.none(), st.integers(1, 4)))
        made.append(
            Purse(
                grant_id=number,
                kind=draw(st.sampled_from(KINDS)),
                priority=draw(st.sampled_from((0, 50, 100))),
                effective_at=effective,
                expires_at=None if lasts is None else effective + timedelta(days=lasts),
                scope=tuple(draw(st.sets(st.sampled_from(FEATURES[:2]), max_size=2))),
                available=draw(st.one_of(st.just(Decimal(0)), amounts)),
            )
        )
    return draw(st.permutations(made))


@st.composite
def needs(draw: st.DrawFn) -> list[Need]:
    return [
        Need(f"n{number}", draw(st.sampled_from(FEATURES)), draw(amounts), draw(st.one_of(st.none(), instants)))
        for number in range(draw(st.integers(0, 5)))
    ]


def pays_for(purse: Purse, *, feature: str, used_at: datetime) -> bool:
    """Whether a grant may pay for that feature at that instant; its window is half-open."""
    over = purse.expires_at is not None and purse.expires_at <= used_at
    return purse.effective_at <= used_at and not over and (purse.scope == () or feature in purse.scope)


def by(taken: list[Taken], name: str) -> dict[object, Decimal]:
    sums: dict[object, Decimal] = defaultdict(Decimal)
    for row in taken:
        sums[getattr(row, name)] += row.amount
    return sums


@given(needs(), purses(), instants)
def test_nothing_is_taken_twice_and_nothing_is_left_lying(wanted: list[Need], kept: list[Purse], at: datetime) -> None:
    taken = burn(wanted, kept, at=at)
    got, gone = by(taken, "ref"), by(taken, "grant_id")
    assert all(row.amount > 0 for row in taken)
    for purse in kept:
        assert gone[purse.grant_id] <= purse.available
    for need in wanted:
        assert got[need.ref] <= need.amount
        if got[need.ref] < need.amount:  # a shortfall means that every grant that may pay is empty
            for purse in kept:
                if pays_for(purse, feature=need.feature, used_at=need.used_at or at):
                    assert gone[purse.grant_id] == purse.available


@given(needs(), purses(), instants)
def test_only_grants_in_force_and_in_scope_pay(wanted: list[Need], kept: list[Purse], at: datetime) -> None:
    grants, asked = {purse.grant_id: purse for purse in kept}, {need.ref: need for need in wanted}
    for row in burn(wanted, kept, at=at):
        purse, need = grants[row.grant_id], asked[row.ref]
        used = need.used_at or at
        assert row.kind == purse.kind
        assert purse.effective_at <= used
        assert purse.expires_at is None or used < purse.expires_at
        assert not purse.scope or need.feature in purse.scope


@given(needs(), purses(), instants)
def test_each_need_takes_in_the_documented_order(wanted: list[Need], kept: list[Purse], at: datetime) -> None:
    grants = {purse.grant_id: purse for purse in kept}
    taken = burn(wanted, kept, at=at)
    for need in wanted:
        steps = [grants[row.grant_id] for row in taken if row.ref == need.ref]
        for one, two in pairwise(steps):
            assert _documented(one) < _documented(two)


def _documented(purse: Purse) -> tuple[object, ...]:
    """The order of the documentation, written down a second time and differently."""
    never = purse.expires_at is None
    return (
        purse.priority,
        (never, 0 if purse.expires_at is None else (purse.expires_at - T0) / timedelta(microseconds=1)),
        {"promotional": 0, "goodwill": 0, "included": 0, "paid": 1}[purse.kind],
        len(purse.scope) == 0,
        purse.effective_at,
        purse.grant_id,
    )


@given(needs(), purses(), instants)
def test_the_order_in_which_grants_are_read_does_not_matter(
    wanted: list[Need], kept: list[Purse], at: datetime
) -> None:
    assert burn(wanted, kept, at=at) == burn(wanted, sorted(kept, key=lambda purse: -purse.grant_id), at=at)
    assert [order(purse) for purse in sorted(kept, key=order)] == sorted(order(purse) for purse in kept)


@given(needs(), purses(), instants)
def test_one_run_equals_many_slices(wanted: list[Need], kept: list[Purse], at: datetime) -> None:
    whole = by(burn(wanted, kept, at=at), "grant_id")
    left = {purse.grant_id: purse.available for purse in kept}
    sliced: dict[object, Decimal] = defaultdict(Decimal)
    for need in wanted:
        for part in (need.amount / 2, need.amount - need.amount / 2):  # each need in two slices, one run each
            now = [
                Purse(p.grant_id, p.kind, p.priority, p.effective_at, p.expires_at, p.scope, left[p.grant_id])
                for p in kept
            ]
            for row in burn([Need(need.ref, need.feature, part, need.used_at)], now, at=at):
                left[row.grant_id] -= row.amount
                sliced[row.grant_id] += row.amount
    assert {k: v for k, v in sliced.items() if v} == {k: v for k, v in whole.items() if v}
