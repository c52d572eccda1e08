"""The stand-in's own controls under ``/_standin/``: what Stripe does not have and tests need. JSON in, JSON out."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from billing_ops.stripe_standin import cards, faults, payouts
from billing_ops.stripe_standin.account import API_VERSION, Account, Call
from billing_ops.stripe_standin.delivering import Courier, Parcel
from billing_ops.stripe_standin.engine import Engine
from billing_ops.stripe_standin.errors import Json
from billing_ops.stripe_standin.events import queue
from billing_ops.stripe_standin.rendering import lines_of, public, show
from billing_ops.stripe_standin.resources import payments
from billing_ops.stripe_standin.resources.notifications import new_endpoint
from billing_ops.stripe_standin.store import counted


class Refused(ValueError):
    """A control that was called wrongly; the message says how to call it."""


class Control:
    """Serves ``/_standin/…``; ``reset`` gives the account its first endpoint back."""

    def __init__(self, account: Account, engine: Engine, courier: Courier, webhook: tuple[str, str] | None) -> None:
        self.account = account
        self.engine = engine
        self.courier = courier
        self.webhook = webhook
        self.rolled: list[str] = []
        self._packed: dict[int, Parcel] = {}
        self.install_webhook()

    def install_webhook(self) -> None:
        """Have exactly one endpoint with the address and secret that the process was started with (or told since)."""
        if self.webhook is None:
            return
        url, secret = self.webhook
        given = {"url": url, "_secret": secret, "_rolled": self.rolled}
        store = self.account.store
        with store.transaction():
            call = Call(self.account, self.account.clock.now())
            for endpoint in store.find("webhook_endpoint", "json_extract(body, '$._started') = 1"):
                store.save({**endpoint, **given})
                return
            call.add({**new_endpoint(call, url, secret, ["*"]), **given, "_started": True})

    def handle(self, method: str, target: str, raw: bytes) -> tuple[int, Json]:
        """Answer one control request."""
        parts = urlsplit(target)
        name = parts.path.removeprefix("/_standin").strip("/")
        actions = {**self._readings(), **self._deeds()}
        action = actions.get((method, name))
        if action is None:
            return 404, {"error": f"no such control: {method} {name}", "controls": [" ".join(key) for key in actions]}
        try:
            sent = json.loads(raw) if raw else {key: values[-1] for key, values in parse_qs(parts.query).items()}
            if not isinstance(sent, dict):
                raise Refused("send a JSON object")
            return 200, action(sent)
        except (Refused, faults.BadFault, json.JSONDecodeError, KeyError, TypeError) as error:
            return 400, {"error": f"{type(error).__name__}: {error}"}

    def _readings(self) -> dict[tuple[str, str], Callable[[Json], Json]]:
        return {
            ("GET", ""): lambda _: {"stripe_standin": True, "api_version": API_VERSION, "ready": True},
            ("GET", "state"): lambda _: self._state(),
            ("GET", "requests"): self._requests,
            ("GET", "objects"): self._objects,
            ("GET", "deliveries"): self._deliveries,
            ("GET", "faults"): lambda _: {"faults": faults.waiting(self.account.store)},
        }

    def _deeds(self) -> dict[tuple[str, str], Callable[[Json], Json]]:
        return {
            ("POST", "faults"): lambda sent: faults.add(self.account.store, sent),
            ("POST", "faults/clear"): lambda _: self._clear_faults(),
            ("POST", "release"): lambda _: self._release(),
            ("POST", "await_holding"): self._await_holding,
            ("POST", "deliver"): self._deliver,
            ("POST", "take"): self._take,
            ("POST", "outcome"): self._outcome,
            ("POST", "resend"): self._resend,
            ("POST", "clock"): self._clock,
            ("POST", "card"): self._card,
            ("POST", "payout"): self._payout,
            ("POST", "webhook"): self._webhook,
            ("POST", "reset"): lambda _: self._reset(),
        }

    # Readings

    def _state(self) -> Json:
        store = self.account.store
        charges = store.find("charge", "json_extract(body, '$.status') = 'succeeded'")
        invoices = store.find("invoice")
        return {
            "api_version": API_VERSION,
            "clock": self.account.clock.now(),
            "counts": counted(store.run("SELECT kind, count(*) FROM objects GROUP BY kind ORDER BY kind")),
            "invoices": _counts(invoices, "status"),
            "events": counted(
                store.run(
                    "SELECT json_extract(body, '$.type') AS t, count(*) FROM objects WHERE kind = 'event' GROUP BY t"
                )
            ),
            "paid_minor": _sums(charges, "amount"),
            "refunded_minor": _sums(charges, "amount_refunded"),
            "fees_minor": _sums(store.find("balance_transaction"), "fee"),
            "invoiced_paid_minor": _sums([one for one in invoices if one["status"] == "paid"], "amount_paid"),
            "deliveries": counted(store.run("SELECT state, count(*) FROM deliveries GROUP BY state")),
            "requests": store.run("SELECT count(*) AS n FROM requests")[0]["n"],
            "faults": len(faults.waiting(store)),
        }

    def _requests(self, sent: Json) -> Json:
        """The request log, oldest first, after a sequence number; parameters as they were sent (strings)."""
        rows = self.account.store.run("SELECT * FROM requests WHERE seq > ? ORDER BY seq", (int(sent.get("after", 0)),))
        return {
            "requests": [
                {**dict(row), "params": json.loads(row["params"]), "replayed": bool(row["replayed"])} for row in rows
            ]
        }

    def _objects(self, sent: Json) -> Json:
        """All objects of a kind as the API would show them, oldest first."""
        with self.account.store.transaction():
            call = Call(self.account, self.account.clock.now())
            if sent["kind"] == "line_item":
                found = [line for one in self.account.store.find("invoice") for line in lines_of(call, one["id"])]
            elif sent["kind"] == "balance":
                found = [payments.balance(call)]
            else:
                found = [show(call, one) for one in self.account.store.find(sent["kind"])]
        return {"objects": [public(one) for one in found]}

    def _deliveries(self, sent: Json) -> Json:
        rows = self.account.store.run(
            "SELECT d.*, json_extract(o.body, '$.type') AS type FROM deliveries d JOIN objects o ON o.id = d.event"
            " WHERE d.state = coalesce(?, d.state) ORDER BY d.rank, d.seq",
            (sent.get("state"),),
        )
        return {"deliveries": [{**dict(row), "plan": json.loads(row["plan"])} for row in rows]}

    # Deeds

    def _clear_faults(self) -> Json:
        faults.clear(self.account.store)
        return {"faults": []}

    def _release(self) -> Json:
        self.engine.release()
        return {"released": True}

    def _await_holding(self, sent: Json) -> Json:
        return {"holding": self.engine.await_holding(float(sent.get("timeout", 10)))}

    def _deliver(self, sent: Json) -> Json:
        """``all``: also what is due later. Deliveries held for reordering go too."""
        return {"outcomes": self.courier.deliver(everything=bool(sent.get("all")), release=True)}

    def _take(self, sent: Json) -> Json:
        """Hand out what is due instead of sending it: for a receiver without an address of its own."""
        parcels = self.courier.pack(everything=bool(sent.get("all")), release=True)
        self._packed = {parcel.delivery: parcel for parcel in parcels}
        return {
            "parcels": [
                {
                    "delivery": parcel.delivery,
                    "event": parcel.event,
                    "type": parcel.type,
                    "body": parcel.body.decode(),
                    "headers": parcel.headers,
                    "forged": parcel.forged,
                }
                for parcel in parcels
            ]
        }

    def _outcome(self, sent: Json) -> Json:
        """How the receiver of a parcel that was taken answered it."""
        parcel = self._packed.pop(int(sent["delivery"]), None)
        if parcel is None:
            raise Refused("take it first")
        return self.courier.record(parcel, sent["status"])

    def _resend(self, sent: Json) -> Json:
        """Deliver an event again, as the Dashboard's button does."""
        store = self.account.store
        with store.transaction():
            call = Call(self.account, self.account.clock.now())
            event = store.get(sent["event"], "event")
            if event is None:
                raise Refused(f"no such event: {sent['event']}")
            for endpoint in store.find("webhook_endpoint"):
                queue(call, event["id"], endpoint["id"])
        self.courier.nudge()
        return {"resent": event["id"]}

    def _clock(self, sent: Json) -> Json:
        """``{"now": ISO instant}``, or ``{"now": null}`` for the real time again (without a clock file)."""
        if sent["now"] is None:
            self.account.clock.free()
        else:
            try:
                self.account.clock.set(sent["now"])
            except ValueError as error:
                raise Refused(f"now: an ISO 8601 instant; {error}") from None
        self.courier.nudge()
        return {"clock": self.account.clock.now()}

    def _card(self, sent: Json) -> Json:
        """From now on a saved card answers with that decline (``null``: it pays again)."""
        decline = sent["decline"]
        if decline is not None and decline not in cards.DECLINES:
            raise Refused(f"decline: one of {sorted(cards.DECLINES)} or null")
        with self.account.store.transaction():
            method = self.account.store.get(sent["payment_method"], "payment_method")
            if method is None:
                raise Refused(f"no such payment method: {sent['payment_method']}")
            self.account.store.save({**method, "_decline": decline})
        return {"payment_method": method["id"], "decline": decline}

    def _payout(self, sent: Json) -> Json:
        with self.account.store.transaction():
            payout = payouts.pay_out(Call(self.account, self.account.clock.now()), sent.get("currency", "usd"))
        self.courier.nudge()
        return {"payout": payout}

    def _webhook(self, sent: Json) -> Json:
        """Where events go from now on: ``{"url": …, "secret": …}``; ``also``: a secret that is being rolled out."""
        self.webhook = (sent["url"], sent["secret"])
        self.rolled = [sent["also"]] if sent.get("also") else []
        self.install_webhook()
        self.courier.nudge()
        return {"url": sent["url"]}

    def _reset(self) -> Json:
        self.account.store.clear()
        self.install_webhook()
        return {"reset": True}


def _sums(objects: list[Json], field: str) -> dict[str, int]:
    sums: dict[str, int] = {}
    for one in objects:
        sums[one["currency"]] = sums.get(one["currency"], 0) + one[field]
    return sums


def _counts(objects: list[Json], field: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in objects:
        found[one[field]] = found.get(one[field], 0) + 1
    return found
