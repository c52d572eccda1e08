"""How long the books' reads take at size, each beside the plain scan of the lines that it stands for.

``python -m bench.reads [--lines 5000000] [--hot 1000000] [--rounds 7]`` makes a database of its own and drops it.

The database holds entries of two lines over 400 days and 10,000 customers; ``--hot`` lines stand on one customer's
account. They are written by SQL with the triggers off (posting is measured elsewhere), then rolled up by the product's
own task, except the last day's, which stay the tail that a reader adds. Measured, interleaved with the scans:

* a customer's balances (what the console and the API read), of the hot customer;
* the hot account as of an instant inside of a day, on both clocks;
* the trial balance now, and as of an instant inside of a day, on both clocks.

Every figure is compared with the scan's, to the last digit, before it is timed.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import psycopg

from bench.posting import make_database
from tests.support.services import answering_server

NAME = "bo_bench_reads"
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, CUSTOMERS, MADE_A_TIME = 400, 10_000, 250_000
UNTIL = BEGIN + timedelta(days=200, hours=13, minutes=7)
KNOWN = BEGIN + timedelta(days=300, hours=9, minutes=41)

ACCOUNTS = f"""
INSERT INTO ledger_account (public_id, book_id, code, customer_key, dimension, unit)
SELECT gen_random_uuid(), b.id, '1110', 'cus-' || n, '', 'USD' FROM ledger_book b, generate_series(0, {CUSTOMERS - 1}) n
UNION ALL SELECT gen_random_uuid(), b.id, '4000', '', '', 'USD' FROM ledger_book b;
"""
PERIODS = """
INSERT INTO ledger_period (book_id, starts_on, ends_before, status, closed_by)
SELECT b.id, m::date, (m + interval '1 month')::date, 'open', ''
  FROM ledger_book b, generate_series('2024-01-01'::date, '2025-03-01', '1 month') m;
"""
ENTRIES = f"""
INSERT INTO ledger_entry (id, public_id, book_id, source, idempotency_key, event_type, effective_at, effective_on,
                          occurred_at, recorded_at, period_id, line_count, customer_key, invoice_ref, grant_ref,
                          stripe_ref, batch_ref, actor_type, actor_id, reason_code, reason_note, ticket, metadata)
OVERRIDING SYSTEM VALUE
SELECT n, gen_random_uuid(), 1, 'bench', 'k' || n, 'usage.accrued', at, (at AT TIME ZONE 'UTC')::date, NULL,
       at + interval '1 hour' * (n %% 30), p.id, 2, 'cus-' || customer, '', '', '', '',
       'system', 'bench', '', '', '', '{{}}'
  FROM (SELECT n,
               timestamptz '2024-01-01 00:00Z' + interval '{DAYS} days' * (n::float8 / %(all)s) AS at,
               CASE WHEN n %% %(every)s = 0 THEN 0 ELSE (n * 7919) %% {CUSTOMERS} END AS customer
          FROM generate_series(%(first)s::bigint, %(last)s::bigint) n) made
  JOIN ledger_period p
    ON p.starts_on <= (at AT TIME ZONE 'UTC')::date AND (at AT TIME ZONE 'UTC')::date < p.ends_before
"""
LINES = """
INSERT INTO ledger_line
    (entry_id, line_no, account_id, unit, side, amount, account_version, balance_after, effective_on)
SELECT e.id, 1, a.id, 'USD', 1, (e.id %% 9999999 + 1) * 0.000001, e.id, 0, e.effective_on
  FROM ledger_entry e JOIN ledger_account a ON a.customer_key = e.customer_key AND a.code = '1110'
 WHERE e.id BETWEEN %(first)s AND %(last)s
UNION ALL
SELECT e.id, 2, r.id, 'USD', -1, (e.id %% 9999999 + 1) * 0.000001, NULL, NULL, e.effective_on
  FROM ledger_entry e, (SELECT id FROM ledger_account WHERE code = '4000') r
 WHERE e.id BETWEEN %(first)s AND %(last)s
"""
BALANCES = """
UPDATE ledger_balance b SET debits = s.debits, version = s.lines
  FROM (SELECT account_id, sum(amount) AS debits, count(*) AS lines FROM ledger_line GROUP BY 1) s
 WHERE s.account_id = b.account_id
"""
SCAN_TRIAL = """
SELECT a.code, coalesce(sum(l.amount) FILTER (WHERE l.side = 1), 0),
       coalesce(sum(l.amount) FILTER (WHERE l.side = -1), 0)
  FROM ledger_line l JOIN ledger_account a ON a.id = l.account_id JOIN ledger_entry e ON e.id = l.entry_id
 WHERE a.unit = 'USD' AND (%(until)s::timestamptz IS NULL OR e.effective_at < %(until)s)
   AND (%(known)s::timestamptz IS NULL OR e.recorded_at < %(known)s) GROUP BY 1 ORDER BY 1
"""
SCAN_ACCOUNT = """
SELECT coalesce(sum(l.side * l.amount), 0) FROM ledger_line l JOIN ledger_entry e ON e.id = l.entry_id
 WHERE l.account_id = %(account)s AND (%(until)s::timestamptz IS NULL OR e.effective_at < %(until)s)
   AND (%(known)s::timestamptz IS NULL OR e.recorded_at < %(known)s)
"""


def fill(lines: int, hot: int) -> None:
    """Write the history, with the triggers off; roll all of it up but its last day."""
    server, _ = answering_server()
    assert server is not None
    entries = lines // 2
    every = max(entries // hot, 1)
    with psycopg.connect(server.url(NAME, "admin"), autocommit=True) as admin:
        admin.execute("SET session_replication_role = replica")
        admin.execute(PERIODS)
        admin.execute("SET session_replication_role = origin")
        admin.execute(ACCOUNTS)
        admin.execute("SET session_replication_role = replica")
        tail = entries - entries // DAYS
        bounds = [*range(1, tail, MADE_A_TIME), tail, entries + 1]
        for first, end in pairwise(bounds):
            if end == entries + 1:
                rolled_up()
            values = {"first": first, "last": end - 1, "all": entries, "every": every}
            admin.execute(ENTRIES, values)
            admin.execute(LINES, values)
        admin.execute(BALANCES)
        admin.execute("SET session_replication_role = origin")
        admin.execute("VACUUM ANALYZE")


def rolled_up() -> None:
    """Run the product's roll-up until nothing waits."""
    from ledger import rolling_up

    begun, done, more = time.perf_counter(), 0, True
    while more:
        result = rolling_up.roll_up()
        done, more = done + result.entries, result.more
    seconds = time.perf_counter() - begun
    print(f"roll-up: {done:,} entries in {seconds:.1f} s, {done / max(seconds, 0.001):,.0f} entries/s", flush=True)


def beside(title: str, rounds: int, ours: Callable[[], Any], scan: Callable[[], Any]) -> None:
    """Compare the answers, then the times of both, interleaved."""
    if ours() != scan():
        sys.exit(f"{title}: {ours()} is not what the scan says: {scan()}")
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for index, run in enumerate((ours, scan)):
            begun = time.perf_counter()
            run()
            seconds[index].append(time.perf_counter() - begun)
    mine, theirs = (statistics.median(column) for column in seconds)
    print(
        f"{title}: {mine * 1e3:,.1f} ms (most {max(seconds[0]) * 1e3:,.1f}), scan {theirs * 1e3:,.1f} ms, "
        f"{theirs / mine:,.0f} times faster",
        flush=True,
    )


def measure(rounds: int) -> None:
    from django.db import connection

    from ledger import balances
    from ledger.models import Account

    hot = Account.objects.get(code="1110", customer_key="cus-0")

    def rows(sql: str, **values: Any) -> list[Any]:
        with connection.cursor() as cursor:
            cursor.execute(sql, values)
            found: list[Any] = cursor.fetchall()
        return found

    def scanned(until: datetime | None = None, known: datetime | None = None) -> list[Any]:
        return rows(SCAN_TRIAL, until=until, known=known)

    def trial(until: datetime | None = None, known: datetime | None = None) -> list[Any]:
        return [
            (line.code, line.debits, line.credits)
            for line in balances.trial_balance(unit="USD", until=until, known=known)
        ]

    def account_scan(until: datetime | None = None, known: datetime | None = None) -> Any:
        return rows(SCAN_ACCOUNT, account=hot.pk, until=until, known=known)[0][0]

    lines = rows("SELECT count(*) FROM ledger_line WHERE account_id = %(account)s", account=hot.pk)[0][0]
    total = rows("SELECT count(*) FROM ledger_line")[0][0]
    print(f"{total:,} lines, {lines:,} of them on one customer's account", flush=True)
    beside(
        "balances of that customer",
        rounds * 5,
        lambda: balances.of(customer_key="cus-0", unit="USD").unbilled,
        account_scan,
    )
    beside(
        "that account as of both clocks, inside of a day",
        rounds,
        lambda: balances.as_of(account=hot, until=UNTIL, known=KNOWN),
        lambda: account_scan(UNTIL, KNOWN),
    )
    beside("trial balance now", rounds, trial, scanned)
    beside(
        "trial balance as of both clocks, inside of a day",
        rounds,
        lambda: trial(UNTIL, KNOWN),
        lambda: scanned(UNTIL, KNOWN),
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--lines", type=int, default=5_000_000)
    options.add_argument("--hot", type=int, default=1_000_000, help="lines on one customer's account")
    options.add_argument("--rounds", type=int, default=7)
    given = options.parse_args()
    address, drop = make_database(NAME)
    try:
        os.environ.update({"DJANGO_SETTINGS_MODULE": "billing_ops.settings", "BILLING_ENV": "test"})
        os.environ.update({"BILLING_DB_ROLE": "app", "DATABASE_URL": address})
        import django

        django.setup()
        fill(given.lines, given.hot)
        measure(given.rounds)
    finally:
        from django.db import connections

        connections.close_all()
        drop()


if __name__ == "__main__":
    main()
