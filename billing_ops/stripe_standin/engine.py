"""One API request from its bytes to its answer.

1. the door: the key, the version, the shape of the body, the address (refusals here are kept nowhere);
2. the idempotency key: the same key with the same parameters gets the kept answer, with others an error, and 409 while
   the first request is still at work; kept for 24 hours of the stand-in's clock;
3. the work: one transaction with its objects, events, line in the request log and kept answer;
4. faults, if any were asked for, before or after the work.
"""

import json
import threading
from collections.abc import Mapping
from urllib.parse import urlsplit

from billing_ops.stripe_standin import faults, params, rendering, routes
from billing_ops.stripe_standin.account import API_VERSION, Account, Call
from billing_ops.stripe_standin.door import Answer, Request, enter
from billing_ops.stripe_standin.errors import ApiError, Json, at_the_door, server_error

KEEPS_ANSWERS_SECONDS = 24 * 3600
BAD_GATEWAY = 502


class Engine:
    """Works on requests; thread-safe (the work itself is one at a time)."""

    def __init__(self, account: Account, api_key: str) -> None:
        self.account = account
        self._api_key = api_key
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._holds = threading.Condition()
        self._held = 0
        self._tokens = 0
        self.stopping = threading.Event()

    def handle(self, method: str, target: str, headers: Mapping[str, str], raw: bytes) -> Answer:
        """Answer one request, in whatever way the faults ask for."""
        request = Request(method, target, headers, raw, id=self.account.ids.request())
        request.path = urlsplit(target).path.rstrip("/")
        fault: Json = {}
        try:
            enter(request, self._api_key)
            fault = faults.take_api(self.account.store, method, request.path)
            found = self._before(request, fault) or self._keyed(request, fault)
        except ApiError as error:
            found = self._refused(request, error, fault)
        return self._after(fault, found)

    def release(self) -> None:
        """Let one request go on that a ``hold`` fault keeps waiting (or the next that would wait)."""
        with self._holds:
            self._tokens += 1
            self._holds.notify_all()

    def await_holding(self, timeout: float) -> bool:
        """Wait until a request is held; False when none was in ``timeout`` seconds."""
        with self._holds:
            return self._holds.wait_for(lambda: self._held > 0, timeout)

    def stop(self) -> None:
        """Let every waiting request end."""
        self.stopping.set()
        with self._holds:
            self._holds.notify_all()

    # Faults around the work

    def _before(self, request: Request, fault: Json) -> Answer | None:
        name = fault.get("fault")
        if name == "rate_limit":
            raise at_the_door(
                429,
                "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
                code="rate_limit",
            )
        if name == "error_before" and not self._kept(fault):
            error = server_error(fault.get("status", 500))
            error.stored = False
            raise error
        if name in ("timeout_before", "reset_before"):
            self._log(request, 0, None, fault=fault)
            return Answer(0, "")
        return None

    @staticmethod
    def _kept(fault: Json) -> bool:
        """Whether a 500 came from an endpoint that had begun (Stripe keeps it) or from the edge (nothing is kept)."""
        return bool(fault.get("stored", fault.get("status", 500) < BAD_GATEWAY))

    def _after(self, fault: Json, found: Answer) -> Answer:
        name = str(fault.get("fault"))
        if name.startswith("timeout"):
            found.conduct, found.hold_seconds = "hang", float(fault.get("hold_seconds", 30))
        elif name.startswith("reset"):
            found.conduct = "reset"
        return found

    # The idempotency key

    def _keyed(self, request: Request, fault: Json) -> Answer:
        route = routes.find(request.method, request.path)
        if route is None:
            raise at_the_door(
                404,
                f"Unrecognized request URL ({request.method}: {request.path}). Please see https://stripe.com/docs or we"
                " can help at https://support.stripe.com/. (This is the Stripe stand-in: it has only the addresses in"
                " its README.)",
            )
        if request.key is None:
            return self._work(request, *route, fault)
        with self._lock:
            kept = self._answered(request)
            if kept is not None:
                return kept
            if request.key in self._busy:
                raise at_the_door(
                    409,
                    "There is currently another in-progress request using this Idempotent Key (that probably means you"
                    f" submitted twice, and the other request is still going through): {request.key}. Please try again"
                    " later.",
                    code="idempotency_key_in_use",
                )
            self._busy.add(request.key)
        try:
            return self._work(request, *route, fault)
        finally:
            with self._lock:
                self._busy.discard(request.key)

    def _answered(self, request: Request) -> Answer | None:
        store = self.account.store
        horizon = self.account.clock.now() - KEEPS_ANSWERS_SECONDS
        with store.transaction():
            store.run("DELETE FROM answers WHERE key = ? AND created < ?", (request.key, horizon))
            rows = store.run("SELECT * FROM answers WHERE key = ?", (request.key,))
            if not rows:
                return None
            row = rows[0]
            if row["path"] != request.path:
                raise at_the_door(
                    400,
                    "Keys for idempotent requests can only be used for the same endpoint they were first used for"
                    f" ('{request.path}' vs '{row['path']}'). Try using a key other than '{request.key}' if you meant"
                    " to execute a different request.",
                    type="idempotency_error",
                )
            if row["params"] != _canonical(request.sent):
                raise at_the_door(
                    400,
                    "Keys for idempotent requests can only be used with the same parameters they were first used with."
                    f" Try using a key other than '{request.key}' if you meant to execute a different request.",
                    type="idempotency_error",
                )
            answer = self._answer(request, row["status"], row["body"])
            answer.headers["Idempotent-Replayed"] = "true"
            answer.headers["Original-Request"] = row["request_id"]
            self._log(request, row["status"], None, replayed=True)
            return answer

    # The work

    def _work(self, request: Request, route: routes.Route, names: dict[str, str], fault: Json) -> Answer:
        sent = params.read(route.spec, request.sent, route.required)
        if fault.get("fault") == "hold":
            self._wait()
        call = Call(self.account, self.account.clock.now(), sent, names, request.id, request.key)
        with self.account.store.transaction():
            body, error = self._attempt(route, call, fault)
            status = error.status if error else 200
            text = json.dumps(error.body(request.id, call.now) if error else body, indent=2)
            if request.key is not None and self._to_keep(error, fault):
                self._keep(request, status, text, call.now)
            self._log(request, status, error, fault=fault)
        return self._answer(request, status, text)

    def _attempt(self, route: routes.Route, call: Call, fault: Json) -> tuple[Json, ApiError | None]:
        """The work as a savepoint: undone by an error, unless the error is one that keeps it."""
        body: Json = {}
        error: ApiError | None = None
        try:
            with self.account.store.transaction():
                if fault.get("fault") == "error_before":
                    raise server_error(fault.get("status", 500))
                try:
                    body = self._perform(route, call)
                except ApiError as refused:
                    if not refused.keeps_work:
                        raise
                    error = refused
        except ApiError as refused:
            error = refused
        if fault.get("fault") == "error_after":
            error = server_error(fault.get("status", 500))
        return body, error

    def _perform(self, route: routes.Route, call: Call) -> Json:
        shown = rendering.show(call, route.handler(call))
        expanded = rendering.expand(call, shown, call.params.get("expand", []))
        answer = rendering.public(expanded)
        assert isinstance(answer, dict)
        return answer

    def _wait(self) -> None:
        with self._holds:
            self._held += 1
            self._holds.notify_all()
            self._holds.wait_for(lambda: self._tokens > 0 or self.stopping.is_set())
            self._held -= 1
            self._tokens = max(0, self._tokens - 1)

    def _to_keep(self, error: ApiError | None, fault: Json) -> bool:
        if fault.get("fault") in ("error_before", "error_after"):
            return self._kept(fault)
        return error is None or error.stored

    def _keep(self, request: Request, status: int, text: str, now: int) -> None:
        self.account.store.run(
            "INSERT OR REPLACE INTO answers (key, path, params, status, body, request_id, created)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (request.key, request.path, _canonical(request.sent), status, text, request.id, now),
        )

    # Answers and the request log

    def _refused(self, request: Request, error: ApiError, fault: Json) -> Answer:
        self._log(request, error.status, error, fault=fault)
        return self._answer(
            request, error.status, json.dumps(error.body(request.id, self.account.clock.now()), indent=2)
        )

    def _answer(self, request: Request, status: int, body: str) -> Answer:
        headers = {"Request-Id": request.id, "Stripe-Version": API_VERSION}
        if request.key is not None:
            headers["Idempotency-Key"] = request.key
            headers["Original-Request"] = request.id
        return Answer(status, body, headers)

    def _log(
        self,
        request: Request,
        status: int,
        error: ApiError | None,
        *,
        replayed: bool = False,
        fault: Json | None = None,
    ) -> None:
        with self.account.store.transaction():
            self.account.store.run(
                "INSERT INTO requests (id, created, method, path, params, idempotency_key, api_version, status, error,"
                " replayed, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    request.id,
                    self.account.clock.now(),
                    request.method,
                    request.path,
                    json.dumps(request.sent),
                    request.key,
                    request.version,
                    status,
                    str(error.fields.get("code") or error.fields["type"]) if error else None,
                    int(replayed),
                    (fault or {}).get("fault"),
                ),
            )


def _canonical(sent: Json) -> str:
    return json.dumps(sent, sort_keys=True)
