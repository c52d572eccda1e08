"""Postings a second through the door, beside two public ledgers on the same PostgreSQL, in one run.

``python -m bench.peers --pgledger DIR --hordak PYTHON [--rounds 5] [--seconds 4]`` makes databases of its own and drops
them. ``DIR`` holds pgledger's published SQL (``pgledger.sql`` and the two files of its vendored ULID functions);
``PYTHON`` is an interpreter of an environment with ``django-hordak`` and ``psycopg`` in it. Neither is a dependency of
ours, and none of their code is here. A peer that is not given is left out, and the output says so.

The work is the same: a transfer from one account to another, of two lines, with stored balances, durable (the
server's own ``synchronous_commit``), over 10,000 accounts. What is compared:

* **one at a time**: pgledger called by pgbench with 32 clients, one transfer a call; hordak's ``Account.transfer_to``
  from as many processes as are fastest (1, 2 and 4 are tried); ours posts batches of 1,000 from two processes, which
  is what callers who come one at a time get through a batcher.
* **100 at a time**: pgledger's ``pgledger_create_transfers`` with 100 transfers a call, ours ``post_many`` of 100, each
  from one and from two clients, the faster of the two.
* **one hot account**: every transfer takes from one account; pgledger from 32 clients, ours in batches of 1,000.

Calls are prepared beforehand on all sides. Rounds are interleaved; medians are compared. Ours checks more (routes,
periods, append-only, keys, two clocks); no guarantee is switched off on either side.
"""

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

from bench.posting import CUSTOMERS, ROOT, make_database
from tests.support.services import answering_server

AT = datetime(2025, 3, 4, 12, tzinfo=UTC)
MOST_A_SECOND = 40_000
"""Transfers that are prepared for each second of one client."""
PGLEDGER_FILES = ("ulid-to-uuid.sql", "uuid-to-ulid.sql", "pgledger.sql")


def transfers(count: int, start: int, hot: bool) -> list[Any]:
    """Drafts of the shared work: usage of one customer after the other, or of a single one."""
    from billing_ops.kit.actor import system
    from ledger.rules import movements
    from ledger.rules.entries import EntryDraft

    actor = system("bench")
    made = []
    for number in range(start, start + count):
        customer = "cus-hot" if hot else f"cus-{number * 7919 % CUSTOMERS}"
        amount = Decimal(number % 9_999_999 + 1).scaleb(-6)
        lines = movements.usage_accrued(customer_key=customer, unit="USD", amount=amount)
        key = f"peer:{os.getpid()}:{number}"
        made.append(EntryDraft(movements.USAGE_ACCRUED, key, lines, AT, actor, customer_key=customer))
    return made


def work_ours(batch: int, seconds: float, hot: bool) -> None:
    """A client of ours: post batches until the time is over, and print how many transfers a second that was."""
    import time

    import django

    django.setup()
    from ledger import posting

    posting.post_many(transfers(batch, 0, hot), at=AT)
    most = int(MOST_A_SECOND * seconds / batch) + 1
    prepared = [transfers(batch, batch * (1 + number), hot) for number in range(most)]
    gc.freeze()  # the drafts of the whole run are the measurement's, no caller keeps so many
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    done, begun = 0, time.perf_counter()
    for drafts in prepared:
        posting.post_many(drafts, at=AT)
        done += batch
        if time.perf_counter() - begun >= seconds:
            break
    print(done / (time.perf_counter() - begun))


def together(command: list[str], count: int, environment: dict[str, str]) -> float:
    """The rates of so many processes of one kind that start at the same moment, added up."""
    clients = [
        subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    for client in clients:
        if client.stdout is None or client.stdout.readline().strip() != "ready":
            raise SystemExit(f"A client did not start: {' '.join(command)}")
    for client in clients:
        if client.stdin is not None:
            client.stdin.write("go\n")
            client.stdin.flush()
    return sum(float(client.communicate()[0].split()[-1]) for client in clients)


class Ours:
    """The door, in a migrated database with every guarantee."""

    def __init__(self, seconds: float) -> None:
        address, self.drop = make_database("bo_bench_peers")
        self.seconds = seconds
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "billing_ops.settings",
            "BILLING_ENV": "test",
            "BILLING_DB_ROLE": "app",
            "DATABASE_URL": address,
            "PYTHONPATH": str(ROOT),
        }
        self.rate(batch=1_000, clients=1)  # opens the accounts

    def rate(self, *, batch: int, clients: int, hot: bool = False) -> float:
        command = [sys.executable, "-m", "bench.peers", "--client", str(batch), "--seconds", str(self.seconds)]
        return together(command + ["--hot"] * hot, clients, self.environment)


class PgLedger:
    """pgledger's published functions, called by pgbench."""

    def __init__(self, directory: Path, seconds: float) -> None:
        server, why = answering_server()
        if server is None:
            sys.exit(f"No PostgreSQL to measure on: {why}")
        self.seconds = seconds
        self.admin = psycopg.connect(server.admin_url, autocommit=True)
        self.admin.execute("DROP DATABASE IF EXISTS bo_bench_pgledger WITH (FORCE)")
        self.admin.execute("CREATE DATABASE bo_bench_pgledger")
        self.url = server.url("bo_bench_pgledger", "admin")
        with psycopg.connect(self.url, autocommit=True) as inside:
            for name in PGLEDGER_FILES:
                inside.execute((directory / name).read_bytes())
            inside.execute(
                "CREATE TABLE numbered (n bigint PRIMARY KEY, id text NOT NULL);"
                "INSERT INTO numbered SELECT n, (pgledger_create_account('account ' || n, 'USD')).id"
                f" FROM generate_series(0, {CUSTOMERS}) n"
            )
            self.ids = [row[0] for row in inside.execute("SELECT id FROM numbered ORDER BY n")]

    def drop(self) -> None:
        self.admin.execute("DROP DATABASE IF EXISTS bo_bench_pgledger WITH (FORCE)")

    def rate(self, *, batch: int, clients: int, hot: bool = False) -> float:
        """Transfers a second. The ids are looked up outside of the measured work: the script holds them."""
        if batch == 1:
            script = self._single(hot)
        else:
            script = (
                f"\\set a random(0, {CUSTOMERS - 1})\n"
                "SELECT count(*) FROM pgledger_create_transfers("
                "(SELECT array_agg(ROW(f.id, t.id, 0.000123)::transfer_request)"
                f" FROM generate_series(0, {batch - 1}) s"
                f" JOIN numbered f ON f.n = (:a + s * 7919) % {CUSTOMERS}"
                f" JOIN numbered t ON t.n = (:a + s * 7919 + 1) % {CUSTOMERS}));\n"
            )
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
            file.write(script)
            file.flush()
            command = ["pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(int(self.seconds))]
            result = subprocess.run(
                [*command, "-f", file.name, self.url], capture_output=True, text=True, check=False, timeout=300
            )
        for line in result.stdout.splitlines():
            if line.startswith("tps = "):
                return float(line.split()[2]) * batch
        sys.exit(f"pgbench failed: {result.stderr[-500:]}")

    def _single(self, hot: bool) -> str:
        other = f"((:a * 7919) + 1) % {CUSTOMERS}"
        source = f"'{self.ids[CUSTOMERS]}'" if hot else "(SELECT id FROM numbered WHERE n = :a)"
        target = f"(SELECT id FROM numbered WHERE n = {other})"
        return (
            f"\\set a random(0, {CUSTOMERS - 1})\n"
            f"SELECT id FROM pgledger_create_transfer({source}, {target}, 0.000123);\n"
        )


class Hordak:
    """django-hordak, in an environment and a database of its own."""

    def __init__(self, python: str, seconds: float) -> None:
        server, why = answering_server()
        if server is None:
            sys.exit(f"No PostgreSQL to measure on: {why}")
        self.admin = psycopg.connect(server.admin_url, autocommit=True)
        self.admin.execute("DROP DATABASE IF EXISTS bo_bench_hordak WITH (FORCE)")
        self.admin.execute("CREATE DATABASE bo_bench_hordak")
        url = server.url("bo_bench_hordak", "admin")
        self.command = [python, str(ROOT / "bench" / "peers_hordak.py"), "--seconds", str(seconds)]
        self.environment = {**os.environ, "HORDAK_DATABASE_URL": url}
        for name in ("DJANGO_SETTINGS_MODULE", "PYTHONPATH"):
            self.environment.pop(name, None)
        subprocess.run([*self.command, "--prepare"], env=self.environment, check=True, capture_output=True, timeout=600)

    def drop(self) -> None:
        self.admin.execute("DROP DATABASE IF EXISTS bo_bench_hordak WITH (FORCE)")

    def rate(self, clients: int) -> float:
        return together(self.command, clients, self.environment)


def compare(title: str, aim: float, rounds: int, ours: Callable[[], float], peer: Callable[[], float]) -> None:
    """Interleave, and print the ratio of the medians beside its aim."""
    mine, theirs = [], []
    for _ in range(rounds):
        theirs.append(peer())
        mine.append(ours())
    ratio = statistics.median(mine) / statistics.median(theirs)
    print(
        f"{title}: ours {statistics.median(mine):,.0f}/s ({min(mine):,.0f} to {max(mine):,.0f}), "
        f"peer {statistics.median(theirs):,.0f}/s ({min(theirs):,.0f} to {max(theirs):,.0f}), "
        f"ratio {ratio:.1f} (aim {aim:g})",
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pgledger", type=Path, default=os.environ.get("BENCH_PGLEDGER"))
    options.add_argument("--hordak", default=os.environ.get("BENCH_HORDAK"))
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=float, default=4)
    options.add_argument("--client", type=int, help=argparse.SUPPRESS)
    options.add_argument("--hot", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.client:
        work_ours(given.client, given.seconds, given.hot)
        return
    if not given.pgledger and not given.hordak:
        print("No peer is given (--pgledger, --hordak): nothing to compare with.")
        return
    ours = Ours(given.seconds)
    try:
        if given.pgledger:
            beside_pgledger(ours, PgLedger(Path(given.pgledger), given.seconds), given.rounds)
        else:
            print("pgledger is not given: left out.")
        if given.hordak:
            beside_hordak(ours, Hordak(given.hordak, given.seconds), given.rounds)
        else:
            print("django-hordak is not given: left out.")
    finally:
        ours.drop()


def beside_pgledger(ours: Ours, peer: PgLedger, rounds: int) -> None:
    try:
        compare(
            "one at a time, 32 clients of pgledger, ours batched from 2",
            10,
            rounds,
            lambda: ours.rate(batch=1_000, clients=2),
            lambda: peer.rate(batch=1, clients=32),
        )
        compare(
            "100 at a time, one or two clients each",
            2,
            rounds,
            lambda: max(ours.rate(batch=100, clients=n) for n in (1, 2)),
            lambda: max(peer.rate(batch=100, clients=n) for n in (1, 2)),
        )
        compare(
            "one hot account, 32 clients of pgledger, ours batched from 1",
            20,
            rounds,
            lambda: ours.rate(batch=1_000, clients=1, hot=True),
            lambda: peer.rate(batch=1, clients=32, hot=True),
        )
    finally:
        peer.drop()


def beside_hordak(ours: Ours, peer: Hordak, rounds: int) -> None:
    try:
        clients = max((1, 2, 4), key=peer.rate)
        compare(
            f"one at a time, {clients} processes of django-hordak, ours batched from 2",
            30,
            rounds,
            lambda: ours.rate(batch=1_000, clients=2),
            lambda: peer.rate(clients),
        )
    finally:
        peer.drop()


if __name__ == "__main__":
    main()
