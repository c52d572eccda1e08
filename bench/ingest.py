"""Events a second through HTTP against raw COPY of the same rows into a plain table, in the same run.

    python -m bench.ingest [--events 200000] [--rounds 3] [--workers 2] [--threads 2] [--clients 4]

Server (granian), PostgreSQL, one aggregator and the load generator share the machine. A round sends ``--events`` events
and then ten times as many, in bodies of 1,000, to an empty database: identity, partitions, batches and folding all on.
The clock starts with the first request and stops when every answer is there; what is left to fold is told apart. Then
the same rows go by one COPY into a table without an index, and by ``ingesting.accept`` without HTTP. Ratios are what
can be compared between machines, and between hours of a busy one.
"""

import argparse
import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from queue import Empty, SimpleQueue

import psycopg

from tests.support.database import ROOT, Database, Databases
from tests.support.services import answering_server

BODY_EVENTS = 1_000
_SUBJECTS, _SPREAD_SECONDS = 1_000, 3_600
_DEFINE = """
import django; django.setup()
from datetime import datetime, UTC
from billing_ops.kit.actor import system
from billing_ops.kit.http import issuing
from metering import defining
for key, path in (("context", "context_tokens"), ("generated", "generated_tokens")):
    defining.define(key=key, name=key, event_type="llm.request", aggregation="sum", value_path=path,
                    unit="tokens", at=datetime.now(UTC), actor=system("bench"))
print(issuing.issue(name="bench", scopes=["events:write"], at=datetime.now(UTC), actor=system("bench")).text)
"""
_AGGREGATE = """
import time
import django; django.setup()
from metering import tasks
while True:
    tasks.advance()
    time.sleep(1)
"""
_ACCEPT = """
import sys, time
import django; django.setup()
from datetime import datetime, UTC
from pathlib import Path
from billing_ops.kit.actor import system
from metering import ingesting
from metering.rules import bodies
files = [path.read_bytes() for path in sorted(Path(sys.argv[1]).glob("*.json"))]
begun = time.perf_counter()
for body in files:
    events, _ = bodies.split(body, "application/json")
    ingesting.accept(events=events, at=datetime.now(UTC), actor=system("bench"))
print(time.perf_counter() - begun)
"""


def write_bodies(folder: Path, count: int) -> None:
    """``count`` bodies of 1,000 events each, as files: reading one costs the load generator next to nothing."""
    start = datetime.now(UTC) - timedelta(seconds=_SPREAD_SECONDS)
    number = 0
    for body in range(count):
        lines = []
        for _ in range(BODY_EVENTS):
            at = start + timedelta(microseconds=number * 7_919_000_003 % (_SPREAD_SECONDS * 10**6))
            lines.append(
                f'{{"specversion":"1.0","id":"req-{number:012d}","source":"/gateway/eu-{number % 3}",'
                f'"type":"llm.request","subject":"cus-{number * 7919 % _SUBJECTS}","time":"{at.isoformat()}",'
                f'"data":{{"context_tokens":{number * 31 % 4000},"generated_tokens":{number % 700},"model":"large"}}}}'
            )
            number += 1
        (folder / f"{body:06d}.json").write_text(f"[{','.join(lines)}]")


@contextmanager
def process(database: Database, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours on that database, ended at the end."""
    program = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment(database))
    try:
        yield program
    finally:
        program.terminate()
        try:
            program.wait(timeout=15)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait(timeout=5)


def environment(database: Database) -> dict[str, str]:
    return {**database.env(), "DJANGO_SETTINGS_MODULE": "billing_ops.settings", "BILLING_ENV": "test"}


def output(database: Database, script: str, *arguments: str) -> str:
    """Run a script on the database and return its last line."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env=environment(database),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])
    return done.stdout.strip().splitlines()[-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def send_all(folder: Path, port: int, key: str, clients: int) -> tuple[float, list[float]]:
    """Send every body over ``clients`` kept connections; return the seconds it took and each request's."""
    waiting: SimpleQueue[Path] = SimpleQueue()
    for path in sorted(folder.glob("*.json")):
        waiting.put(path)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    latencies: list[float] = []
    failures: list[str] = []

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while not failures:
            try:
                body = waiting.get_nowait().read_bytes()
            except Empty:
                break
            begun = time.perf_counter()
            connection.request("POST", "/api/v1/events", body, headers)
            answer = connection.getresponse()
            text = answer.read()
            latencies.append(time.perf_counter() - begun)
            if answer.status != 200 or b'"accepted":1000,' not in text[:40]:
                failures.append(f"{answer.status} {text[:300]!r}")
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise SystemExit(f"refused: {failures[0]}")
    return time.perf_counter() - begun, latencies


def wait_for(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            connection.request("GET", "/healthz")
            if connection.getresponse().status < 500:
                return
        except OSError:
            threading.Event().wait(0.1)
    raise SystemExit("the server does not answer")


def drain(database: Database) -> float:
    """Seconds until the aggregator has folded everything."""
    begun = time.perf_counter()
    with database.connect() as conn:
        while conn.execute("SELECT EXISTS (SELECT FROM metering_batch WHERE fold_id IS NULL)").fetchone() == (True,):
            threading.Event().wait(0.05)
    return time.perf_counter() - begun


def copy_rows(database: Database) -> float:
    """Events a second of one COPY of the very same rows into a plain table without an index."""
    columns = "key, batch_id, occurred_at, subject, type, source, event_id, data, extensions"
    with database.connect(role="owner", autocommit=False) as conn:
        with conn.cursor().copy(f"COPY (SELECT {columns} FROM metering_event) TO STDOUT") as copy:
            chunks = [bytes(chunk) for chunk in copy]
        conn.execute("CREATE TABLE plain (LIKE metering_event)")
        conn.commit()
        joined = [b"".join(chunks[at : at + 500]) for at in range(0, len(chunks), 500)]
        begun = time.perf_counter()
        with conn.cursor().copy("COPY plain FROM STDIN") as copy:
            for chunk in joined:
                copy.write(chunk)
        conn.commit()
        seconds = time.perf_counter() - begun
        conn.execute("DROP TABLE plain")
        conn.commit()
    return len(chunks) / seconds


def wal_bytes(database: Database) -> int:
    with psycopg.connect(database.url("admin"), autocommit=True) as conn:
        row = conn.execute("SELECT pg_current_wal_lsn() - '0/0'::pg_lsn").fetchone()
    assert row is not None
    return int(row[0])


def measure(databases: Databases, folder: Path, options: argparse.Namespace, events: int) -> dict[str, float]:
    """One round at one size: through HTTP with an aggregator, then COPY of the same rows."""
    with databases.fresh() as database:
        key = output(database, _DEFINE)
        port = free_port()
        serve = [
            *("-m", "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(port), "--no-ws"),
            *("--workers", str(options.workers), "--blocking-threads", str(options.threads), "--no-access-log"),
            *("--backpressure", str(options.threads * 8), "--log-level", "warning", "billing_ops.wsgi:application"),
        ]
        with process(database, *serve), process(database, "-c", _AGGREGATE):
            wait_for(port)
            before = wal_bytes(database)
            seconds, latencies = send_all(folder, port, key, options.clients)
            behind = drain(database)
            wal = (wal_bytes(database) - before) / events
        copied = copy_rows(database)
    latencies.sort()
    return {
        "http": events / seconds,
        "folded": events / (seconds + behind),
        "behind": behind,
        "copy": copied,
        "ratio": events / seconds / copied,
        "ratio_folded": events / (seconds + behind) / copied,
        "p99_ms": latencies[int(len(latencies) * 0.99)] * 1000,
        "wal": wal,
    }


def accept_only(databases: Databases, folder: Path, events: int) -> float:
    """Events a second of ``ingesting.accept`` on one connection, without HTTP and without folding."""
    with databases.fresh() as database:
        output(database, _DEFINE)
        return events / float(output(database, _ACCEPT, str(folder)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sizes", type=int, nargs="*", default=[1, 10])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--clients", type=int, default=4)
    options = parser.parse_args()
    server, why = answering_server()
    if server is None:
        raise SystemExit(f"This needs a PostgreSQL server: {why}")
    os.environ.setdefault("REDIS_NAMESPACE", "bo-bench:")
    databases = Databases(server)
    try:
        for size in options.sizes:
            report(databases, options, options.events * size)
    finally:
        databases.close()


def report(databases: Databases, options: argparse.Namespace, events: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_bodies(folder, events // BODY_EVENTS)
        rounds = [measure(databases, folder, options, events) for _ in range(options.rounds)]
        alone = accept_only(databases, folder, events)
    median = {name: statistics.median(found[name] for found in rounds) for name in rounds[0]}
    print(f"\n{events:,} events, {options.rounds} rounds, medians")
    print(f"  raw COPY, plain table    {median['copy']:>10,.0f} rows/s")
    print(f"  HTTP, 1,000 a body       {median['http']:>10,.0f} events/s   p99 {median['p99_ms']:.0f} ms a request")
    print(
        f"  … until all is folded    {median['folded']:>10,.0f} events/s   {median['behind']:.1f} s behind at the end"
    )
    print(f"  accept() alone           {alone:>10,.0f} events/s")
    print(f"  WAL                      {median['wal']:>10,.0f} bytes/event")
    print(f"  ratio HTTP : COPY        {median['ratio']:>10.3f}   folded {median['ratio_folded']:.3f}", flush=True)


if __name__ == "__main__":
    main()
