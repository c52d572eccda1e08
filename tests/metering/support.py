"""Events and meters for the tests of metering."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from billing_ops.kit.actor import system
from metering import aggregating, defining, ingesting
from metering.models import Meter

AT = datetime(2025, 3, 14, 12, 30, tzinfo=UTC)
ACTOR = system("test")
TOKENS = "llm.request"


def cloud_event(number: int | str, /, **changes: Any) -> dict[str, Any]:
    """An event that is right in every attribute; ``None`` removes one."""
    event: dict[str, Any] = {
        "specversion": "1.0",
        "id": f"ev-{number}",
        "source": "/gateway/eu-1",
        "type": TOKENS,
        "subject": "cus-1",
        "time": "2025-03-14T10:15:46.680590Z",
        "data": {"context_tokens": 374, "model": "large"},
        **changes,
    }
    return {name: value for name, value in event.items() if value is not None}


def raw(number: int | str, /, **changes: Any) -> bytes:
    return json.dumps(cloud_event(number, **changes)).encode()


def iso(instant: datetime) -> str:
    return instant.isoformat()


def accept(*events: bytes | dict[str, Any], at: datetime = AT) -> ingesting.IngestResult:
    return ingesting.accept(events=list(events), at=at, actor=ACTOR)


def sum_meter(key: str = "context-tokens", **changes: Any) -> Meter:
    body: dict[str, Any] = {
        "key": key,
        "name": "Context tokens",
        "event_type": TOKENS,
        "aggregation": "sum",
        "value_path": "context_tokens",
        "unit": "tokens",
        "at": AT,
        "actor": ACTOR,
        **changes,
    }
    return defining.define(**body)


def fold_all(*, at: datetime = AT, limit: int = aggregating.FOLD_EVENTS) -> int:
    """Fold while there is work; return the number of events folded."""
    events = 0
    while (done := aggregating.advance(at=at, limit=limit)).worked:
        events += done.events
    return events


HOUR = timedelta(hours=1)
