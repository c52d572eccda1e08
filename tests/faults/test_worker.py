"""Messages that make no sense, tasks that raise or kill their process, messages that come twice."""

import base64
import json
import os
import uuid
from pathlib import Path
from typing import Any

import psutil
import redis

from tests.faults.rig import make_drafts, nudge
from tests.stripe_standin.process import Standin
from tests.support.processes import Worker, wait_until

INVOICES = 10
TIMES = 5


def test_poison_stops_no_work_and_nothing_is_done_twice(
    fresh_db: Any, standin: Standin, clock: Any, redis_url: str, tmp_path: Path
) -> None:
    from billing_ops.models import FailedWork
    from invoicing.models import Invoice, PaymentAttempt
    from tests.invoicing.proof import prove

    made = make_drafts(INVOICES)
    env = {**standin.environment(), "DATABASE_URL": fresh_db.url(), "BILLING_CLOCK_FILE": str(clock.path)}
    worker = Worker(tmp_path, env)
    try:
        worker.start()
        poison(redis_url)
        wait_until(lambda: worker_said(worker, "matching query does not exist"), "the poison is taken")
        victim, *_ = psutil.Process(worker.pid).children()
        victim.kill()
        for _ in range(TIMES):  # as a broker redelivers what was not acknowledged
            nudge("invoicing.bill")
            nudge("invoicing.collect_due")
            for public_id in made:
                nudge("invoicing.collect", public_id)
        wait_until(lambda: Invoice.objects.filter(status="paid").count() == INVOICES, "every invoice is paid")
        nudge("invoicing.bill")
        nudge("invoicing.collect_due")
        wait_until(lambda: queued(redis_url) == 0, "every message is taken")
    finally:
        worker.stop()  # ends when what it works on is done
    assert worker_said(worker, "Received unregistered task")
    assert worker_said(worker, "collect() missing 1 required positional argument")
    assert worker_said(worker, "Can't decode message body")
    assert worker_said(worker, "Refusing to deserialize untrusted content")
    assert worker_said(worker, "StripeEvent matching query does not exist")
    assert Invoice.objects.count() == INVOICES
    assert [one.status for one in PaymentAttempt.objects.all()] == ["succeeded"] * INVOICES
    assert len(standin.objects("charge")) == INVOICES
    assert not FailedWork.objects.exists()
    prove(standin)


def test_a_task_that_hangs_is_ended_before_its_message_comes_again() -> None:
    """Else a second copy of it would run beside the first."""
    from billing_ops.celery import app

    visible_again = app.conf.broker_transport_options.get("visibility_timeout", 3600)  # the transport's default
    assert 0 < app.conf.task_time_limit < visible_again
    assert app.conf.task_soft_time_limit is None, "an exception in the middle of a unit would be noted as its failure"
    assert app.conf.task_acks_late


def poison(redis_url: str) -> None:
    """An unknown task, missing arguments, a row that is not there, and two messages whose content cannot be read."""
    nudge("invoicing.no_such_task")
    nudge("invoicing.collect")
    with redis.Redis.from_url(redis_url) as client:
        for body, kind in (
            (b"{", "application/json"),
            (b"cos\nsystem\n(S'true'\ntR.", "application/x-python-serialize"),
        ):
            client.lpush(queue(), json.dumps(message(body, kind)))
    nudge("invoicing.handle_stripe_event", 4711)


def message(body: bytes, content_type: str) -> dict[str, Any]:
    """A message as it lies in the broker, around any body."""
    name = str(uuid.uuid4())
    properties = {
        "correlation_id": name, "delivery_mode": 2, "delivery_tag": name, "body_encoding": "base64", "priority": 0,
        "delivery_info": {"exchange": "", "routing_key": "celery"},
    }  # fmt: skip
    return {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": content_type,
        "headers": {"id": name, "task": "invoicing.bill", "lang": "py", "argsrepr": "()", "kwargsrepr": "{}"},
        "properties": properties,
    }


def queue() -> str:
    return f"{os.environ['REDIS_NAMESPACE']}celery"


def queued(redis_url: str) -> int:
    with redis.Redis.from_url(redis_url) as client:
        return int(client.llen(queue()))


def worker_said(worker: Worker, words: str) -> bool:
    return words in worker.log.read_text()
