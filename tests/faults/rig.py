"""What the fault tests share: services of a test's own that it may kill, and clients that go on asking."""

import hashlib
import hmac
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from billing_ops.embedded import roles
from billing_ops.embedded.broker import Broker
from billing_ops.embedded.home import Home
from billing_ops.embedded.postgres import Postgres
from tests.support.database import Database, Databases, Server
from tests.support.processes import ROOT, Program, wait_until

PROBLEM = "application/problem+json"


@contextmanager
def own_home() -> Iterator[Home]:
    """A state directory that other users may pass through: as root, the services work as one of them."""
    with TemporaryDirectory(prefix="billing-ops-faults-", ignore_cleanup_errors=True) as name:
        Path(name).chmod(0o711)
        home = Home(Path(name) / "var")
        home.prepare()
        yield home


class KillableDatabase:
    """A PostgreSQL server of the test's own with one migrated database on it."""

    def __init__(self, home: Home) -> None:
        self._postgres = Postgres(home, durable=False)
        self._postgres.start()
        server = Server(
            self._postgres.url("postgres", "postgres"),
            home.secret(f"postgres:{roles.APP}"),
            home.secret(f"postgres:{roles.MIGRATOR}"),
        )
        databases = Databases(server)
        try:
            self.database: Database = databases.create()
        finally:
            databases.close()

    def kill(self) -> None:
        """End the server without warning; nothing is written any more when this returns."""
        child = self._postgres.child
        assert child is not None
        server = psutil.Process(child.pid)
        everyone = [server, *server.children(recursive=True)]
        server.kill()
        psutil.wait_procs(everyone[1:], timeout=10)  # backends end themselves when their server is gone
        wait_until(lambda: child.exit_code() is not None, "the database server is dead", 10)

    def restart(self) -> None:
        """Start it again on the same data and the same port."""
        before = self._postgres.port
        self._postgres.start()
        assert self._postgres.port == before, "another process took the database's port"

    def stop(self) -> None:
        """End it for good."""
        self._postgres.stop()


class KillableBroker:
    """A broker of the test's own."""

    def __init__(self, home: Home) -> None:
        self._broker = Broker(home)
        self._broker.start()
        self.url = self._broker.url()

    def kill(self) -> None:
        """End it without warning."""
        child = self._broker.child
        assert child is not None
        psutil.Process(child.pid).kill()
        wait_until(lambda: child.exit_code() is not None, "the broker is dead", 10)

    def freeze(self) -> None:
        """It accepts connections and answers nothing, as behind a broken network."""
        assert self._broker.child is not None
        os.kill(self._broker.child.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """It answers again."""
        assert self._broker.child is not None
        os.kill(self._broker.child.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Start it again on the same data and the same port."""
        self._broker.start()
        assert self._broker.url() == self.url, "another process took the broker's port"

    def stop(self) -> None:
        """End it for good."""
        self._broker.stop()


class Beat(Program):
    """Celery's clock with the product's own table."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        super().__init__(
            folder / "beat.log", env, "celery", "-A", "billing_ops.celery", "beat", "--loglevel", "INFO",
            "--schedule", str(folder / "beat-schedule"),
        )  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """What a request got. Status 0: the connection failed, so nothing is known."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0

    def json(self) -> Any:
        """The body."""
        return json.loads(self.body)

    @property
    def worked(self) -> bool:
        """The request was done."""
        return 200 <= self.status < 300


class Caller:
    """Sends single requests and says what came of each; never raises for what the server does."""

    def __init__(self, port: int, key: str, *, timeout: float = 60) -> None:
        self.port, self._key, self._timeout = port, key, timeout

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        """One request to the API (or another path of the server, if it begins with a double slash)."""
        target = path[1:] if path.startswith("//") else f"/api/v1{path}"
        sent = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=self._timeout)
        begun = time.monotonic()
        try:
            connection.request(method, target, data, sent)
            got = connection.getresponse()
            content = got.read()
        except (OSError, http.client.HTTPException):
            return Answer(0, seconds=time.monotonic() - begun)
        finally:
            connection.close()
        names = {name.lower(): value for name, value in got.getheaders()}
        return Answer(got.status, names, content, time.monotonic() - begun)

    def until_it_works(self, method: str, path: str, body: Any = None, **headers: str) -> list[Answer]:
        """Send the same request again until it is done; every answer on the way, the good one last."""
        answers: list[Answer] = []

        def done() -> bool:
            answers.append(self.send(method, path, body, **headers))
            return answers[-1].worked

        wait_until(done, f"{method} {path} works", 60)
        return answers

    def until_it_ends(self, method: str, path: str, body: Any = None, **headers: str) -> list[Answer]:
        """Send the same request again until it is done or refused for good; every answer on the way."""
        answers: list[Answer] = []

        def ended() -> bool:
            answers.append(self.send(method, path, body, **headers))
            return answers[-1].status not in (0, 429, 503)

        wait_until(ended, f"{method} {path} is answered", 60)
        return answers


def at_once(count: int, work: Callable[[int], Answer]) -> list[Answer]:
    """The answers of ``work(0)`` … ``work(count - 1)``, all begun at the same moment."""
    barrier = threading.Barrier(count)
    found: list[Answer | None] = [None] * count

    def run(index: int) -> None:
        barrier.wait(30)
        found[index] = work(index)

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    answers = [answer for answer in found if answer is not None]
    assert len(answers) == count, "a request hangs"
    return answers


def run_in(env: dict[str, str], program: str) -> str:
    """Run Python lines with Django set up in a process of its own, and return the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{program}"],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return (done.stdout.strip().splitlines() or [""])[-1]


NEW_KEY = """
from datetime import UTC, datetime
from billing_ops.kit.actor import system
from billing_ops.kit.http import issuing
from billing_ops.kit.http.scopes import SCOPES
made = issuing.issue(name="faults", scopes=list(SCOPES), at=datetime(2000, 1, 1, tzinfo=UTC), actor=system("tests"))
print(made.text)
"""


def event(id: str, subject: str, time: datetime, *, context: int, generated: int) -> dict[str, Any]:
    """One served request as a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": id,
        "source": "faults",
        "type": "llm.request",
        "subject": subject,
        "time": time.isoformat(),
        "data": {"context_tokens": context, "generated_tokens": generated},
    }


def nudge(task: str, *args: Any, broker: str = "") -> None:
    """Send a task as beat would; ``broker`` is another address than the tests' own."""
    from billing_ops.celery import app

    with app.connection_for_write(broker or None) as connection:
        app.send_task(task, args=list(args), connection=connection)


def make_drafts(count: int) -> list[str]:
    """Drafts of one fee each, of customers with a card."""
    from invoicing import drafting
    from tests.support.billing import START, TESTER, make_world

    world = make_world()
    made = []
    for number in range(count):
        customer = world.customer(f"cus-{number}")
        world.subscribe(customer)
        made += drafting.draft(customer_id=customer.pk, edge=START, at=START, actor=TESTER)
    return [invoice.public_id for invoice in made]


def signed_event(number: int, at: datetime, *, type: str = "charge.updated", secret: str = "whsec_standin") -> Any:  # noqa: S107
    """The body of a Stripe event and the signature that its webhook carries."""
    event = {"id": f"evt_{number}", "object": "event", "type": type, "livemode": False, "created": int(at.timestamp())}
    body = json.dumps({**event, "data": {"object": {"id": f"ch_{number}", "object": "charge"}}}).encode()
    stamp = int(at.timestamp())
    digest = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return body, f"t={stamp},v1={digest}"


def seeded(seed: int) -> random.Random:
    """Numbers that are the same in every run."""
    return random.Random(seed)  # noqa: S311  # an order, not a secret
