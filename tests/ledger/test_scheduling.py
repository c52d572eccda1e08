"""Credit that comes again: once a period, on the right day, its remainder kept within bounds, after any outage."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from django.db import ProgrammingError, transaction
from hypothesis import given
from hypothesis import strategies as st

from billing_ops.kit import failing
from billing_ops.models import FailedWork
from ledger import balances, posting, proofs, registering, scheduling, voiding
from ledger.models import CreditGrant, CreditSchedule, Entry
from ledger.rules.recurrence import Rollover, keep, period_of, split, start_of
from ledger.rules.schedules import ScheduleTerms
from ledger.rules.terms import InvalidTerms
from tests.invoicing.stories import at_once
from tests.ledger.books import ROBOT, account, refused, spend, sql

D = Decimal
JANUARY_31 = datetime(2025, 1, 31, 9, tzinfo=UTC)
NOW = timedelta(0)


def terms(**other: Any) -> ScheduleTerms:
    return ScheduleTerms(**{
        "customer_key": "cus-1", "kind": "promotional", "amount": D(100), "unit": "USD", "every": "month",
        "anchor_at": JANUARY_31, "reason_code": "plan", **other,
    })  # fmt: skip


def made(key: str = "s", **other: Any) -> CreditSchedule:
    return scheduling.schedule(terms=terms(**other), key=key, actor=ROBOT, at=other.pop("made", JANUARY_31))


def run(at: datetime, **other: Any) -> int:
    return scheduling.run_due(at=at, **{"grace": NOW, **other})


def rows(schedule: CreditSchedule) -> list[tuple[int, str, Decimal, str, str]]:
    """Period, part, amount, first and last day of each grant."""
    found = CreditGrant.objects.filter(schedule=schedule).order_by("schedule_period", "pk")
    return [
        (
            g.schedule_period or 0,
            g.schedule_part,
            g.amount.normalize(),
            f"{g.effective_at:%m-%d}",
            f"{g.expires_at:%m-%d}",
        )
        for g in found
    ]


def left(schedule: CreditSchedule, at: datetime) -> dict[tuple[int, str], Decimal]:
    grants = list(CreditGrant.objects.filter(schedule=schedule).order_by("pk"))
    found = balances.with_balances(grants, at=at)
    return {(one.grant.schedule_period or 0, one.grant.schedule_part): one.remaining for one in found if one.remaining}


# Pure ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("every", "zone", "anchor", "expected"),
    [
        ("month", "UTC", "2025-01-31T09:00+00:00", ["01-31 09", "02-28 09", "03-31 09", "04-30 09"]),
        ("year", "UTC", "2024-02-29T00:00+00:00", ["02-29 00", "02-28 00", "02-28 00", "02-28 00", "02-29 00"]),
        ("week", "Europe/Berlin", "2025-03-24T00:00+01:00", ["03-23 23", "03-30 22", "04-06 22"]),
        ("day", "Europe/Berlin", "2025-03-29T02:30+01:00", ["03-29 01", "03-30 01", "03-31 00"]),
        ("day", "America/New_York", "2025-11-01T01:30-04:00", ["11-01 05", "11-02 05", "11-03 06"]),
    ],
)
def test_periods_are_counted_from_the_anchor_in_the_zone(
    every: str, zone: str, anchor: str, expected: list[str]
) -> None:
    first = datetime.fromisoformat(anchor)
    found = [start_of(first, number, every=every, zone=zone) for number in range(len(expected))]
    assert [f"{one:%m-%d %H}" for one in found] == expected


@given(number=st.integers(0, 500), every=st.sampled_from(["day", "week", "month", "year"]), day=st.integers(1, 31),
       zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Pacific/Apia"]))  # fmt: skip
def test_periods_tile_time(number: int, every: str, day: int, zone: str) -> None:
    anchor = datetime(2025, 1, day, 2, 30, tzinfo=UTC)
    number %= 80 if every == "year" else 501
    one, two = (period_of(anchor, number + step, every=every, zone=zone) for step in (0, 1))
    assert one.end == two.start


_AMOUNTS = st.decimals(0, 10**9, places=6)


@given(remaining=_AMOUNTS, least=_AMOUNTS, more=st.none() | _AMOUNTS)
def test_rollover_keeps_min_max_max_min_remaining(remaining: Decimal, least: Decimal, more: Decimal | None) -> None:
    most = None if more is None else least + more
    kept = keep(remaining, Rollover(least, most))
    assert kept.total == (max(least, remaining) if most is None else min(most, max(least, remaining)))
    assert kept.moved + kept.expired == remaining
    assert min(kept.moved, kept.expired, kept.granted) >= 0
    assert not (kept.expired and kept.granted)


@given(parts=st.lists(_AMOUNTS, max_size=6), share=st.integers(0, 100))
def test_what_would_be_used_first_expires_first(parts: list[Decimal], share: int) -> None:
    moved = (sum(parts, D(0)) * share / 100).quantize(D("1e-6"))
    found = split(moved, parts)
    assert sum(found, D(0)) == min(moved, sum(parts, D(0)))
    assert all(0 <= one <= part for one, part in zip(found, parts, strict=True))
    cut = next((index for index, one in enumerate(found) if one), len(parts))
    assert all(one == part for one, part in list(zip(found, parts, strict=True))[cut + 1 :])


# In the books --------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_each_period_is_given_once_on_its_day_and_day_31_comes_back() -> None:
    schedule = made()
    assert run(JANUARY_31 - timedelta(microseconds=1)) == 0
    assert run(JANUARY_31) == 1
    assert run(JANUARY_31) == 0
    april = datetime(2025, 4, 30, 9, tzinfo=UTC)
    assert run(april) == 3, "an outage of three months is caught up"
    assert rows(schedule) == [
        (0, "base", D(100), "01-31", "02-28"), (1, "base", D(100), "02-28", "03-31"),
        (2, "base", D(100), "03-31", "04-30"), (3, "base", D(100), "04-30", "05-31"),
    ]  # fmt: skip
    voiding.expire_due(at=april, grace=NOW)
    assert left(schedule, april) == {(3, "base"): D(100)}
    assert proofs.violations() == []


@pytest.mark.django_db
def test_a_remainder_within_the_bounds_rolls_over_and_what_is_above_expires() -> None:
    schedule = made(rollover=Rollover(D(10), D(50)))
    run(JANUARY_31)
    spend("u1", "70", at=JANUARY_31 + timedelta(days=3))
    february, march = datetime(2025, 2, 28, 9, tzinfo=UTC), datetime(2025, 3, 31, 9, tzinfo=UTC)
    run(february)
    assert left(schedule, february) == {(1, "base"): D(100), (1, "rolled"): D(30)}
    run(march)
    assert left(schedule, march) == {(2, "base"): D(100), (2, "rolled"): D(50)}
    spend("u2", "149", at=march + timedelta(hours=1))
    april = datetime(2025, 4, 30, 9, tzinfo=UTC)
    run(april)
    assert left(schedule, april) == {(3, "base"): D(100), (3, "rolled"): D(1), (3, "minimum"): D(9)}
    kinds = list(Entry.objects.filter(event_type="credit.expired").values_list("effective_at", flat=True))
    assert kinds == [march, march], "80 of 130 are above the most: the rolled 30 first"
    assert proofs.violations() == []


@pytest.mark.django_db
def test_at_one_instant_expiry_comes_first_then_the_reset_then_the_start() -> None:
    made(rollover=Rollover(D(0), D(40)))
    run(JANUARY_31)
    february = datetime(2025, 2, 28, 9, tzinfo=UTC)
    run(february)
    found = Entry.objects.filter(effective_at=february).order_by("pk").values_list("event_type", flat=True)
    assert list(found) == ["credit.expired", "credit.rolled_over", "credit.granted"]


@pytest.mark.django_db
def test_a_reset_waits_for_late_usage_while_the_next_period_begins_in_time() -> None:
    schedule = made(rollover=Rollover(D(0), None))
    grace, february = timedelta(hours=24), datetime(2025, 2, 28, 9, tzinfo=UTC)
    run(JANUARY_31)
    run(february, grace=grace)
    assert left(schedule, february) == {(0, "base"): D(100), (1, "base"): D(100)}
    spend("late", "60", at=february - timedelta(hours=1))
    assert voiding.expire_due(at=february + grace, grace=grace) == 0, "its schedule decides what is kept"
    run(february + grace, grace=grace, watermark=february + grace - timedelta(seconds=1))
    assert (0, "base") in left(schedule, february)
    run(february + grace, grace=grace)
    assert left(schedule, february) == {(1, "base"): D(100), (1, "rolled"): D(40)}


@pytest.mark.django_db
def test_units_roll_over_with_their_money() -> None:
    registering.register(code="credits", actor=ROBOT, at=JANUARY_31)
    registering.set_rate(unit="credits", currency="USD", rate=D("0.07"), reason="x", actor=ROBOT, at=JANUARY_31)
    schedule = made(kind="goodwill", unit="credits", amount=D(3), rollover=Rollover(D(0), D(1)))
    run(JANUARY_31)
    registering.set_rate(unit="credits", currency="USD", rate=D("0.11"), reason="dearer", actor=ROBOT,
                         at=JANUARY_31 + timedelta(days=1))  # fmt: skip
    run(datetime(2025, 2, 28, 9, tzinfo=UTC))
    rolled = CreditGrant.objects.get(schedule=schedule, schedule_part="rolled")
    assert (rolled.amount, rolled.cost_basis, rolled.rate) == (D(1), D("0.07"), D("0.07"))
    assert rolled.from_grant is not None
    assert rolled.from_grant.schedule_period == 0
    assert balances.account_total(code="2015", unit="USD") == D("0.07") + D("0.33")
    assert proofs.violations() == []


@pytest.mark.django_db
def test_an_end_stops_what_is_to_come_and_the_last_remainder_expires_whole() -> None:
    schedule = made(rollover=Rollover(D(10), None))
    run(JANUARY_31)
    ten_days = JANUARY_31 + timedelta(days=10)
    ended = scheduling.end(schedule=schedule, reason="left", actor=ROBOT, at=ten_days)
    assert scheduling.end(schedule=schedule, reason="left", actor=ROBOT, at=ten_days).ends_at == ended.ends_at
    with pytest.raises(scheduling.ScheduleEnded):
        scheduling.end(schedule=schedule, reason="other", actor=ROBOT, at=ten_days)
    june = datetime(2025, 6, 1, tzinfo=UTC)
    assert run(june) == 1
    assert rows(schedule) == [(0, "base", D(100), "01-31", "02-28")]
    assert left(schedule, june) == {}
    assert run(june) == 0


@pytest.mark.django_db
def test_the_last_period_is_the_one_that_starts_before_the_end() -> None:
    schedule = made(every="week", ends_at=JANUARY_31 + timedelta(days=14))
    assert run(JANUARY_31 + timedelta(days=100)) == 2
    assert [row[0] for row in rows(schedule)] == [0, 1]


@pytest.mark.django_db
def test_what_comes_back_after_the_reset_expires_as_any_other() -> None:
    schedule = made(rollover=Rollover(D(0), D(50)))
    run(JANUARY_31)
    applied = spend("u", "20", at=JANUARY_31 + timedelta(days=1))
    february = datetime(2025, 2, 28, 9, tzinfo=UTC)
    run(february)

    invoice = Entry.objects.get(event_type="invoice.finalized")
    posting.reverse(entry=invoice, key="undo", at=february, actor=ROBOT, reason_code="x")
    assert applied
    assert left(schedule, february)[0, "base"] == D(20)
    assert voiding.expire_due(at=february, grace=NOW) == 1
    assert (0, "base") not in left(schedule, february)


@pytest.mark.django_db
def test_one_that_fails_rests_and_holds_up_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = made("bad"), made("good", customer_key="cus-2")
    give_one = scheduling._give

    def fails(row: CreditSchedule, how: scheduling.Run) -> None:
        if row.pk == bad.pk:
            raise InvalidTerms("broken")
        give_one(row, how)

    monkeypatch.setattr(scheduling, "_give", fails)
    run(JANUARY_31)
    assert [len(rows(bad)), len(rows(good))] == [0, 1]
    assert FailedWork.objects.get(task=scheduling.TASK).subject == str(bad.public_id)
    monkeypatch.undo()
    assert run(JANUARY_31) == 0, "it rests"
    assert run(JANUARY_31 + failing.wait_after(1)) == 1
    assert not FailedWork.objects.filter(task=scheduling.TASK).exists()


@pytest.mark.django_db
def test_the_same_key_is_the_same_schedule_and_other_terms_are_named() -> None:
    assert made() == made()
    with pytest.raises(scheduling.ScheduleDiffers) as caught:
        made(amount=D(5))
    assert caught.value.details["differs"] == ["amount"]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("kind", {"kind": "paid"}), ("every", {"every": "hour"}), ("time_zone", {"time_zone": "Mars/Base"}),
        ("ends_at", {"ends_at": JANUARY_31}), ("rollover_max", {"rollover": Rollover(D(5), D(4))}),
        ("rollover_min", {"rollover": Rollover(D(-1), None)}), ("amount", {"amount": D(0)}),
        ("rollover_max", {"rollover": Rollover(D(0), D(0))}),
    ],
)  # fmt: skip
def test_terms_that_cannot_be_are_refused(field: str, change: Any) -> None:
    with pytest.raises(InvalidTerms) as caught:
        made(**change)
    assert caught.value.details["field"] == field


def test_two_workers_give_each_period_once(fresh_db: Any) -> None:
    schedule = made(rollover=Rollover(D(0), D(30)))
    april = datetime(2025, 4, 30, 9, tzinfo=UTC)
    found = at_once(*[lambda: run(april)] * 4)
    assert not [one for one in found if isinstance(one, BaseException)]
    while run(april):
        pass
    assert [row[:3] for row in rows(schedule) if row[1] == "base"] == [(n, "base", D(100)) for n in range(4)]
    assert left(schedule, april) == {(3, "base"): D(100), (3, "rolled"): D(30)}
    assert proofs.violations() == []


# By raw SQL ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("rule", "change"),
    [
        ("ledger_schedule_ends_once", "ends_at = now()"),
        ("ledger_schedule_progress", "next_number = 5"),
        ("ledger_schedule_progress", "reset_number = 2"),
    ],
)
def test_a_schedule_goes_on_one_period_at_a_time_and_ends_once(rule: str, change: str) -> None:
    made()
    with refused(rule):
        sql(f"UPDATE ledger_credit_schedule SET {change}")


@pytest.mark.django_db
@pytest.mark.parametrize("column", ["amount = 7", "customer_key = 'x'", "rollover_max = 7", "anchor_at = now()"])
def test_the_terms_of_a_schedule_stay(column: str) -> None:

    made()
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        sql(f"UPDATE ledger_credit_schedule SET {column}")


@pytest.mark.django_db
def test_a_period_is_given_once_whoever_writes() -> None:
    made()
    run(JANUARY_31)
    grant = CreditGrant.objects.get()
    columns = (
        "customer_key, unit, kind, kind_rank, amount, priority, effective_at, scope, scope_rank, source_invoice,"
        " reason_code, reason_note, ticket, requested_by_type, requested_by_id, request, created_at, schedule_id,"
        " schedule_period, schedule_part, wallet_id"
    )
    with refused("ledger_grant_once_a_period"):
        own = account("9010", customer="cus-1", dimension=str(uuid4()))
        sql(
            f"INSERT INTO ledger_credit_grant (public_id, account_id, idempotency_key, {columns})"
            f" SELECT %s, %s, 'again', {columns} FROM ledger_credit_grant WHERE id = %s",
            own.dimension, own.pk, grant.pk,
        )  # fmt: skip
