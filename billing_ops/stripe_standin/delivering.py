"""Sending events to their endpoints: signed freshly at each attempt, retried with exponential backoff.

Retries are due by the real clock, whatever the virtual one says; signatures carry the stand-in's time (the receiver's
clock, if they share a clock file) unless ``real_signatures`` is asked for. ``deliver`` sends what is due now and says
how it went, so that a test drives deliveries and never sleeps.
"""

import hashlib
import hmac
import http.client
import json
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from billing_ops.stripe_standin import ageing
from billing_ops.stripe_standin.account import Account, Call
from billing_ops.stripe_standin.errors import Json
from billing_ops.stripe_standin.events import release_held
from billing_ops.stripe_standin.rendering import public, show

OTHER_SECRET = "whsec_of_someone_else"  # noqa: S105 - what a forger signs with
IDLE_SECONDS = 0.5


@dataclass(frozen=True)
class Policy:
    """How deliveries go: a first retry after ``retry_base`` seconds, doubling to ``retry_cap``."""

    retry_base: float = 1.0
    retry_cap: float = 60.0
    attempts: int = 100
    timeout: float = 10.0
    real_signatures: bool = False


@dataclass(frozen=True)
class Parcel:
    """One attempt, ready to be sent."""

    delivery: int
    event: str
    type: str
    url: str
    body: bytes
    headers: dict[str, str]
    forged: bool


def sign(body: bytes, secrets: list[str], at: int) -> str:
    """The ``Stripe-Signature`` of a body: one ``v1`` a secret (there are two while one is rolled)."""
    macs = [hmac.new(secret.encode(), b"%d." % at + body, hashlib.sha256) for secret in secrets]
    return ",".join([f"t={at}", *(f"v1={mac.hexdigest()}" for mac in macs)])


class Courier:
    """Delivers; in the background when started, else only when told to."""

    def __init__(self, account: Account, policy: Policy) -> None:
        self.account = account
        self.policy = policy
        self._sending = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Deliver in the background from now on."""
        self._thread = threading.Thread(target=self._run, name="courier", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the attempt under way."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(self.policy.timeout + 1)

    def nudge(self) -> None:
        """There may be something to deliver."""
        self._wake.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            # A clock that stands at an instant set by hand signs for a time that the receiver would refuse.
            if self.account.clock.stands or not self.deliver(most=100):
                self._wake.wait(IDLE_SECONDS)

    def deliver(self, *, everything: bool = False, release: bool = False, most: int = 10_000) -> list[Json]:
        """Send what is due (``everything``: also what is due later) in order, each once; returns the outcomes."""
        outcomes = []
        with self._sending:
            for parcel in self.pack(everything=everything, release=release, most=most):
                if self._stopping.is_set():
                    break
                status = self._post(parcel)
                outcomes.append(self.record(parcel, status))
        return outcomes

    def pack(self, *, everything: bool = False, release: bool = False, most: int = 10_000) -> list[Parcel]:
        """What is to be sent now, without sending it."""
        store = self.account.store
        with store.transaction():
            call = Call(self.account, self.account.clock.now())
            if release:
                release_held(call)
            horizon = float("inf") if everything else time.time()
            rows = store.run(
                "SELECT * FROM deliveries WHERE state = 'pending' AND due <= ? ORDER BY rank, seq LIMIT ?",
                (horizon, most),
            )
            parcels = [self._parcel(call, dict(row)) for row in rows]
        return [parcel for parcel in parcels if parcel is not None]

    def _parcel(self, call: Call, row: Json) -> Parcel | None:
        endpoint = call.store.get(row["endpoint"], "webhook_endpoint")
        event = call.store.get(row["event"], "event")
        if endpoint is None or event is None or endpoint["status"] != "enabled":
            call.store.run("UPDATE deliveries SET state = 'dropped' WHERE seq = ?", (row["seq"],))
            return None
        plan = json.loads(row["plan"])
        shown = public(show(call, event))
        assert isinstance(shown, dict)
        if "api_version" in plan:
            shown = ageing.as_of(shown, plan["api_version"])
        style = plan.get("forge")
        if plan.get("body") is not None:
            shown = plan["body"]
        body = json.dumps(shown, indent=2, ensure_ascii=False).encode()
        at = int(time.time()) if self.policy.real_signatures else self.account.clock.now()
        if row["attempts"] == 0:
            at -= int(plan.get("age_seconds", 0))
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "Stripe/1.0 (stand-in)"}
        secrets = [endpoint["_secret"], *endpoint.get("_rolled", [])]
        signature, body = _signed(body, secrets, at, style)
        if signature is not None:
            headers["Stripe-Signature"] = signature
        return Parcel(row["seq"], event["id"], event["type"], endpoint["url"], body, headers, style is not None)

    def _post(self, parcel: Parcel) -> int | None:
        """The receiver's status; None when there was no answer."""
        parts = urlsplit(parcel.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=self.policy.timeout)
        path = parts.path or "/"
        try:
            connection.putrequest("POST", f"{path}?{parts.query}" if parts.query else path)
            for name, value in {**parcel.headers, "Content-Length": str(len(parcel.body))}.items():
                connection.putheader(name, value.encode("utf-8"))
            connection.endheaders(parcel.body)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def record(self, parcel: Parcel, status: int | None) -> Json:
        """Keep how an attempt went: delivered by a 2xx, else again later; a forgery is sent once, whatever comes."""
        store = self.account.store
        accepted = status is not None and 200 <= status < 300
        with store.transaction():
            rows = store.run("SELECT attempts FROM deliveries WHERE seq = ?", (parcel.delivery,))
            if not rows:  # reset in the meantime
                return {"event": parcel.event, "type": parcel.type, "status": status, "state": "gone", "forged": False}
            attempts = rows[0]["attempts"] + 1
            state = "delivered" if accepted or parcel.forged else "pending"
            if state == "pending" and attempts >= self.policy.attempts:
                state = "failed"
            wait = min(self.policy.retry_base * 2 ** (attempts - 1), self.policy.retry_cap)
            store.run(
                "UPDATE deliveries SET attempts = ?, state = ?, last_status = ?, due = ? WHERE seq = ?",
                (attempts, state, status, time.time() + wait, parcel.delivery),
            )
        return {
            "delivery": parcel.delivery,
            "event": parcel.event,
            "type": parcel.type,
            "status": status,
            "state": state,
            "attempt": attempts,
            "forged": parcel.forged,
        }


def _signed(body: bytes, secrets: list[str], at: int, style: str | None) -> tuple[str | None, bytes]:
    """The signature header, right or forged in the named way, and the body that goes with it."""
    match style:
        case None:
            return sign(body, secrets, at), body
        case "other_secret":
            return sign(body, [OTHER_SECRET], at), body
        case "tampered":
            return sign(body, secrets, at), body.replace(b'"livemode": false', b'"livemode": false ', 1)
        case "garbage":
            return "v1=zzz,t=yesterday", body
        case "non_ascii":
            return f"t={at},v1=\u00e9\u4e2d", body
        case _:
            return None, body
