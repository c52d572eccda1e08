"""Postings a second through the door, with all guarantees on, against raw COPY of the same rows.

``python bench/posting.py [--rounds 5] [--batches 10] [--scale 10]`` makes a database of its own and drops it.

The work: batches of 1,000 entries of two lines (usage accrued: Dr 1110 of one of 10,000 customers, Cr 4000), one
transaction a batch, fully durable. **Door** is ``posting.post_many`` on drafts that are made beforehand: it looks for
their keys, locks, decides, formats and copies, and the triggers check and move the stored balances. **Raw** is COPY of
exactly the rows that the door writes (entries and lines, already formatted) into a twin of the two tables with the same
indexes and check constraints but without triggers: no rule across rows, no stored balance. The two are interleaved
batch by batch; the ratio is of the medians of rounds. Then the tables grow by ``--scale`` and both are measured again.

Then batches of the door alone are counted: bytes of write-ahead log and buffers touched an entry, which must not grow
with the history. Beside the wall clock stands the processor time of client and database backend (where ``/proc`` shows
it): on a busy machine that is the ratio to trust.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from billing_ops.embedded import roles  # noqa: E402
from tests.support.services import answering_server  # noqa: E402

BATCH, CUSTOMERS = 1_000, 10_000
AT = datetime(2025, 3, 4, 12, tzinfo=UTC)
TWIN = """
CREATE TABLE raw_entry (LIKE ledger_entry INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING CONSTRAINTS);
CREATE TABLE raw_line (LIKE ledger_line INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING CONSTRAINTS);
ALTER TABLE raw_entry ALTER id DROP IDENTITY IF EXISTS;
GRANT SELECT, INSERT ON raw_entry, raw_line TO billing_app;
"""


def make_database(name: str) -> tuple[str, Callable[[], None]]:
    """A migrated database; returns the application's address and how to drop it."""
    server, why = answering_server()
    if server is None:
        sys.exit(f"No PostgreSQL to measure on: {why}")
    admin = psycopg.connect(server.admin_url, autocommit=True)
    roles.ensure_roles(admin)
    admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    roles.create_database(admin, name)
    with psycopg.connect(server.url(name, "admin"), autocommit=True) as inside:
        roles.furnish_database(inside)
    environment = {
        **os.environ,
        "BILLING_ENV": "test",
        "BILLING_DB_ROLE": "owner",
        "DATABASE_URL": server.url(name),
        "OWNER_DATABASE_URL": server.url(name, "owner"),
    }
    command = [sys.executable, "manage.py", "prepare_database", "--verbosity", "0"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=300)
    with psycopg.connect(server.url(name, "owner"), autocommit=True) as owner:
        owner.execute(TWIN)

    def drop() -> None:
        admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    return server.url(name), drop


def processor_seconds(backend: int) -> float:
    """Processor time that this process and its database backend have used."""
    used = time.process_time()
    stat = Path(f"/proc/{backend}/stat")
    if stat.exists():
        fields = stat.read_text().rpartition(")")[2].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


class Bench:
    """Batches through the door and through COPY, on one connection."""

    def __init__(self) -> None:
        from billing_ops.kit.actor import system

        self.actor = system("bench")
        self.number = 0
        self.batch: list[Any] = []
        self.written: tuple[int, Any] = (0, [])
        self.texts = ("", "")

    def drafts(self) -> list[Any]:
        """The next batch, each entry of another customer, in an order that is not the accounts'."""
        from ledger.rules import movements
        from ledger.rules.entries import EntryDraft

        made = []
        for step in range(BATCH):
            number = self.number * BATCH + step
            customer = f"cus-{number * 7919 % CUSTOMERS}"
            amount = Decimal(number % 9_999_999 + 1).scaleb(-6)
            lines = movements.usage_accrued(customer_key=customer, unit="USD", amount=amount)
            made.append(
                EntryDraft(movements.USAGE_ACCRUED, f"accrual:{number}", lines, AT, self.actor, customer_key=customer)
            )
        self.number += 1
        return made

    def prepare_door(self) -> None:
        """Make the drafts of the next batch."""
        self.batch = self.drafts()

    def door(self) -> None:
        """Post the batch, and keep what was copied in."""
        from ledger import copying, posting

        copy_in = copying.copy_in

        def keep(book_id: int, rows: Any) -> Any:
            self.written = (book_id, copy_in(book_id, rows))
            return self.written[1]

        copying.copy_in = keep
        try:
            posting.post_many(self.batch, at=AT)
        finally:
            copying.copy_in = copy_in

    def prepare_raw(self) -> None:
        """Format what the door wrote."""
        from ledger import copying

        book_id, rows = self.written
        self.texts = (copying.entry_text(book_id, rows), copying.line_text(rows))

    def raw(self) -> None:
        """COPY the same rows into the twins."""
        from django.db import connection, transaction

        from ledger import copying

        with transaction.atomic(), connection.cursor() as cursor:
            with cursor.copy(f"COPY raw_entry ({copying.ENTRY_COLUMNS}) FROM STDIN") as copy:
                copy.write(self.texts[0])
            with cursor.copy(f"COPY raw_line ({copying.LINE_COLUMNS}) FROM STDIN") as copy:
                copy.write(self.texts[1])

    def grow(self, batches: int) -> None:
        """Let the history of both grow by that many batches."""
        for _ in range(batches):
            self.prepare_door()
            self.door()
            self.prepare_raw()
            self.raw()


@dataclass(frozen=True)
class Cost:
    """What the database wrote and touched for one item."""

    wal_bytes: float
    buffers: float


def count_cost(run: Callable[[], None], items: int) -> Cost:
    """Bytes of write-ahead log and buffers (hit or read) an item, of work that one connection does alone."""
    from django.db import connection

    def counters() -> tuple[float, float]:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_force_next_flush()")
            cursor.execute("SELECT 1")
            cursor.execute(
                "SELECT pg_current_wal_insert_lsn() - '0/0', blks_hit + blks_read FROM pg_stat_database"
                " WHERE datname = current_database()"
            )
            wal, buffers = cursor.fetchone()
        return float(wal), float(buffers)

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
    before = counters()
    run()
    after = counters()
    return Cost((after[0] - before[0]) / items, (after[1] - before[1]) / items)


def measure(bench: Bench, *, rounds: int, batches: int, label: str) -> Cost:
    """Print the ratio of the medians of interleaved rounds; what one entry costs the database."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        backend = cursor.fetchone()[0]
    doors, raws, costs = [], [], [0.0, 0.0]
    for _ in range(rounds):
        seconds = [0.0, 0.0]
        for _ in range(batches):
            for index, (prepare, run) in enumerate(((bench.prepare_door, bench.door), (bench.prepare_raw, bench.raw))):
                prepare()
                before, begun = processor_seconds(backend), time.perf_counter()
                run()
                seconds[index] += time.perf_counter() - begun
                costs[index] += processor_seconds(backend) - before
        doors.append(batches * BATCH / seconds[0])
        raws.append(batches * BATCH / seconds[1])
    door, raw = statistics.median(doors), statistics.median(raws)
    each = 1_000 / (rounds * batches)
    print(
        f"{label}: door {door:,.0f} entries/s ({min(doors):,.0f} to {max(doors):,.0f}), "
        f"raw COPY {raw:,.0f} ({min(raws):,.0f} to {max(raws):,.0f}), ratio {door / raw:.2f}; "
        f"processor {costs[0] * each:.0f} and {costs[1] * each:.0f} ms a batch, ratio {costs[1] / costs[0]:.2f}"
    )
    return count_doors(bench, label=label)


def count_doors(bench: Bench, *, label: str) -> Cost:
    """Print and return what an entry costs the database, once each page was logged since the last checkpoint.

    The least of four passes counts: the log is the whole server's, and others may write to it meanwhile.

    The first change of a page after a checkpoint logs the whole page: how often that happens is a matter of the
    server's checkpoints and not of our work, so it is printed apart.
    """
    batches = CUSTOMERS // BATCH

    def counted() -> Cost:
        prepared = [bench.drafts() for _ in range(batches)]

        def doors() -> None:
            for bench.batch in prepared:
                bench.door()

        return count_cost(doors, batches * BATCH)

    checkpoint()
    cold = counted()
    cost = min((counted() for _ in range(4)), key=lambda cost: cost.wal_bytes)
    print(
        f"{label}: {cost.wal_bytes:,.0f} bytes of write-ahead log an entry (right after a checkpoint "
        f"{cold.wal_bytes:,.0f}), {cost.buffers:.1f} buffers",
        flush=True,
    )
    return cost


def checkpoint() -> None:
    """Let the server write a checkpoint now."""
    server, _ = answering_server()
    if server is not None:
        with psycopg.connect(server.admin_url, autocommit=True) as admin:
            admin.execute("CHECKPOINT")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--batches", type=int, default=10, help="batches of 1,000 a round")
    options.add_argument("--history", type=int, default=100, help="batches that are there before the first measurement")
    options.add_argument("--scale", type=int, default=10, help="how many times the history of the first measurement")
    given = options.parse_args()
    address, drop = make_database("bo_bench_posting")
    try:
        os.environ.update({"DJANGO_SETTINGS_MODULE": "billing_ops.settings", "BILLING_ENV": "test"})
        os.environ.update({"BILLING_DB_ROLE": "app", "DATABASE_URL": address})
        import django

        django.setup()
        bench = Bench()
        bench.grow(max(given.history, CUSTOMERS // BATCH))  # every account is there, and both tables begin alike
        once = measure(bench, rounds=given.rounds, batches=given.batches, label="1x")
        if given.scale > 1:
            bench.grow((given.scale - 1) * bench.number)
            more = measure(bench, rounds=given.rounds, batches=given.batches, label=f"{given.scale}x")
            print(
                f"{given.scale} times the history: log {more.wal_bytes / once.wal_bytes:.2f} times, "
                f"buffers {more.buffers / once.buffers:.2f} times an entry"
            )
    finally:
        from django.db import connections

        connections.close_all()
        drop()


if __name__ == "__main__":
    main()
