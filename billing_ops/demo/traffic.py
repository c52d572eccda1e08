"""Believable requests: more by day than by night, fewer on weekends; the same for the same seed."""

import json
import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from billing_ops.demo.cast import Member

_BY_HOUR = (1, 1, 1, 1, 1, 2, 4, 8, 14, 18, 19, 17, 14, 17, 18, 17, 14, 11, 8, 6, 5, 4, 3, 2)
_WEEKEND_SHARE = 0.35


def requests_of(member: Member, start: datetime, end: datetime) -> Iterator[bytes]:
    """The member's requests in ``[start, end)`` as CloudEvents, each hour drawn from its own seed."""
    hour = start.replace(minute=0, second=0, microsecond=0)
    while hour < end:
        for number, (second, context, generated) in enumerate(_hour(member, hour)):
            time = hour + timedelta(seconds=second)
            if start <= time < end:
                yield _event(member, time, f"{hour:%Y%m%dT%H}-{number:03d}", context, generated)
        hour += timedelta(hours=1)


def _hour(member: Member, hour: datetime) -> list[tuple[int, int, int]]:
    source = random.Random(f"{member.key} {hour:%Y%m%d%H}")  # noqa: S311  # a plot, not a secret
    local = hour.astimezone(ZoneInfo(member.time_zone))
    share = _BY_HOUR[local.hour] / sum(_BY_HOUR) * (_WEEKEND_SHARE if local.weekday() >= 5 else 1)
    wanted = member.requests_a_day * share
    count = int(wanted) + (source.random() < wanted % 1)
    return [
        (
            source.randrange(3600),
            int(source.lognormvariate(9.6, 0.9)),
            int(source.lognormvariate(6.2, 0.8)),
        )
        for _ in range(count)
    ]


def _event(member: Member, time: datetime, name: str, context: int, generated: int) -> bytes:
    return json.dumps(
        {
            "specversion": "1.0",
            "id": f"{member.key}-{name}",
            "source": "demo/gateway",
            "type": "llm.request",
            "subject": member.key,
            "time": time.isoformat(),
            "data": {"model": "small-1", "context_tokens": context, "generated_tokens": generated},
        }
    ).encode()
