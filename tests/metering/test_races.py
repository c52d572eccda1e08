"""Many connections at once, on a database that commits: each event once, each batch once, every figure the same."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction

from billing_ops.kit.periods import Period
from metering import aggregating, usage
from metering.models import Batch, Bucket, Event, EventKey, Fold, Meter, MeterProgress, Stream
from tests.metering.support import AT, HOUR, accept, fold_all, iso, raw, sum_meter
from tests.support.database import ROOT, Database

MARCH = Period(AT - timedelta(days=10), AT + timedelta(days=10))


def together(jobs: Sequence[Callable[[], object]]) -> list[object]:
    """Run every job in a thread and connection of its own, all released at once; raise what any of them raised."""
    gate = threading.Barrier(len(jobs))

    def run(job: Callable[[], object]) -> object:
        try:
            connection.ensure_connection()
            gate.wait(timeout=30)
            return job()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as pool:
        futures = [pool.submit(run, job) for job in jobs]
        return [future.result(timeout=120) for future in futures]


def bodies(count: int, *, subjects: int = 7) -> list[bytes]:
    return [
        raw(
            number,
            subject=f"cus-{number % subjects}",
            time=iso(AT - timedelta(minutes=7 * (number % 500))),
            data={"context_tokens": number},
        )
        for number in range(count)
    ]


def total(meter: Meter, *, subjects: int = 7) -> tuple[Decimal, int]:
    readings = [usage.quantity(meter=meter, subject=f"cus-{n}", period=MARCH, at=AT) for n in range(subjects)]
    return sum((r.quantity for r in readings), Decimal(0)), sum(r.events for r in readings)


def test_the_same_batches_from_many_connections_give_each_event_once(fresh_db: Database) -> None:
    events = bodies(1_500)

    def sender(seed: int) -> Callable[[], Counter[str]]:
        def send() -> Counter[str]:
            order = random.Random(seed)  # noqa: S311  # a seed repeats a failure
            shuffled = order.sample(events, len(events))
            found: Counter[str] = Counter()
            for start in range(0, len(shuffled), 250):
                found.update(o.outcome for o in accept(*shuffled[start : start + 250]).outcomes)
            return found

        return send

    results = together([sender(seed) for seed in range(8)])
    counted = sum((result for result in results if isinstance(result, Counter)), Counter())
    assert counted == {"accepted": 1_500, "duplicate": 7 * 1_500}
    assert Event.objects.count() == EventKey.objects.count() == 1_500
    assert sum(Batch.objects.values_list("events", flat=True)) == 1_500


def test_of_contents_that_race_for_an_identity_one_wins_and_the_others_conflict(fresh_db: Database) -> None:
    results = together([lambda n=n: accept(*[raw(i, subject=f"cus-{n}") for i in range(200)]) for n in range(6)])  # type: ignore[misc]
    counted = Counter(o.outcome for result in results for o in result.outcomes)  # type: ignore[attr-defined]
    assert counted == {"accepted": 200, "conflict": 1_000}
    assert Event.objects.count() == 200


@pytest.mark.parametrize("aggregators", [1, 4])
def test_any_number_of_aggregators_folds_each_batch_once(fresh_db: Database, aggregators: int) -> None:
    meter = sum_meter()
    events = bodies(3_000)
    for start in range(0, 3_000, 100):
        accept(*events[start : start + 100])
    expected = (Decimal(sum(range(3_000))), 3_000)
    assert total(meter) == expected
    folded = together([lambda: fold_all(limit=150)] * aggregators)
    assert sum(int(str(n)) for n in folded) == 3_000
    assert not Batch.objects.filter(fold=None).exists()
    assert total(meter) == expected
    assert sum(Bucket.objects.values_list("quantity", flat=True)) == expected[0]
    assert sum(Stream.objects.values_list("events", flat=True)) == 3_000
    assert sum(Fold.objects.values_list("events", flat=True)) == 3_000


def test_a_meter_born_among_folds_counts_all_of_history_once(fresh_db: Database) -> None:
    first = sum_meter("first")
    events = bodies(2_000)
    for start in range(0, 1_000, 50):
        accept(*events[start : start + 50])
    aggregating.advance(at=AT, limit=300)
    born: list[Meter] = []

    def feed() -> None:
        for start in range(1_000, 2_000, 50):
            accept(*events[start : start + 50])

    def give_birth() -> None:
        for number in range(4):
            born.append(sum_meter(f"late-{number}"))
            expected = total(first)
            assert total(born[-1]) >= expected  # events only arrive: what was read before cannot be more

    together([feed, give_birth, *[lambda: fold_all(limit=120)] * 3])
    expected = (Decimal(sum(range(2_000))), 2_000)
    assert [total(meter) for meter in born] == [expected] * 4  # before they caught up: from raw events
    together([lambda: fold_all(limit=100)] * 3)
    fold_all()
    assert not MeterProgress.objects.filter(caught_up_at=None).exists()
    assert [total(meter) for meter in [first, *born]] == [expected] * 5
    for meter in born:
        assert sum(Bucket.objects.filter(meter=meter).values_list("events", flat=True)) == 2_000


def test_folding_between_two_reads_changes_no_figure(fresh_db: Database) -> None:
    """Connections read in a loop at READ COMMITTED while another folds, step by step."""
    meter = sum_meter()
    events = bodies(2_400, subjects=1)
    for start in range(0, 2_400, 20):
        accept(*events[start : start + 20])
    expected = usage.quantity(meter=meter, subject="cus-0", period=MARCH, at=AT)
    odd = Period(AT - timedelta(hours=40, minutes=13), AT - timedelta(minutes=44, seconds=7))
    expected_odd = usage.quantity(meter=meter, subject="cus-0", period=odd, at=AT)
    done = threading.Event()
    turns = threading.Semaphore(0)  # a fold follows each read, so that the reads are spread over the folding
    lags: set[Decimal] = set()

    def fold() -> None:
        try:
            while aggregating.advance(at=AT, limit=1).worked:
                assert turns.acquire(timeout=60)
        finally:
            done.set()

    def read() -> int:
        reads = 0
        with connection.cursor() as cursor:
            cursor.execute("SHOW transaction_isolation")
            assert cursor.fetchone() == ("read committed",)
        while not done.is_set() or reads == 0:
            for period, same in ((MARCH, expected), (odd, expected_odd)):
                reading = usage.quantity(meter=meter, subject="cus-0", period=period, at=AT + HOUR)
                assert (reading.quantity, reading.events) == (same.quantity, same.events)
                lags.add(reading.lag_seconds)
            hours = usage.hourly(meter=meter, subject="cus-0", period=odd)
            assert sum(hour.quantity for hour in hours) == expected_odd.quantity
            reads += 1
            turns.release()
        return reads

    together([fold, read, read])
    assert Decimal(3600) in lags
    assert not Batch.objects.filter(fold=None).exists()


def test_two_statements_would_have_lost_what_one_does_not(fresh_db: Database) -> None:
    """The reason for one statement, shown: buckets read before a fold and unfolded batches after it miss the batch."""
    meter = sum_meter()
    accept(*bodies(50, subjects=1))

    def fold_and_leave() -> None:
        fold_all()
        connection.close()

    with transaction.atomic():
        in_buckets = sum(Bucket.objects.values_list("events", flat=True))
        with ThreadPoolExecutor(1) as pool:
            pool.submit(fold_and_leave).result(timeout=60)
        unfolded = Event.objects.filter(batch__in=Batch.objects.filter(fold=None)).count()
    assert (in_buckets, unfolded) == (0, 0)
    assert total(meter, subjects=1) == (Decimal(sum(range(50))), 50)


_AGGREGATOR = """
import django; django.setup()
from datetime import datetime, UTC
from metering import aggregating
print("ready", flush=True)
while True:
    if aggregating.advance(at=datetime.now(UTC), limit=400).worked:
        print("folded", flush=True)
"""


def test_aggregators_killed_mid_way_fold_each_batch_once(fresh_db: Database) -> None:
    """Two processes fold; they are killed without warning, again and again, while events arrive."""
    meter = sum_meter()
    events = bodies(6_000)
    dice = random.Random(7)  # noqa: S311
    fed = 0
    kills = 0
    while fed < len(events) or kills < 6:
        process = subprocess.Popen(
            [sys.executable, "-c", _AGGREGATOR],
            cwd=ROOT,
            env={**fresh_db.env(), "DJANGO_SETTINGS_MODULE": "billing_ops.settings"},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "ready\n"
            for _ in range(dice.randint(2, 6)):
                accept(*events[fed : fed + 200])
                fed += 200
            if kills % 2:
                assert process.stdout.readline() == "folded\n"
        finally:
            os.kill(process.pid, signal.SIGKILL)  # somewhere within a fold, or between two
            process.wait(timeout=10)
            process.stdout.close()
        kills += 1
        assert total(meter)[1] == min(fed, len(events))
    sum_meter("late")
    fold_all()
    expected = (Decimal(sum(range(6_000))), 6_000)
    assert total(meter) == expected
    assert total(Meter.objects.get(key="late")) == expected
    assert sum(Bucket.objects.filter(meter=meter).values_list("events", flat=True)) == 6_000
