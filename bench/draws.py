"""Draws on ONE customer, strongly consistent and never above the credit, each way beside its baseline.

``python bench/draws.py [--rounds 5] [--only batcher,bulk,single,history]`` makes a database of its own and drops it.

* **batcher**: 64 caller threads in one process, one draw at a time each, through ``ledger.batching``; baseline: the
  same callers without it, one transaction a draw.
* **bulk**: ``POST /draws/batch`` of 5,000 draws over HTTP, granian as ``make run`` starts it, two connections; database
  and load generator on the same cores. Baseline: COPY of as many rows into twins of the two tables with their indexes
  and check constraints, without triggers, entry or HTTP.
* **single**: ``POST /draws`` over HTTP, 64 connections, closed loop; baseline: a route that does nothing, in the best
  of several configurations of the same server. Then an open loop at 70 % of the maximum.
* **history**: rate, WAL bytes and buffers a draw at 1x and 10x the draws in the tables.

Rounds of a measurement and its baseline are interleaved; what is printed is the median. The processor's load before the
start is printed too: on a busy machine none of it means much.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bench import load  # noqa: E402
from bench.posting import make_database  # noqa: E402
from billing_ops.embedded.home import port_is_free  # noqa: E402

CUSTOMER, AMOUNT, BULK, CALLERS = "cus-bench", Decimal("0.003"), 5_000, 64
TWINS = """
CREATE TABLE raw_draw (LIKE ledger_credit_draw INCLUDING DEFAULTS INCLUDING INDEXES INCLUDING CONSTRAINTS);
CREATE TABLE raw_allocation (LIKE ledger_credit_draw_allocation INCLUDING DEFAULTS INCLUDING INDEXES
                            INCLUDING CONSTRAINTS);
GRANT SELECT, INSERT ON raw_draw, raw_allocation TO billing_app;
"""


class Keys:
    """Keys that grow, as those of events do; never one twice."""

    def __init__(self) -> None:
        self.number = 0
        self.lock = threading.Lock()

    def take(self, count: int) -> range:
        with self.lock:
            first = self.number
            self.number += count
        return range(first, first + count)


KEYS = Keys()


def fill() -> str:
    """Three grants (the last one never ends here) and an API key, whose text is returned."""
    from moneyed import Money

    from billing_ops.kit import clock
    from billing_ops.kit.actor import system
    from billing_ops.kit.http import issuing
    from ledger import crediting

    at, actor = clock.now() - timedelta(days=1), system("bench")
    terms: dict[str, Any] = {"customer_key": CUSTOMER, "reason_code": "bench", "actor": actor, "at": at}
    for kind in ("promotional", "goodwill"):
        crediting.grant(kind=kind, amount=Money("10", "USD"), key=kind, **terms)
    crediting.carry_over(kind="paid", amount=Money("1000000000", "USD"), key="paid", **terms)
    return str(issuing.issue(name="bench", scopes=["draws:write"], at=at, actor=actor).text)


def orders(count: int) -> list[Any]:
    from ledger.rules.draws import Order

    return [Order(CUSTOMER, "USD", AMOUNT, f"k-{n:012}", "chat", None, f"evt-{n:012}") for n in KEYS.take(count)]


def in_threads(act: Callable[[Any], Any], work: list[list[Any]]) -> float:
    """The seconds in which every list is worked off, each in a thread of its own."""
    from django.db import connection

    barrier = threading.Barrier(len(work) + 1)

    def one(mine: list[Any]) -> None:
        barrier.wait()
        try:
            for each in mine:
                assert act(each).outcome == "accepted"
        finally:
            connection.close()

    threads = [threading.Thread(target=one, args=(mine,)) for mine in work]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began


def measure_batcher(rounds: int) -> None:
    from billing_ops.kit import clock
    from billing_ops.kit.actor import system
    from ledger import batching, drawing

    actor = system("bench")

    def alone(order: Any) -> Any:
        (answer,) = drawing.draw_many(orders=[order], at=clock.now(), actor=actor)
        return answer

    def together(order: Any) -> Any:
        return batching.draw(order, actor=actor)

    in_threads(together, [orders(20) for _ in range(CALLERS)])
    ours, baseline = [], []
    for _ in range(rounds):
        ours.append(CALLERS * 300 / in_threads(together, [orders(300) for _ in range(CALLERS)]))
        baseline.append(CALLERS * 5 / in_threads(alone, [orders(5) for _ in range(CALLERS)]))
    tell("batcher, 64 callers in process", "draws/s", ours, "one transaction a draw", baseline)


def measure_bulk(rounds: int, key: str, address: str) -> None:
    with server("wsgi", threads=4) as port:
        list(bulk(port, key, 4))
        ours, baseline = [], []
        with psycopg.connect(address) as raw:
            for _ in range(rounds):
                ours.append(next(bulk(port, key, 16)))
                baseline.append(raw_copy(raw, 8))
    tell(f"bulk of {BULK:,} over HTTP", "draws/s", ours, "COPY into twins without triggers", baseline)


def bulk(port: int, key: str, requests: int) -> Iterator[float]:
    bodies = []
    for _ in range(requests):
        draws = [
            {"customer": CUSTOMER, "unit": "USD", "amount": "0.003", "key": f"k-{n:012}", "feature": "chat",
             "usage_ref": f"evt-{n:012}"}
            for n in KEYS.take(BULK)
        ]  # fmt: skip
        bodies.append(load.request("/api/v1/draws/batch", json.dumps({"draws": draws}).encode(), key=key))

    def check(answer: bytes) -> None:
        assert b'"accepted":%d,' % BULK in answer, answer[:600]

    yield requests * BULK / load.run(port, 2, iter(bodies), check=check).seconds


def raw_copy(connection: Any, batches: int) -> float:
    """COPY of rows like those of draws."""
    texts = []
    for _ in range(batches):
        numbers = KEYS.take(BULK)
        texts.append(
            (
                "".join(
                    f"{n}\t1\tk-{n:012}\t\tall\tchat\tevt-{n:012}\t0.003\t0\t\\N\t\\N\t\taccepted\t"
                    f"2026-01-01T00:00:00Z\t{n // BULK}\n"
                    for n in numbers
                ),
                "".join(f"{n}\t1\t0.003\n" for n in numbers),
            )
        )
    began = time.perf_counter()
    for draws, allocations in texts:
        with connection.transaction(), connection.cursor() as cursor:
            with cursor.copy(
                "COPY raw_draw (id, wallet_id, idempotency_key, ref, policy, feature, usage_ref, amount, shortfall,"
                " available, overage, overage_currency, outcome, used_at, entry_id) FROM STDIN"
            ) as copy:
                copy.write(draws)
            with cursor.copy("COPY raw_allocation (draw_id, grant_id, amount) FROM STDIN") as copy:
                copy.write(allocations)
    return batches * BULK / (time.perf_counter() - began)


def measure_single(rounds: int, key: str) -> None:
    noops: dict[str, list[float]] = {}
    draws: dict[str, list[float]] = {}
    configurations = [("wsgi", 1), ("wsgi", 2), ("wsgi", 4), ("wsgi", 16), ("wsgi", 64), ("asgi", 0)]
    for _ in range(rounds):
        for interface, threads in configurations:
            name = f"{interface} {threads or ''}".strip()
            with server(interface, threads=threads) as port:
                load.run(port, CALLERS, noop(key, 300))
                noops.setdefault(name, []).append(load.run(port, CALLERS, noop(key, 4_000)).rate)
                if threads >= 16:
                    load.run(port, CALLERS, singles(key, 300))
                    draws.setdefault(name, []).append(load.run(port, CALLERS, singles(key, 4_000)).rate)
    best_noop = max(noops, key=lambda name: statistics.median(noops[name]))
    best_draw = max(draws, key=lambda name: statistics.median(draws[name]))
    for name, rates in noops.items():
        print(f"   nothing under {name}: {statistics.median(rates):,.0f} requests/s")
    for name, rates in draws.items():
        print(f"   a draw under {name}: {statistics.median(rates):,.0f} requests/s")
    tell(f"single requests ({best_draw})", "draws/s", draws[best_draw], f"nothing ({best_noop})", noops[best_noop])
    most = statistics.median(draws[best_draw])
    with server("wsgi", threads=int(best_draw.split()[1])) as port:
        load.run(port, CALLERS, singles(key, 300))
        found = load.run(port, 4 * CALLERS, singles(key, int(most * 7)), rate=0.7 * most)
    print(
        f"   open loop at 70 %: {found.rate:,.0f}/s, p50 {found.quantile(0.5):.1f} ms, p99 {found.quantile(0.99):.1f} ms"  # noqa: E501
    )


def noop(key: str, count: int) -> Iterator[bytes]:
    one = load.request("/api/v1/noop", key=key)
    return (one for _ in range(count))


def singles(key: str, count: int) -> Iterator[bytes]:
    made = [
        load.request(
            "/api/v1/draws",
            b'{"customer":"%s","unit":"USD","amount":"0.003","key":"k-%012d","feature":"chat","usage_ref":"evt-%012d"}'
            % (CUSTOMER.encode(), n, n),
            key=key,
        )
        for n in KEYS.take(count)
    ]
    return iter(made)


@contextmanager
def server(interface: str, *, threads: int) -> Iterator[int]:
    """Granian as ``make run`` starts it, but for the interface and its threads; on a free port."""
    port = 18_731
    while not port_is_free("127.0.0.1", port):
        port += 1
    command = [sys.executable, "-m", "granian", "--interface", interface, "--host", "127.0.0.1", "--port", str(port)]
    if interface == "wsgi":
        command += ["--blocking-threads", str(threads), "--backpressure", str(max(threads * 8, 256))]
    command += ["--no-ws", "--log-level", "error", f"bench.noop:{interface}"]
    child = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "BILLING_PROCESS": "web"})
    try:
        while not _answers(port):
            if child.poll() is not None:
                sys.exit(f"The server ended with {child.returncode} before it answered.")
            time.sleep(0.05)
        yield port
    finally:
        child.terminate()
        child.wait(20)


def _answers(port: int) -> bool:
    """Whether the server has loaded the product and answers with it."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        asked.request("GET", "/healthz")
        return asked.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        asked.close()


def measure_history(rounds: int, scale: int) -> None:
    """Rate, WAL and buffers of batches of 1,000 at the history there is and at ``scale`` times it."""
    from django.db import connection

    def one(label: str) -> None:
        times = max(rounds, 5)
        draw(orders(1_000))
        before, rates, wals = facts(connection), [], []
        last = before[0]
        for _ in range(times):
            work = orders(1_000)
            began = time.perf_counter()
            draw(work)
            rates.append(1_000 / (time.perf_counter() - began))
            wals.append((facts(connection)[0] - last) / 1_000)
            last = facts(connection)[0]
        wal = statistics.median(wals)  # of the whole cluster: a median leaves out what others wrote now and then
        buffers = (facts(connection)[1] - before[1]) / (1_000 * times)
        print(
            f"   {label} ({KEYS.number:,} draws): {statistics.median(rates):,.0f}/s,"
            f" WAL {wal:,.0f} bytes and {buffers:.1f} buffers a draw"
        )

    def draw(work: list[Any]) -> None:
        from billing_ops.kit import clock
        from billing_ops.kit.actor import system
        from ledger import drawing

        for answer in drawing.draw_many(orders=work, at=clock.now(), actor=system("bench")):
            assert isinstance(answer, drawing.Drawn)

    while KEYS.number < 50_000:
        draw(orders(BULK))
    quiet(connection)
    one("1x")
    target = scale * KEYS.number
    while KEYS.number < target:
        draw(orders(BULK))
    quiet(connection)
    one(f"{scale}x")


def quiet(connection: Any) -> None:
    """Let what was begun in the background end: a checkpoint and the statistics of what grew."""
    with psycopg.connect(owner_of(os.environ["DATABASE_URL"]), autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE ledger_credit_draw, ledger_credit_draw_allocation, ledger_entry, ledger_line")
    connection.close()


def facts(connection: Any) -> tuple[float, float]:
    """WAL position, and buffers that tables and indexes of this database were asked for, flushed by this backend."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute(
            "SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0'),"
            " (SELECT sum(heap_blks_read + heap_blks_hit + coalesce(idx_blks_read + idx_blks_hit, 0))"
            "    FROM pg_statio_user_tables)"
        )
        wal, blocks = cursor.fetchone()
        return float(wal), float(blocks)


def tell(what: str, unit: str, ours: list[float], other: str, baseline: list[float]) -> None:
    mine, theirs = statistics.median(ours), statistics.median(baseline)
    print(
        f"{what}: {mine:,.0f} {unit} ({min(ours):,.0f} to {max(ours):,.0f}); {other}: {theirs:,.0f}"
        f" ({min(baseline):,.0f} to {max(baseline):,.0f}); ratio {mine / theirs:.2f}",
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--scale", type=int, default=10)
    options.add_argument("--only", default="batcher,bulk,single,history")
    given = options.parse_args()
    wanted = given.only.split(",")
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    address, drop = make_database("bo_bench_draws")
    try:
        os.environ.update({"DJANGO_SETTINGS_MODULE": "billing_ops.settings", "BILLING_ENV": "test"})
        os.environ.update({"BILLING_DB_ROLE": "app", "DATABASE_URL": address, "CREDIT_HOLDER_CHECK": ""})
        import django

        django.setup()
        with psycopg.connect(owner_of(address), autocommit=True) as owner:
            owner.execute(TWINS)
        key = fill()
        if "history" in wanted:
            measure_history(given.rounds, given.scale)
        if "batcher" in wanted:
            measure_batcher(given.rounds)
        if "bulk" in wanted:
            measure_bulk(given.rounds, key, address)
        if "single" in wanted:
            measure_single(given.rounds, key)
    finally:
        from django.db import connections

        connections.close_all()
        drop()


def owner_of(address: str) -> str:
    """The owner's address of the same database."""
    from tests.support.services import answering_server

    found, why = answering_server()
    if found is None:
        sys.exit(why)
    return str(found.url(address.rpartition("/")[2].partition("?")[0], "owner"))


if __name__ == "__main__":
    main()
