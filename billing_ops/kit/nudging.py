"""Telling a worker that there is something to do, as a courtesy: rows carry the work and a sweep finds it anyway.

So a nudge never fails its caller and hardly makes it wait: a broker that refuses costs nothing, one that does not
answer costs a second, and after either this process leaves it alone for half a minute.
"""

import logging
import os
import time
from functools import lru_cache
from typing import Any, Final

from celery import current_app
from kombu import Connection, pools
from kombu.exceptions import KombuError

log = logging.getLogger(__name__)

SILENCE_SECONDS: Final = 30
"""How long the broker is left alone after it failed."""

_LIMITS: Final = {"socket_connect_timeout": 1, "socket_timeout": 1, "max_retries": 0, "connect_retries_timeout": 1}
_silence = {"until": 0.0}  # by the monotonic clock


def nudge(task: str, *args: Any) -> bool:
    """Send a task by its name, at most once; whether it was sent. Call it after the commit that made the work."""
    if time.monotonic() < _silence["until"]:
        return False
    try:
        with _producers(os.getpid()).acquire(block=True, timeout=1) as producer:
            current_app.send_task(task, args=list(args), producer=producer, retry=False)
    except (OSError, KombuError) as error:
        _silence["until"] = time.monotonic() + SILENCE_SECONDS
        log.warning("The broker did not take %s; the sweep will find the work: %s", task, error)
        return False
    return True


@lru_cache(maxsize=1)
def _producers(pid: int) -> Any:
    """A pool of this process's own: its connections give up long before those that the workers wait on."""
    broker: Connection = current_app.connection_for_write(transport_options=_LIMITS)
    return pools.producers[broker]
