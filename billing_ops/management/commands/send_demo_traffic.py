"""``manage.py send_demo_traffic``: the demo's customers go on using the product, over HTTP like any service.

The requests of an instant are always the same, so after a pause it sends what was missed, and twice does no harm.
"""

import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from billing_ops.demo import traffic
from billing_ops.demo.cast import CAST
from billing_ops.kit import clock
from billing_ops.kit.actor import system
from billing_ops.kit.http import issuing
from billing_ops.models import ApiKey

KEY_NAME = "demo traffic"
EVERY_SECONDS = 5
MOST_IN_A_BATCH = 1000
FARTHEST_BACK = timedelta(days=3)


class Command(BaseCommand):
    help = "Send the demo customers' usage as it happens, until stopped."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", help="the address of the running server, e.g. http://127.0.0.1:8000")

    def handle(self, *args: Any, **options: Any) -> None:
        stopped = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopped.set())
        at = clock.now()
        for old in ApiKey.objects.filter(name=KEY_NAME, revoked_at__isnull=True):
            issuing.revoke(prefix=old.prefix, at=at, actor=system("demo"))
        key = issuing.issue(
            name=KEY_NAME,
            scopes=["events:write"],
            at=at,
            actor=system("demo"),
            expires_at=at + timedelta(days=30),
        )
        sent_until = at - FARTHEST_BACK
        while not stopped.is_set():
            now = clock.now()
            if self._send(options["url"], key.text, sent_until, now):
                sent_until = now
            stopped.wait(EVERY_SECONDS)

    def _send(self, url: str, key: str, start: datetime, end: datetime) -> bool:
        """Send what happened in ``[start, end)``; False when the server could not be reached: then all of it again."""
        try:
            for body in _bodies(start, end):
                request = urllib.request.Request(  # noqa: S310  # the operator's own address
                    f"{url}/api/v1/events",
                    data=body,
                    headers={"Authorization": f"Bearer {key}", "Content-Type": "application/x-ndjson"},
                )
                urllib.request.urlopen(request, timeout=30).close()  # noqa: S310
        except (urllib.error.URLError, OSError) as error:
            self.stderr.write(f"{end:%H:%M:%S} not sent, trying again: {error}")
            return False
        return True


def _bodies(start: datetime, end: datetime) -> Iterator[bytes]:
    """The members' requests in that time as NDJSON bodies; only those who joined before it."""
    events = [event for member in CAST for event in traffic.requests_of(member, start, end)]
    for first in range(0, len(events), MOST_IN_A_BATCH):
        yield b"\n".join(events[first : first + MOST_IN_A_BATCH])
