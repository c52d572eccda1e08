"""Events: one object a change, and a delivery for each endpoint that wants it, shaped by the webhook faults."""

import json
import time

from billing_ops.stripe_standin import faults
from billing_ops.stripe_standin.account import API_VERSION, Call
from billing_ops.stripe_standin.errors import Json
from billing_ops.stripe_standin.rendering import public, show


def emit(call: Call, type: str, obj: Json, previous: Json | None = None) -> None:
    """Record that something happened to an object; in the transaction of the change itself."""
    found = faults.take_webhook(call.store, type)
    if found.get("fault") == "never":
        return
    event = _event(call, type, obj, previous)
    call.add(event)
    _deliver_to_all(call, event, found)
    if found.get("fault") == "twin":
        twin = {**event, "id": call.new_id("evt")}
        call.add(twin)
        _deliver_to_all(call, twin, {})


def _event(call: Call, type: str, obj: Json, previous: Json | None) -> Json:
    data: Json = {"object": public(show(call, obj))}
    if previous is not None:
        data["previous_attributes"] = public(previous)
    return {
        "id": call.new_id("evt"),
        "object": "event",
        "api_version": API_VERSION,
        "created": call.now,
        "data": data,
        "livemode": False,
        "pending_webhooks": 0,
        "request": {"id": call.request_id, "idempotency_key": call.idempotency_key},
        "type": type,
    }


def _deliver_to_all(call: Call, event: Json, fault: Json) -> None:
    for endpoint in call.store.find("webhook_endpoint"):
        wanted = endpoint["enabled_events"]
        if endpoint["status"] == "enabled" and ("*" in wanted or event["type"] in wanted):
            _deliver(call, event, endpoint["id"], fault)


def _deliver(call: Call, event: Json, endpoint: str, fault: Json) -> None:
    name = fault.get("fault")
    if name == "forge":
        queue(
            call, event["id"], endpoint, plan={"forge": fault.get("style", "other_secret"), "body": fault.get("body")}
        )
        if fault.get("instead"):
            queue(call, event["id"], endpoint, state="dropped")
            return
    state = {"drop": "dropped", "reorder": "held"}.get(str(name), "pending")
    plan: Json = {key: fault[key] for key in ("age_seconds", "api_version") if key in fault}
    delay = float(fault.get("seconds", 3600)) if name == "delay" else 0.0
    queue(call, event["id"], endpoint, state=state, plan=plan, delay=delay)
    if name == "duplicate":
        for _ in range(int(fault.get("times", 1))):
            queue(call, event["id"], endpoint)
    if name == "reorder" and fault.get("last"):
        release_held(call)


def queue(
    call: Call, event: str, endpoint: str, *, state: str = "pending", plan: Json | None = None, delay: float = 0.0
) -> None:
    """One delivery to make. ``due`` is in real seconds: retries are a matter of transport, not of the virtual clock."""
    call.store.run(
        "INSERT INTO deliveries (rank, event, endpoint, due, state, plan) VALUES"
        " ((SELECT coalesce(max(seq), 0) + 1 FROM deliveries), ?, ?, ?, ?, ?)",
        (event, endpoint, time.time() + delay, state, json.dumps(plan or {})),
    )


def release_held(call: Call) -> None:
    """Let deliveries that were held for reordering go, last first."""
    held = call.store.run("SELECT seq, rank FROM deliveries WHERE state = 'held' ORDER BY rank")
    ranks = [row["rank"] for row in held]
    for row, rank in zip(reversed(held), ranks, strict=True):
        call.store.run("UPDATE deliveries SET state = 'pending', rank = ? WHERE seq = ?", (rank, row["seq"]))
