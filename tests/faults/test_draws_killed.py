"""The web server and the database are killed while credit is drawn, held and settled: no key is lost or doubled.

Every client draws on one wallet. A request whose answer was lost is sent again with the same key until it is answered;
then the books must say exactly what the answers said.
"""

import threading
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.faults.rig import NEW_KEY, Answer, Caller, KillableDatabase, run_in, seeded
from tests.support.processes import Web, wait_until

CLIENTS, STEPS, BULK = 6, 48, 25
CREDIT = Decimal(70)

WORLD = """
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from moneyed import Money
from billing_ops.kit.actor import system
from ledger import crediting
AT = datetime(2025, 1, 1, tzinfo=UTC)
for kind, amount, days in (("promotional", "10", 900), ("goodwill", "20", 800), ("included", "40", None)):
    crediting.grant(customer_key="cus-0", kind=kind, amount=Money(Decimal(amount), "USD"), reason_code="launch",
                    actor=system("test"), at=AT, key=f"give-{kind}",
                    expires_at=AT + timedelta(days=days) if days else None)
"""
PROVE = """
from ledger import proofs
print(proofs.violations())
"""


class Client(threading.Thread):
    """Draws one at a time and in bulk, and holds, settles and releases; each request until it is answered."""

    def __init__(self, number: int, caller: Caller) -> None:
        super().__init__(name=f"client-{number}")
        self.number, self._caller = number, caller
        self._chance = seeded(number)
        self.singles: dict[str, tuple[dict[str, Any], Any]] = {}
        self.settled: dict[str, Any] = {}
        self.released = 0
        self.done = self.lost = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for step in range(STEPS):
                (self._draw, self._bulk, self._draw, self._hold)[step % 4](step)
                self.done += 1
        except BaseException as error:  # handed to the test, which raises it
            self.failure = error

    def _order(self, key: str) -> dict[str, Any]:
        amount = Decimal(self._chance.randrange(1, 2_000)).scaleb(-4)
        policy = self._chance.choice(("all", "all", "partial"))
        return {"customer": "cus-0", "unit": "USD", "amount": str(amount), "key": key, "policy": policy}

    def _draw(self, step: int) -> None:
        order = self._order(f"{self.number}-{step}")
        self.singles[order["key"]] = (order, self._ask("/draws", order).json())

    def _bulk(self, step: int) -> None:
        orders = [self._order(f"{self.number}-{step}-{index}") for index in range(BULK)]
        answer = self._ask("/draws/batch", {"draws": orders}).json()
        for order, outcome in zip(orders, answer["outcomes"], strict=True):
            assert outcome["outcome"] != "failed", outcome
            self.singles[order["key"]] = (order, outcome)

    def _hold(self, step: int) -> None:
        key = f"hold-{self.number}-{step}"
        body = {"customer": "cus-0", "unit": "USD", "amount": "0.05", "ttl_seconds": 86_400, "policy": "partial"}
        answers = self._caller.until_it_ends("POST", "/holds", body, Idempotency_Key=key)
        self.lost += len(answers) - 1
        if answers[-1].status == 409:  # no credit is left to hold
            return
        hold = answers[-1].json()
        if step % 8 == 3:
            self._ask(f"/holds/{hold['id']}/release", None, Idempotency_Key=f"{key}-release")
            self.released += 1
        else:
            used = str(Decimal(hold["held"]) / 2)
            ended = self._ask(f"/holds/{hold['id']}/settle", {"actual": used}, Idempotency_Key=f"{key}-settle")
            self.settled[key] = ended.json()

    def _ask(self, path: str, body: Any, **headers: str) -> Answer:
        found = self._caller.until_it_works("POST", path, body, **headers)
        self.lost += len(found) - 1
        return found[-1]


@pytest.fixture
def env(own_database: KillableDatabase, clock: Any) -> dict[str, str]:
    return {
        **own_database.database.env(),
        "BILLING_CLOCK_FILE": str(clock.path),
        "DJANGO_SETTINGS_MODULE": "billing_ops.settings",
    }


def test_no_key_is_lost_or_doubled(
    own_database: KillableDatabase, env: dict[str, str], tmp_path: Path, redis_url: str
) -> None:
    run_in(env, WORLD)
    web = Web(tmp_path, env)
    key = run_in(env, NEW_KEY)
    clients = [Client(number, Caller(web.port, key)) for number in range(CLIENTS)]
    try:
        web.start()
        for client in clients:
            client.start()
        _kill_now_and_then(clients, web, own_database)
        for client in clients:
            client.join(90)
            if client.failure:
                raise client.failure
            assert not client.is_alive()
        _compare(clients, Caller(web.port, key), own_database)
        assert run_in(env, PROVE) == "[]"
    finally:
        web.stop()


def _kill_now_and_then(clients: list[Client], web: Web, database: KillableDatabase) -> None:
    chance, total = seeded(35), CLIENTS * STEPS
    for kill in range(4):
        wanted = total * (kill + 1) // 6 + chance.randrange(total // 12)
        _wait_for(clients, wanted)
        if kill % 2:
            database.kill()
            database.restart()
        else:
            web.kill()
            web.start()


def _wait_for(clients: list[Client], done: int) -> None:
    wait_until(lambda: sum(client.done for client in clients) >= done, f"{done} requests are done")


def _compare(clients: list[Client], caller: Caller, database: KillableDatabase) -> None:
    assert sum(client.lost for client in clients) >= 3, "no request met a kill"
    singles = {key: said for client in clients for key, said in client.singles.items()}
    assert len(singles) == CLIENTS * STEPS * (2 + BULK) // 4
    outcomes = Counter(said["outcome"] for _, said in singles.values())
    assert outcomes["accepted"] > 100
    assert outcomes["refused"] > 10, "credit never ran short"

    with database.database.connect() as sql:
        rows = sql.execute("SELECT idempotency_key, amount - shortfall, outcome FROM ledger_credit_draw").fetchall()
        stored = {row[0]: (row[1], row[2]) for row in rows}
        assert len(stored) == len(rows)
        for key, (order, said) in singles.items():
            drawn, outcome = stored.pop(key)
            assert (outcome, Decimal(said["drawn"])) == (said["outcome"], drawn), key
            assert drawn in (0, Decimal(order["amount"])) or order["policy"] == "partial"
        settled = [said for client in clients for said in client.settled.values()]
        assert sum(amount for amount, _ in stored.values()) == sum(Decimal(said["settled"]) for said in settled)
        used = sum((Decimal(said["drawn"]) for _, said in singles.values()), Decimal(0))
        used += sum((Decimal(said["settled"]) for said in settled), Decimal(0))
        totals = sql.execute(
            "SELECT sum(b.credits - b.debits), sum(b.held) FROM ledger_balance b"
            "  JOIN ledger_credit_grant g ON g.account_id = b.account_id"
        ).fetchone()
        assert totals == (CREDIT - used, 0)
    for key in seeded(7).sample(sorted(singles), 40):
        order, said = singles[key]
        again = caller.send("POST", "/draws", order).json()
        assert again["replayed"], key
        assert (again["outcome"], again["drawn"], again["shortfall"]) == (
            said["outcome"], said["drawn"], said["shortfall"],
        )  # fmt: skip
