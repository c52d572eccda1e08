"""The web server is killed in the middle of batches of events: each event counts once, acknowledged or sent again."""

import threading
from collections import Counter
from pathlib import Path
from typing import Any

from tests.faults.rig import Answer, Caller, event, nudge, seeded
from tests.support.processes import Web, Worker, wait_until

CLIENTS, BATCHES, EVENTS, KILLS = 3, 40, 50, 4


class Sender(threading.Thread):
    """Sends its batches one after the other, each until it is acknowledged."""

    def __init__(self, number: int, caller: Caller) -> None:
        super().__init__(name=f"sender-{number}")
        self.number, self._caller = number, caller
        self.acknowledged: list[Answer] = []
        self.lost = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            for step in range(BATCHES):
                *before, last = self._caller.until_it_works("POST", "/events", batch(self.number, step), **BATCH_TYPE)
                self.acknowledged.append(last)
                self.lost += len(before)
                assert {answer.status for answer in before} <= {0}, "the server answered something else than 200"
        except BaseException as error:  # handed to the test, which raises it
            self.failure = error


BATCH_TYPE = {"Content_Type": "application/cloudevents-batch+json"}


def batch(sender: int, step: int) -> list[dict[str, Any]]:
    from tests.support.billing import START

    chance = seeded(sender * 1000 + step)
    return [
        event(f"{sender}-{step}-{index}", f"cus-{sender}", START, context=chance.randrange(10_000), generated=index)
        for index in range(EVENTS)
    ]


def test_every_event_counts_once(fresh_db: Any, clock: Any, redis_url: str, tmp_path: Path) -> None:
    from tests.support.api import new_key
    from tests.support.billing import START, make_world

    make_world()
    env = {**fresh_db.env(), "BILLING_CLOCK_FILE": str(clock.path)}
    web, worker = Web(tmp_path, env), Worker(tmp_path, env)
    senders = [Sender(number, Caller(web.port, new_key(at=START))) for number in range(CLIENTS)]
    try:
        web.start()
        worker.start()
        for sender in senders:
            sender.start()
        chance = seeded(4)
        part = CLIENTS * BATCHES // (KILLS + 1)
        for kill in range(KILLS):
            wanted = kill * part + chance.randrange(1, part)
            _wait_for(senders, wanted)
            web.kill()
            web.start()
            nudge("metering.advance")
        for sender in senders:
            sender.join(60)
            if sender.failure:
                raise sender.failure
        _compare(senders)
    finally:
        web.stop()
        worker.stop()


def _wait_for(senders: list[Sender], acknowledged: int) -> None:
    wait_until(lambda: sum(len(one.acknowledged) for one in senders) >= acknowledged, f"{acknowledged} batches")


def _compare(senders: list[Sender]) -> None:
    from metering.models import Batch, Event
    from tests.support.billing import CONTEXT

    assert sum(sender.lost for sender in senders) >= 1, "no batch met a kill"
    for answer in (answer for sender in senders for answer in sender.acknowledged):
        said = Counter(one["outcome"] for one in answer.json()["outcomes"])
        assert said in (Counter(accepted=EVENTS), Counter(duplicate=EVENTS)), "a batch is stored as a whole"
    assert Event.objects.count() == CLIENTS * BATCHES * EVENTS
    nudge("metering.advance")
    wait_until(lambda: not Batch.objects.filter(fold=None).exists(), "every batch is folded")
    assert sum(Batch.objects.values_list("events", flat=True)) == CLIENTS * BATCHES * EVENTS
    for sender in senders:
        sent = sum(one["data"]["context_tokens"] for step in range(BATCHES) for one in batch(sender.number, step))
        assert used(f"cus-{sender.number}", CONTEXT) == sent


def used(subject: str, meter: str) -> int:
    from billing_ops.kit.periods import Period
    from metering import usage
    from metering.models import Meter
    from tests.support.billing import MONTH_LATER, START

    reading = usage.quantity(
        meter=Meter.objects.get(key=meter), subject=subject, period=Period(START, MONTH_LATER), at=START
    )
    return int(reading.quantity)
