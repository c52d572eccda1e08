"""Faults on demand: how requests and webhooks go wrong, set through ``POST /_standin/faults``.

A fault is kept with a count; it is used up by the requests or events that match it, and it survives a restart.
"""

import json
from collections.abc import Callable
from fnmatch import fnmatchcase

from billing_ops.stripe_standin.errors import Json
from billing_ops.stripe_standin.store import Store

WEBHOOK = {
    "duplicate": "the same event is delivered again (`times` more, default 1)",
    "twin": "one change makes two event objects",
    "reorder": "matching deliveries are held until `count` of them are there, then go in reverse order",
    "delay": "the delivery is due only after `seconds` (default 3600)",
    "drop": "the event exists but is never delivered",
    "forge": "a forged copy is sent before the real one (`instead`: instead of it); `style` is other_secret, tampered,"
    " garbage, non_ascii or missing; `body` replaces the body",
    "stale": "the first attempt carries a signature that is `age_seconds` old (default 3600)",
    "api_version": "delivered in another version's shape (`api_version`, default 2024-06-20)",
    "never": "no event is generated at all",
}
API = {
    "rate_limit": "429 before the work, without Stripe-Should-Retry",
    "error_before": "`status` (default 500) and no work done",
    "error_after": "the work is done, the answer is `status` (default 500) and that is what is kept",
    "timeout_before": "no work, no answer for `hold_seconds` (default 30)",
    "timeout_after": "the work is done, no answer for `hold_seconds` (default 30)",
    "reset_before": "no work, the connection is reset",
    "reset_after": "the work is done, the connection is reset",
    "hold": "the request waits, its idempotency key in use, until POST /_standin/release",
}
_DEFAULTS: dict[str, Json] = {
    "stale": {"age_seconds": 3600},
    "api_version": {"api_version": "2024-06-20"},
}


class BadFault(ValueError):
    """A fault that this stand-in does not know, or with fields it does not know."""


_FIELDS = {
    "webhook": {
        "fault",
        "types",
        "count",
        "skip",
        "times",
        "seconds",
        "style",
        "body",
        "instead",
        "age_seconds",
        "api_version",
    },
    "api": {"fault", "method", "path", "count", "skip", "status", "stored", "hold_seconds"},
}


def add(store: Store, fault: Json) -> Json:
    """Keep a fault; returns it with its channel. Raises :class:`BadFault`."""
    name = fault.get("fault")
    channel = "webhook" if name in WEBHOOK else "api" if name in API else None
    if channel is None:
        raise BadFault(f"unknown fault {name!r}; webhook faults: {sorted(WEBHOOK)}; API faults: {sorted(API)}")
    unknown = set(fault) - _FIELDS[channel]
    if unknown:
        raise BadFault(f"unknown fields {sorted(unknown)} of a {channel} fault; known: {sorted(_FIELDS[channel])}")
    kept = {"count": 2 if name == "reorder" else 1, "skip": 0, **_DEFAULTS.get(str(name), {}), **fault}
    with store.transaction():
        store.run("INSERT INTO faults (channel, body) VALUES (?, ?)", (channel, json.dumps(kept)))
    return {"channel": channel, **kept}


def waiting(store: Store) -> list[Json]:
    """Faults that are not used up."""
    return [json.loads(row["body"]) for row in store.run("SELECT body FROM faults ORDER BY seq")]


def clear(store: Store) -> None:
    """Forget all faults."""
    with store.transaction():
        store.run("DELETE FROM faults")


def take_webhook(store: Store, type: str) -> Json:
    """The fault of the next event of that type; ``{}`` when it goes well."""
    return _take(store, "webhook", lambda fault: fnmatchcase(type, fault.get("types", "*")))


def take_api(store: Store, method: str, path: str) -> Json:
    """The fault of this request; ``{}`` when it goes well. ``path`` is a pattern such as ``/v1/invoices/*/pay``."""
    return _take(
        store,
        "api",
        lambda fault: fault.get("method", method) == method and fnmatchcase(path, fault.get("path", "*")),
    )


def _take(store: Store, channel: str, matches: Callable[[Json], bool]) -> Json:
    with store.transaction():
        for row in store.run("SELECT seq, body FROM faults WHERE channel = ? ORDER BY seq", (channel,)):
            fault: Json = json.loads(row["body"])
            if not matches(fault):
                continue
            if fault["skip"] > 0:
                fault["skip"] -= 1
                store.run("UPDATE faults SET body = ? WHERE seq = ?", (json.dumps(fault), row["seq"]))
                continue
            fault["count"] -= 1
            if fault["count"] > 0:
                store.run("UPDATE faults SET body = ? WHERE seq = ?", (json.dumps(fault), row["seq"]))
            else:
                store.run("DELETE FROM faults WHERE seq = ?", (row["seq"],))
            return {**fault, "last": fault["count"] <= 0}
    return {}
