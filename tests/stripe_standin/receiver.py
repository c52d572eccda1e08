"""A webhook receiver that records what it gets and answers what it was told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import stripe


@dataclass(frozen=True)
class Received:
    """One request."""

    body: bytes
    signature: str | None

    @property
    def event(self) -> dict[str, Any]:
        """The body as JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found

    def is_signed_with(self, secret: str, *, tolerance: int | None = 300) -> bool:
        """What the SDK says of its signature."""
        try:
            return bool(stripe.WebhookSignature.verify_header(self.body, self.signature, secret, tolerance))
        except (stripe.SignatureVerificationError, TypeError):
            return False


@dataclass
class Receiver:
    """``statuses`` are answered in turn, then 200."""

    url: str = ""
    received: list[Received] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)

    @property
    def types(self) -> list[str]:
        """Types of the events received, in order."""
        return [one.event["type"] for one in self.received]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a free port."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(Received(body, self.headers.get("Stripe-Signature")))
            self.send_response(receiver.statuses.pop(0) if receiver.statuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_address[1]}/webhooks/stripe"
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
