"""Invoices a second, drafted and finalised, against plain INSERTs of the very same rows, in the same run.

    python -m bench.invoices [--customers 200 2000] [--rounds 5] [--events 20]

The work: customers on a plan of a fee and two metered prices, each with ``--events`` folded usage events, whose first
month ends. ``billing.draft_due`` and ``billing.finalize_due`` make an invoice of three lines for each, with two
accruals and the journal entries behind them: rated twice, numbered, frozen, posted, a transaction a draft and one a
finalisation. Nothing is collected and no broker answers. **Plain INSERTs** is psycopg putting the rows of those
invoices (invoice, lines, entries, ledger lines) into copies of the tables without an index or a constraint, a
transaction an invoice. Each round has a fresh copy of the same database for two processes at once and for one, and
then the rows; ratios are of medians.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from billing_ops.embedded import roles
from tests.support.database import ROOT, Database, Databases
from tests.support.services import answering_server

_WORLD = """
import sys
import django; django.setup()
from datetime import timedelta
from invoicing import billing
from tests.support.billing import START, TESTER, event, fold, make_world, send
customers, events = int(sys.argv[1]), int(sys.argv[2])
world = make_world()
for number in range(customers):
    world.subscribe(world.customer(f"cus-{number}"))
billing.draft_due(until=START, at=START, actor=TESTER)
billing.finalize_due(at=START, actor=TESTER)
noon = START + timedelta(days=10, hours=12)
rows = [
    event(number, subject=f"cus-{number % customers}", time=noon + timedelta(minutes=7 * (number // customers)),
          context=number * 7919 % 90_000, generated=number * 31 % 9_000)
    for number in range(customers * events)
]
for begin in range(0, len(rows), 5_000):
    send(rows[begin:begin + 5_000], at=noon + timedelta(days=3))
fold(noon + timedelta(days=3))
"""
_RUN = """
import sys, time
import django; django.setup()
from datetime import timedelta
from django.db import connection
from invoicing import billing
from tests.support.billing import MONTH_LATER, TESTER
at = MONTH_LATER + timedelta(hours=1)
connection.ensure_connection()
print("ready", flush=True)
sys.stdin.readline()
begun = time.perf_counter()
billing.draft_due(until=at, at=at, actor=TESTER)
billing.finalize_due(at=at, actor=TESTER)
print(time.perf_counter() - begun)
"""
_NEW = "(SELECT id FROM invoicing_invoice WHERE trigger <> (SELECT min(trigger) FROM invoicing_invoice))"
_ENTRIES = f"""(SELECT entry_id FROM invoicing_invoice WHERE id IN {_NEW}
                UNION SELECT entry_id FROM invoicing_accrual)"""
_TABLES = {
    "invoicing_invoice": f"id IN {_NEW}",
    "invoicing_invoiceline": f"invoice_id IN {_NEW}",
    "ledger_entry": f"id IN {_ENTRIES}",
    "ledger_line": f"entry_id IN {_ENTRIES}",
}

Row = tuple[Any, ...]


def environment(database: Database) -> dict[str, str]:
    return {
        **database.env(),
        "DJANGO_SETTINGS_MODULE": "billing_ops.settings",
        "BILLING_ENV": "test",
        "LOG_LEVEL": "ERROR",
        "REDIS_URL": "redis://127.0.0.1:1/0",  # nobody there
    }


def program(database: Database, script: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, env=environment(database), text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip


def bill(database: Database, processes: int) -> float:
    """Seconds until every invoice is drafted and final, by that many processes begun at once."""
    running = [program(database, _RUN) for _ in range(processes)]
    for each in running:
        assert each.stdout is not None
        if each.stdout.readline().strip() != "ready":
            raise SystemExit("a process did not start")
    begun = time.perf_counter()
    for each in running:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    for each in running:
        each.communicate(timeout=1800)
    return time.perf_counter() - begun


def rows_of(database: Database) -> dict[str, dict[int, list[Row]]]:
    """The rows of each table by the invoice that they belong to (accruals count to their customer's invoice)."""
    key = {
        "invoicing_invoice": "id",
        "invoicing_invoiceline": "invoice_id",
        "ledger_entry": "(SELECT max(i.id) FROM invoicing_invoice i JOIN plans_customer c ON c.id = i.customer_id "
        "WHERE c.key = ledger_entry.customer_key)",
        "ledger_line": "(SELECT max(i.id) FROM invoicing_invoice i JOIN plans_customer c ON c.id = i.customer_id "
        "JOIN ledger_entry e ON e.customer_key = c.key WHERE e.id = ledger_line.entry_id)",
    }
    found: dict[str, dict[int, list[Row]]] = {}
    with database.connect() as connection:
        for table, which in _TABLES.items():
            grouped = found.setdefault(table, {})
            for invoice, *row in connection.execute(f"SELECT {key[table]}, * FROM {table} WHERE {which}").fetchall():
                values = tuple(Jsonb(value) if isinstance(value, dict | list) else value for value in row)
                grouped.setdefault(invoice, []).append(values)
    return found


def insert(database: Database, rows: dict[str, dict[int, list[Row]]]) -> float:
    """Seconds for those rows, a transaction an invoice, into tables without an index or a constraint."""
    statements = {}
    with database.connect(role="owner") as owner:
        for table in _TABLES:
            owner.execute(f"DROP TABLE IF EXISTS plain_{table}")
            owner.execute(f"CREATE TABLE plain_{table} AS SELECT * FROM {table} WITH NO DATA")
            owner.execute(f"GRANT INSERT ON plain_{table} TO {roles.APP}")
            width = len(next(iter(rows[table].values()))[0])
            statements[table] = f"INSERT INTO plain_{table} VALUES ({', '.join(['%s'] * width)})"
    with database.connect(autocommit=False) as connection, connection.cursor() as cursor:
        begun = time.perf_counter()
        for invoice in rows["invoicing_invoice"]:
            for table, statement in statements.items():
                cursor.executemany(statement, rows[table].get(invoice, []))
            connection.commit()
        return time.perf_counter() - begun


def check(database: Database, customers: int) -> None:
    """What was measured was done: every invoice final, numbered without a gap."""
    with database.connect() as connection:
        made = connection.execute(
            "SELECT count(*), count(number), min(lines), max(lines) FROM invoicing_invoice i, LATERAL "
            f"(SELECT count(*) AS lines FROM invoicing_invoiceline WHERE invoice_id = i.id) l WHERE id IN {_NEW}"
        ).fetchone()
    if made != (customers, customers, 3, 3):
        raise SystemExit(f"not every invoice was made: {made}")


def copy_of(admin: "psycopg.Connection[Any]", world: Database, name: str) -> Database:
    admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    roles.create_database(admin, name, template=world.name)
    return Database(world.server, name)


def measure(databases: Databases, customers: int, options: argparse.Namespace) -> None:
    seconds: dict[str, list[float]] = {"one process": [], "two processes": [], "plain INSERTs": []}
    admin = psycopg.connect(databases.server.admin_url, autocommit=True)
    with databases.fresh() as world:
        made = program(world, _WORLD, str(customers), str(options.events))
        made.communicate(timeout=3600)
        if made.returncode:
            raise SystemExit("the customers could not be made")
        name = f"{world.name.rpartition('_')[0]}_copy"  # of this run: others take its databases for living ones
        for _ in range(options.rounds):
            for label, processes in (("two processes", 2), ("one process", 1)):
                database = copy_of(admin, world, name)
                seconds[label].append(bill(database, processes))
                check(database, customers)
            seconds["plain INSERTs"].append(insert(database, rows_of(database)))
        admin.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    admin.close()
    report(customers, options, seconds)


def report(customers: int, options: argparse.Namespace, seconds: dict[str, list[float]]) -> None:
    def rates(label: str) -> Sequence[float]:
        return [customers / taken for taken in seconds[label]]

    base = statistics.median(rates("plain INSERTs"))
    print(f"\n{customers:,} invoices of three lines, {options.events} events each, {options.rounds} rounds, medians")
    for label in seconds:
        found = rates(label)
        rate = statistics.median(found)
        ratio = "" if label == "plain INSERTs" else f"   ratio {rate / base:.3f}"
        print(f"  {label:<14}{rate:>9,.0f} invoices/s   ({min(found):,.0f} to {max(found):,.0f}){ratio}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, nargs="*", default=[200, 2000])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=20)
    options = parser.parse_args()
    server, why = answering_server()
    if server is None:
        raise SystemExit(f"This needs a PostgreSQL server: {why}")
    os.environ.setdefault("REDIS_NAMESPACE", "bo-bench:")
    databases = Databases(server)
    try:
        for customers in options.customers:
            measure(databases, customers, options)
    finally:
        databases.close()


if __name__ == "__main__":
    main()
