"""A whole installation of its own, as ``make run`` starts it, for tests that kill its parts."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from billing_ops.embedded.processes import MARK

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(true: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Ask again and again until it is so; fail with ``what`` when it takes too long."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.05)


class Installation:
    """One state directory and the supervisor that runs on it."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home.resolve()
        self.port = free_port()
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None
        self._output = home.parent / f"{home.name}.out"

    def start(self) -> "Installation":
        """Start it as a user with an empty environment would."""
        env = {"PATH": os.environ["PATH"], "BILLING_HOME": str(self.home), "PORT": str(self.port), "BILLING_DEMO": "no"}
        with self._output.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "billing_ops.embedded", "up"],
                cwd=ROOT,
                env={**env, **self._environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
            )
        return self

    @property
    def said(self) -> str:
        """Everything it has printed."""
        return self._output.read_text()

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process
        return self._process.pid

    def wait_ready(self, seconds: float = 180) -> float:
        """Wait until it says that it is ready; returns the seconds that it says it took."""
        wait_until(lambda: "Ready after" in self.said or self.exit_code() is not None, f"ready:\n{self.said}", seconds)
        found = re.search(r"Ready after ([0-9.]+) s", self.said)
        assert found, self.said
        return float(found[1])

    def exit_code(self) -> int | None:
        """``None`` while the supervisor runs."""
        assert self._process
        return self._process.poll()

    def wait_exit(self, seconds: float = 40) -> int:
        """Wait for the supervisor's end; returns its exit code."""
        assert self._process
        return self._process.wait(seconds)

    def signal(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        assert self._process
        self._process.send_signal(number)

    def stop(self) -> int:
        """Press Ctrl-C; returns the exit code."""
        if self.exit_code() is None:
            self.signal(signal.SIGINT)
        return self.wait_exit()

    def children(self, word: str = "") -> list[psutil.Process]:
        """Its living processes, those with a word in their command line; PostgreSQL's are found by their directory."""
        found = []
        for process in psutil.process_iter():
            try:
                line = " ".join(process.cmdline())
                ours = process.environ().get(MARK) == str(self.home) or str(self.home) in line
                alive = process.status() != psutil.STATUS_ZOMBIE and process.pid != self.pid
            except psutil.Error:
                continue
            if ours and alive and word in line:
                found.append(process)
        return found

    def get(self, path: str = "/console/login/") -> tuple[int, str]:
        """Ask the console; status 0 when nothing answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()
