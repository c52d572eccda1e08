"""The database is killed and comes back while programs go on asking."""

import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.faults.rig import (
    NEW_KEY,
    PROBLEM,
    Answer,
    Caller,
    KillableDatabase,
    event,
    nudge,
    run_in,
    seeded,
    signed_event,
)
from tests.support.processes import Web, Worker, wait_until

CLIENTS, STEPS, EVENTS = 4, 24, 20
LONGEST_SECONDS = 5.0
START = datetime(2025, 1, 1, tzinfo=UTC)

WORLD = f"""
from datetime import datetime
from invoicing import drafting
from tests.support.billing import make_world, START, TESTER
world = make_world()
for number in range({CLIENTS}):
    world.customer(f"cus-{{number}}")
    for step in range({STEPS} // 4):
        customer = world.customer(f"draft-{{number}}-{{step}}")
        world.subscribe(customer)
        (invoice,) = drafting.draft(customer_id=customer.pk, edge=START, at=START, actor=TESTER)
"""


class Client(threading.Thread):
    """Asks for one thing after the other, each again and again until it is done."""

    def __init__(self, number: int, caller: Caller, drafts: list[str]) -> None:
        super().__init__(name=f"client-{number}")
        self.number, self._caller, self._drafts = number, caller, drafts
        self.credits: dict[str, Answer] = {}
        self.answers: list[Answer] = []
        self.done = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for step in range(STEPS):
                kind = step % 4
                (self._events, self._credit, self._finalize, self._read)[kind](step)
                self.done += 1
        except BaseException as error:  # handed to the test, which raises it
            self.failure = error

    def _events(self, step: int) -> None:
        body = [
            event(f"{self.number}-{step}-{index}", f"cus-{self.number}", START, context=1, generated=2)
            for index in range(EVENTS)
        ]
        self._ask("POST", "/events", body, Content_Type="application/cloudevents-batch+json")

    def _credit(self, step: int) -> None:
        key = f"credit-{self.number}-{step}"
        self.credits[key] = self._ask("POST", "/credits", credit(self.number), Idempotency_Key=key)

    def _finalize(self, step: int) -> None:
        draft = self._drafts[step // 4]
        self._ask("POST", f"/invoices/{draft}/finalize", None, Idempotency_Key=f"final-{draft}")

    def _read(self, step: int) -> None:
        self._ask("GET", f"/balances?customer=cus-{self.number}")

    def _ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        found = self._caller.until_it_works(method, path, body, **headers)
        self.answers += found
        return found[-1]


def credit(number: int) -> dict[str, Any]:
    return {
        "customer": f"cus-{number}", "kind": "goodwill", "amount": "1.00", "currency": "USD", "reason_code": "outage",
    }  # fmt: skip


def is_told_to_come_back(answer: Answer) -> bool:
    """A clear 503: what happened, what was kept, and when to come back."""
    return (
        answer.status == 503
        and answer.headers["content-type"] == PROBLEM
        and int(answer.headers["retry-after"]) > 0
        and answer.json()["code"] in ("database.unavailable", "database.busy")
    )


@pytest.fixture
def env(own_database: KillableDatabase, clock: Any) -> dict[str, str]:
    return {
        **own_database.database.env(),
        "BILLING_CLOCK_FILE": str(clock.path),
        "DJANGO_SETTINGS_MODULE": "billing_ops.settings",
    }


def test_requests_are_done_or_told_to_come_back(
    own_database: KillableDatabase, env: dict[str, str], tmp_path: Path, redis_url: str
) -> None:
    run_in(env, WORLD)
    key, unused = run_in(env, NEW_KEY), run_in(env, NEW_KEY)
    with own_database.database.connect() as sql:
        drafts = [str(row[0]) for row in sql.execute("SELECT public_id FROM invoicing_invoice ORDER BY id").fetchall()]
    web, worker = Web(tmp_path, env), Worker(tmp_path, env)
    try:
        web.start()
        worker.start()
        each = STEPS // 4
        clients = [Client(n, Caller(web.port, key), drafts[n * each : (n + 1) * each]) for n in range(CLIENTS)]
        _play(own_database, clients, Caller(web.port, unused))
        _compare(own_database, clients, Caller(web.port, key))
    finally:
        web.stop()
        worker.stop()


def _play(database: KillableDatabase, clients: list[Client], stranger: Caller) -> None:
    chance = seeded(2025)
    for client in clients:
        client.start()
    total = CLIENTS * STEPS
    for share in (1, 2):
        _wait_for(clients, total * share // 3 - chance.randrange(total // 6))
        database.kill()
        seen = [len(client.answers) for client in clients]
        _without_a_database(stranger)
        nudge("metering.advance")  # the worker fails too, and must be there afterwards
        database.restart()
        assert [len(client.answers) for client in clients] >= seen
    for client in clients:
        client.join(60)
        if client.failure:
            raise client.failure
        assert not client.is_alive()


def _wait_for(clients: list[Client], done: int) -> None:
    wait_until(lambda: sum(client.done for client in clients) >= done, f"{done} requests are done")


def _without_a_database(stranger: Caller) -> None:
    """A key that this server never saw, the webhook's address and the console: all say to come back."""
    body, signature = signed_event(1, START)
    assert is_told_to_come_back(stranger.send("GET", "/balances?customer=cus-0"))
    assert is_told_to_come_back(stranger.send("POST", "//webhooks/stripe", body, Stripe_Signature=signature))
    page = stranger.send("GET", "//console/", Cookie="sessionid=abcdefghijklmnopqrstuvwxyz123456")
    assert (page.status, page.headers["retry-after"]) == (503, "5")
    assert b"<h1>Not available just now</h1>" in page.body
    assert stranger.send("GET", "//healthz").status == 200
    assert stranger.send("GET", "//readyz").status == 503


def _compare(database: KillableDatabase, clients: list[Client], caller: Caller) -> None:
    answers = [answer for client in clients for answer in client.answers]
    strange = [answer for answer in answers if not answer.worked and not is_told_to_come_back(answer)]
    assert not strange, [(one.status, one.body[:200]) for one in strange]
    assert [one for one in answers if one.status == 503], "no request met the outage"
    assert max(answer.seconds for answer in answers) < LONGEST_SECONDS

    for client in clients:
        for key, first in client.credits.items():
            again = caller.send("POST", "/credits", credit(client.number), Idempotency_Key=key)
            assert (again.status, again.body) == (201, first.body)
            assert again.headers["idempotent-replayed"] == "true"
        listed = caller.send("GET", f"/credits?customer=cus-{client.number}&limit=100").json()["items"]
        assert sorted(one["id"] for one in listed) == sorted(one.json()["id"] for one in client.credits.values())

    nudge("metering.advance")
    with database.database.connect() as sql:
        wait_until(lambda: one(sql, "SELECT count(*) FROM metering_batch WHERE fold_id IS NULL") == 0, "all is folded")
        batches = STEPS // 4
        assert one(sql, "SELECT count(*) FROM metering_event") == CLIENTS * batches * EVENTS
        assert one(sql, "SELECT sum(events) FROM metering_batch") == CLIENTS * batches * EVENTS
        numbers = sql.execute("SELECT number FROM invoicing_invoice ORDER BY number").fetchall()
        assert [row[0] for row in numbers] == [f"INV-{n:06d}" for n in range(1, CLIENTS * batches + 1)]
        assert one(sql, "SELECT count(*) FROM ledger_entry") == 2 * CLIENTS * batches  # a credit, an invoice
        assert one(sql, "SELECT count(*) FROM (SELECT 1 FROM ledger_line GROUP BY entry_id, unit "
                        "HAVING sum(side * amount) <> 0) AS unbalanced") == 0  # fmt: skip


def one(sql: "psycopg.Connection[Any]", statement: str) -> Any:
    row = sql.execute(statement).fetchone()
    return row[0] if row else None
