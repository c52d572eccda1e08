"""The broker dies, or stops answering: nobody who asks waits for it, and the work is found when it is back."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app

from billing_ops.kit import nudging
from tests.faults.rig import Answer, Beat, Caller, KillableBroker, event, make_drafts, nudge, signed_event
from tests.stripe_standin.process import Standin
from tests.support.processes import Web, Worker, wait_until

LONGEST_SECONDS = 3.0  # one second of it is the nudge's; the rest is a busy machine's
ROUND = 6


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Somebody accepts connections there and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield int(server.getsockname()[1])


@pytest.fixture
def nudges(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Points nudges to another broker: ``nudges(port)``."""
    real = current_app

    def point(port: int) -> None:
        url = f"redis://127.0.0.1:{port}/0"
        app = SimpleNamespace(
            connection_for_write=lambda **options: real.connection_for_write(url, **options), send_task=real.send_task
        )
        monkeypatch.setattr(nudging, "current_app", app)
        monkeypatch.setitem(nudging._silence, "until", 0.0)
        nudging._producers.cache_clear()

    yield point
    nudging._producers.cache_clear()


def test_a_broker_that_refuses_is_asked_once(nudges: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        nudges(unused.getsockname()[1])
        assert nudging.nudge("invoicing.collect", "inv_1") is False
    asked: list[str] = []
    monkeypatch.setattr("billing_ops.kit.nudging.current_app.send_task", lambda name, **options: asked.append(name))
    assert nudging.nudge("invoicing.collect", "inv_2") is False
    assert asked == [], "a failing broker is left alone"
    monkeypatch.setitem(nudging._silence, "until", 0.0)  # half a minute later
    assert nudging.nudge("invoicing.collect", "inv_3") is True
    assert asked == ["invoicing.collect"]


def test_a_broker_that_does_not_answer_holds_nobody_up(nudges: Any, silent_port: int) -> None:
    nudges(silent_port)
    sent: list[bool] = []
    thread = threading.Thread(target=lambda: sent.append(nudging.nudge("invoicing.collect", "inv_1")), daemon=True)
    thread.start()
    thread.join(LONGEST_SECONDS)
    assert sent == [False], "the nudge waits for a broker that does not answer"


def test_requests_are_answered_at_once_and_their_work_is_found_later(
    fresh_db: Any, standin: Standin, clock: Any, own_broker: KillableBroker, tmp_path: Path
) -> None:
    from tests.support.api import new_key
    from tests.support.billing import START

    env = {**standin.environment(), **fresh_db.env(), "REDIS_URL": own_broker.url}
    env["BILLING_CLOCK_FILE"] = str(clock.path)
    drafts = iter(make_drafts(3 * ROUND))
    web, worker, beat = Web(tmp_path, env), Worker(tmp_path, env), Beat(tmp_path, env)
    caller = Caller(web.port, new_key(at=START))
    try:
        web.start()
        worker.start()
        beat.start()
        ask(caller, drafts, range(ROUND))  # connections to the broker are open from here on
        own_broker.freeze()
        ask(caller, drafts, range(ROUND, 2 * ROUND))
        ready = caller.send("GET", "//readyz")
        assert (ready.status, ready.json()["checks"]["broker"]) == (503, "unreachable")
        assert ready.seconds < 2 * LONGEST_SECONDS
        own_broker.thaw()
        web.stop()
        web.start()  # it forgets that the broker failed, and asks it again
        own_broker.kill()
        ask(caller, drafts, range(2 * ROUND, 3 * ROUND))
        own_broker.restart()
        everything_is_found(own_broker.url)
    finally:
        beat.stop()
        worker.stop()
        web.stop()


def ask(caller: Caller, drafts: Iterator[str], numbers: range) -> None:
    """Events, a finalisation and a webhook for each number: all done, none of them slow."""
    from tests.support.billing import START

    for number in numbers:
        batch = [event(f"e-{number}", f"cus-{number}", START, context=1, generated=1)]
        body, signature = signed_event(number, START)
        draft = next(drafts)
        answers: dict[str, Answer] = {
            "events": caller.send("POST", "/events", batch, Content_Type="application/cloudevents-batch+json"),
            "finalize": caller.send("POST", f"/invoices/{draft}/finalize", None, Idempotency_Key=f"final-{draft}"),
            "webhook": caller.send("POST", "//webhooks/stripe", body, Stripe_Signature=signature),
        }
        for name, answer in answers.items():
            assert answer.status == 200, (name, answer)
            assert answer.seconds < LONGEST_SECONDS, (name, answer.seconds)


def everything_is_found(broker: str) -> None:
    """Beat's tick of each second folds the events; the minute's ticks are sent here, as it would."""
    from invoicing.models import Invoice, StripeEvent
    from metering.models import Batch

    wait_until(lambda: not Batch.objects.filter(fold=None).exists(), "beat and worker are back, and events folded")
    assert Batch.objects.count() == 3 * ROUND
    nudge("invoicing.collect_due", broker=broker)
    nudge("invoicing.handle_due_events", broker=broker)
    wait_until(lambda: Invoice.objects.filter(status="paid").count() == 3 * ROUND, "every invoice is collected")
    wait_until(lambda: not StripeEvent.objects.filter(handled_at=None).exists(), "every webhook is handled")
