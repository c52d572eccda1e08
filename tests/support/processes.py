"""The product as it runs: a web server and a Celery worker, as processes that a test may kill."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 60


def free_port() -> int:
    """A loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Look again and again until it is so; fail with ``what`` when it does not become so in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for: {what}")
        threading.Event().wait(0.05)


class Program:
    """A process of ours with its log in a file; ended with its whole group."""

    def __init__(self, log: Path, env: Mapping[str, str], *argv: str) -> None:
        self.log, self._env, self._argv = log, dict(env), argv
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it."""
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._argv], cwd=ROOT, env=self._env, stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Its first process."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """End it and its children without warning (SIGKILL)."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator does (SIGTERM), and without mercy if it takes too long."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if how is signal.SIGTERM:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                how = signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


class Web(Program):
    """Granian with our WSGI application, as in production."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(
            folder / "web.log", env, "granian", "--interface", "wsgi", "--host", "127.0.0.1", "--port", str(self.port),
            "--blocking-threads", "8", "--no-ws", "billing_ops.wsgi:application",
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it answers."""
        super().start()
        wait_until(self._answers, f"the web server; its log is {self.log}", START_SECONDS)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5) as answer:  # noqa: S310  # loopback
                return bool(answer.status == 200)
        except OSError:
            return False


class Worker(Program):
    """A Celery worker."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        super().__init__(
            folder / "worker.log", env, "celery", "-A", "billing_ops.celery", "worker", "--concurrency", "2",
            "--loglevel", "INFO", "--without-gossip", "--without-mingle", "--hostname", f"worker-{os.getpid()}@%h",
        )  # fmt: skip

    def start(self) -> None:
        """Start it and wait until it takes messages."""
        seen = self._ready_lines()
        super().start()
        wait_until(lambda: self._ready_lines() > seen, f"the worker; its log is {self.log}", START_SECONDS)

    def _ready_lines(self) -> int:
        return len(re.findall(rb"ready\.", self.log.read_bytes())) if self.log.exists() else 0


class Http:
    """A small JSON client for the API of a running server."""

    def __init__(self, base: str, key: str) -> None:
        self._base, self._key, self._calls = base, key, 0

    def post(self, path: str, body: Any, *, content_type: str = "application/json") -> Any:
        """POST JSON with a fresh Idempotency-Key; fails on anything but 2xx and gives the answer."""
        self._calls += 1
        return self._send("POST", path, body, content_type)

    def put(self, path: str, body: Any) -> Any:
        """PUT JSON; fails on anything but 2xx and gives the answer."""
        return self._send("PUT", path, body, "application/json")

    def get(self, path: str) -> Any:
        """GET; fails on anything but 2xx and gives the answer."""
        return self._send("GET", path, None, "")

    def _send(self, method: str, path: str, body: Any, content_type: str) -> Any:
        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": f"scenario-{self._calls}"}
        data = None
        if body is not None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            headers["Content-Type"] = content_type
        request = urllib.request.Request(f"{self._base}/api/v1{path}", data=data, method=method, headers=headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # loopback
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()[:2000]}") from None
