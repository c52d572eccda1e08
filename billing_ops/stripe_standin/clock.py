"""The stand-in's time: a shared clock file, an instant that was set, or the real time."""

import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path


class Clock:
    """With a file: the ISO 8601 instant written in it, read at every use, so that several processes share one time."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self._set: int | None = None
        self._lock = threading.Lock()

    def now(self) -> int:
        """Seconds since 1970 (UTC)."""
        if self.path is not None:
            return int(_parse(self.path.read_text().strip()))
        return self._set if self._set is not None else int(time.time())

    def set(self, instant: str) -> None:
        """Move the clock: writes the file when there is one, else holds the instant in memory."""
        seconds = int(_parse(instant))
        with self._lock:
            if self.path is None:
                self._set = seconds
                return
            beside = self.path.with_name(f".{self.path.name}.{os.getpid()}")
            beside.write_text(datetime.fromtimestamp(seconds, UTC).isoformat())
            beside.replace(self.path)

    @property
    def stands(self) -> bool:
        """Whether it stands at an instant that was set and that nobody else can know of."""
        return self._set is not None

    def free(self) -> None:
        """Forget an instant held in memory: back to the real time."""
        self._set = None


def _parse(text: str) -> float:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()
