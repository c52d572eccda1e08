"""The stand-in as a process of its own, started for a test."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20
Json = dict[str, Any]


class StandinFailed(AssertionError):
    """The process did not start, or a control refused what it was asked."""


class Standin:
    """A running stand-in. It keeps its state in a file, its address over a restart, and delivers when told to.

    ``url`` is its base address, ``api_key`` and ``secret`` what it accepts and signs with.
    """

    api_key = "sk_test_standin"
    secret = "whsec_standin"

    def __init__(
        self, folder: Path, *options: str, clock_file: Path | None = None, seed: str | None = "standin"
    ) -> None:
        self._folder = folder
        self._port = 0
        self._options = [*options]
        if clock_file is not None:
            self._options += ["--clock-file", str(clock_file)]
        if seed is not None:
            self._options += ["--seed", seed]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = ""

    def start(self) -> None:
        """Start the process and wait until it listens."""
        ready = self._folder / "ready.json"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "billing_ops.stripe_standin", "--port", str(self._port)]
        command += ["--state", str(self._folder / "state.sqlite"), "--ready-file", str(ready), "--delivery", "manual"]
        command += ["--retry-base", "0", *self._options]
        secrets = {"STANDIN_API_KEY": self.api_key, "STANDIN_WEBHOOK_SECRET": self.secret}
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, env={**os.environ, **secrets})
        self._await_banner(self._process)
        facts = json.loads(ready.read_text())
        self.url = facts["url"]
        self._port = int(self.url.rpartition(":")[2])

    def _await_banner(self, process: subprocess.Popen[bytes]) -> None:
        watchdog = threading.Timer(START_SECONDS, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if line.startswith(b"ready"):
                    return
        finally:
            watchdog.cancel()
        raise StandinFailed(f"the stand-in ended with {process.wait()} before it was ready")

    def stop(self) -> int:
        """End it as Ctrl-C does; returns its exit status."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without warning (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stop it if it runs, and start it again on the same state and the same port."""
        self.stop()
        self.start()

    def _end(self, how: signal.Signals) -> int:
        process, self._process = self._process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            status = process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
            raise StandinFailed("the stand-in did not stop within 10 s") from None
        assert process.stdout is not None
        process.stdout.close()
        return status

    @property
    def is_running(self) -> bool:
        """Whether it was started and neither stopped nor killed."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process, for tests that look at it."""
        assert self._process is not None
        return self._process.pid

    # Controls

    def control(self, path: str, body: Json | None = None) -> Json:
        """``POST /_standin/{path}`` with a JSON body, or ``GET`` without one."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/_standin/{path}", data=data)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=300) as answer:  # noqa: S310 - loopback
                found: Json = json.load(answer)
        except urllib.error.HTTPError as error:
            raise StandinFailed(error.read().decode()) from None
        return found

    def state(self) -> Json:
        """Counts, sums paid by currency in minor units, deliveries."""
        return self.control("state")

    def requests(self, after: int = 0) -> list[Json]:
        """The request log, oldest first; ``params`` as they were sent (strings)."""
        return list(self.control(f"requests?after={after}")["requests"])

    def objects(self, kind: str) -> list[Json]:
        """Every object of a kind (``invoice``, ``charge``, ``event``…), oldest first, as kept."""
        return list(self.control(f"objects?kind={kind}")["objects"])

    def fault(self, fault: str, **fields: Any) -> None:
        """Ask for a fault: ``fault("duplicate", types="invoice.paid")``, ``fault("error_after", path="*/pay")``."""
        self.control("faults", {"fault": fault, **fields})

    def set_webhook(self, url: str, secret: str | None = None, *, also: str | None = None) -> None:
        """Where events go from now on; ``also`` is a second secret that signs too, as while one is rolled."""
        self.control("webhook", {"url": url, "secret": secret or self.secret, "also": also})

    def deliver(self, *, everything: bool = False) -> list[Json]:
        """Send the webhooks that are due, each once (``everything``: also those due later); returns the outcomes."""
        return list(self.control("deliver", {"all": everything})["outcomes"])

    def deliver_to(self, receive: Callable[[bytes, dict[str, str]], int], *, everything: bool = False) -> list[Json]:
        """Hand what is due to a function instead of an address: body and headers in, status out.

        For receivers without a server, such as Django's test client. Returns the outcomes as :meth:`deliver` does.
        """
        outcomes = []
        for parcel in self.control("take", {"all": everything})["parcels"]:
            status = receive(parcel["body"].encode(), parcel["headers"])
            outcomes.append(self.control("outcome", {"delivery": parcel["delivery"], "status": status}))
        return outcomes

    def client(self, **options: Any) -> Any:
        """The real SDK's client with every base address pointed here; no retries unless asked for."""
        import stripe

        stripe.enable_telemetry = False
        bases = dict.fromkeys(("api", "files", "connect", "meter_events"), self.url)
        return stripe.StripeClient(self.api_key, **{"base_addresses": bases, "max_network_retries": 0, **options})

    def environment(self) -> dict[str, str]:
        """What a process of the product needs to talk to it."""
        return {
            **os.environ,
            "STRIPE_API_BASE": self.url,
            "STRIPE_SECRET_KEY": self.api_key,
            "STRIPE_WEBHOOK_SECRETS": self.secret,
        }
