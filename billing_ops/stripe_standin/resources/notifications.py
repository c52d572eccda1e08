"""Events to read back, and the endpoints they are sent to."""

import json

from billing_ops.stripe_standin.account import API_VERSION, Call, merge_metadata, unset
from billing_ops.stripe_standin.errors import Json, at_the_door, not_implemented
from billing_ops.stripe_standin.paging import page
from billing_ops.stripe_standin.params import EXPAND, PAGE, Spec, between, flag, many, metadata, text

EVENTS: Spec = {**PAGE, "created": between, "delivery_success": flag, "type": text(), "types": many(text(), 20)}
ENDPOINT_CREATE: Spec = {
    **EXPAND,
    "api_version": text(),
    "description": text(may_unset=True),
    "enabled_events": many(text(), 500),
    "metadata": metadata,
    "url": text(),
}
ENDPOINT_UPDATE: Spec = {
    **EXPAND,
    "description": text(may_unset=True),
    "disabled": flag,
    "enabled_events": many(text(), 500),
    "metadata": metadata,
    "url": text(),
}
ENDPOINTS: Spec = PAGE
MOST_ENDPOINTS = 16
KEEPS_EVENTS_SECONDS = 30 * 86_400
_ACCEPTED = "(NOT EXISTS (SELECT 1 FROM deliveries WHERE event = objects.id AND deliveries.state != 'delivered'))"


def events(call: Call) -> Json:
    """GET /v1/events: of the last 30 days; ``delivery_success=false``: those that some endpoint has not accepted."""
    params = call.params
    if "type" in params and "types" in params:
        raise at_the_door(400, "You may pass either type or types, but not both.", param="types")
    where: list[tuple[str, object]] = [("created >= ?", call.now - KEEPS_EVENTS_SECONDS)]
    types = params.get("types", [params["type"]] if "type" in params else [])
    if types:
        where.append(
            (
                "EXISTS (SELECT 1 FROM json_each(?) AS wanted WHERE json_extract(body, '$.type') GLOB wanted.value)",
                json.dumps(types),
            )
        )
    if "delivery_success" in params:
        where.append((f"{_ACCEPTED} = ?", int(params["delivery_success"])))
    return page(call, "event", "/v1/events", where)


def event(call: Call) -> Json:
    """GET /v1/events/{id}"""
    return call.need("event", call.names["id"])


def create_endpoint(call: Call) -> Json:
    """POST /v1/webhook_endpoints: its secret is shown in this answer only."""
    version = call.params.get("api_version", API_VERSION)
    if version != API_VERSION:
        raise not_implemented(f"render events in API version {version}; only {API_VERSION}", "api_version")
    if len(call.store.find("webhook_endpoint")) >= MOST_ENDPOINTS:
        raise at_the_door(400, f"You have reached the maximum of {MOST_ENDPOINTS} test webhook endpoints.")
    secret = call.new_id("whsec")
    endpoint = new_endpoint(call, call.params["url"], secret, call.params["enabled_events"])
    endpoint["description"] = unset(call.params.get("description"))
    endpoint["metadata"] = merge_metadata({}, call.params.get("metadata", {}))
    call.add(endpoint)
    return {**endpoint, "secret": secret}


def new_endpoint(call: Call, url: str, secret: str, enabled_events: list[str]) -> Json:
    """An endpoint with its secret."""
    return {
        "id": call.new_id("we"),
        "object": "webhook_endpoint",
        "api_version": API_VERSION,
        "application": None,
        "created": call.now,
        "description": None,
        "enabled_events": enabled_events,
        "livemode": False,
        "metadata": {},
        "status": "enabled",
        "url": url,
        "_secret": secret,
    }


def update_endpoint(call: Call) -> Json:
    """POST /v1/webhook_endpoints/{id}"""
    endpoint = call.need("webhook_endpoint", call.names["id"], label="webhook endpoint")
    for name in ("enabled_events", "url"):
        if name in call.params:
            endpoint[name] = call.params[name]
    if "description" in call.params:
        endpoint["description"] = unset(call.params["description"])
    if "disabled" in call.params:
        endpoint["status"] = "disabled" if call.params["disabled"] else "enabled"
    if "metadata" in call.params:
        endpoint["metadata"] = merge_metadata(endpoint["metadata"], call.params["metadata"])
    call.store.save(endpoint)
    return endpoint


def delete_endpoint(call: Call) -> Json:
    """DELETE /v1/webhook_endpoints/{id}"""
    endpoint = call.need("webhook_endpoint", call.names["id"], label="webhook endpoint")
    call.store.remove(endpoint["id"])
    return {"id": endpoint["id"], "object": "webhook_endpoint", "deleted": True}


def endpoint(call: Call) -> Json:
    """GET /v1/webhook_endpoints/{id}"""
    return call.need("webhook_endpoint", call.names["id"], label="webhook endpoint")


def endpoints(call: Call) -> Json:
    """GET /v1/webhook_endpoints"""
    return page(call, "webhook_endpoint", "/v1/webhook_endpoints")
