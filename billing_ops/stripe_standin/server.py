"""HTTP on loopback: reads a request, lets the engine or the controls answer it, and misbehaves when told to."""

import json
import socket
import struct
import sys
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from billing_ops.stripe_standin.control import Control
from billing_ops.stripe_standin.delivering import Courier
from billing_ops.stripe_standin.door import Answer, refused
from billing_ops.stripe_standin.engine import Engine

MAX_BODY_BYTES = 1024 * 1024
MOST_DISCARDED_BYTES = 64 * 1024 * 1024


class Server(ThreadingHTTPServer):
    """The listening process; one thread a connection."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], engine: Engine, control: Control, courier: Courier) -> None:
        self.engine = engine
        self.control = control
        self.courier = courier
        super().__init__(address, Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is not news."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "StripeStandin"
    sys_version = ""
    wbufsize = -1  # headers and body leave together
    disable_nagle_algorithm: ClassVar[bool] = True
    timeout = 120

    def do_GET(self) -> None:
        """Read."""
        self._serve()

    def do_POST(self) -> None:
        """Write."""
        self._serve()

    def do_DELETE(self) -> None:
        """Remove."""
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the request log is in the state."""

    def _serve(self) -> None:
        raw = self._body()
        if raw is None:
            return
        try:
            if self.path.startswith("/_standin"):
                refusal = refused(self.headers.get_all("Host") or [], self.headers.get("Origin"))
                status, answer = refusal or self.server.control.handle(self.command, self.path, raw)
                self._send(Answer(status, json.dumps(answer, indent=2)))
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            found = self.server.engine.handle(self.command, self.path, headers, raw)
        except Exception:  # a fault of the stand-in itself must be seen, and must not look like one of Stripe's
            traceback.print_exc()
            self._send(
                Answer(500, json.dumps({"error": {"type": "api_error", "message": "The Stripe stand-in broke."}}))
            )
            return
        self.server.courier.nudge()
        self._conduct(found)

    def _body(self) -> bytes | None:
        try:
            length = int(self.headers.get("Content-Length") or 0)
        except ValueError:
            length = -1
        if not 0 <= length <= MAX_BODY_BYTES:
            self.close_connection = True
            self._discard(length)
            message = f"The body must have a length of at most {MAX_BODY_BYTES} bytes."
            self._send(Answer(413, json.dumps({"error": {"type": "invalid_request_error", "message": message}})))
            return None
        return self.rfile.read(length)

    def _discard(self, length: int) -> None:
        """Read a body away (within reason): who is cut off while sending would not see the answer."""
        left = min(length, MOST_DISCARDED_BYTES)
        while left > 0 and (chunk := self.rfile.read(min(left, 65_536))):
            left -= len(chunk)

    def _conduct(self, found: Answer) -> None:
        if found.conduct == "answer":
            self._send(found)
            return
        self.close_connection = True
        if found.conduct == "hang":
            self.server.engine.stopping.wait(found.hold_seconds)
        else:
            # Linger of zero: closing sends a reset, not an orderly end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Stripe-Standin", "true")
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
