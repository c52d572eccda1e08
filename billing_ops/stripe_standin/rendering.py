"""Objects as they are shown: what is kept, and what is worked out at reading (lines, a status by the clock)."""

from collections.abc import Callable

from billing_ops.stripe_standin.account import Call
from billing_ops.stripe_standin.errors import Json, at_the_door

LINES_SHOWN = 10
MAX_EXPAND_DEPTH = 4


def listing(url: str, data: list[Json], *, has_more: bool = False) -> Json:
    """A list object."""
    return {"object": "list", "data": data, "has_more": has_more, "url": url}


def show(call: Call, obj: Json) -> Json:
    """One object as the API gives it."""
    kind = obj.get("object")
    if kind == "invoice" and not obj.get("deleted"):
        lines = lines_of(call, obj["id"])
        shown = lines[:LINES_SHOWN]
        return {**obj, "lines": listing(f"/v1/invoices/{obj['id']}/lines", shown, has_more=len(lines) > len(shown))}
    if kind == "balance_transaction":
        return {**obj, "status": "available" if obj["available_on"] <= call.now else "pending"}
    if kind == "event":
        waiting = call.store.run(
            "SELECT count(DISTINCT endpoint) AS n FROM deliveries WHERE event = ? AND state != 'delivered'",
            (obj["id"],),
        )
        return {**obj, "pending_webhooks": waiting[0]["n"]}
    return obj


def lines_of(call: Call, invoice_id: str) -> list[Json]:
    """The lines of an invoice: pulled-in pending items newest first, then items added to it in the order of adding."""
    items = call.store.find("invoiceitem", "json_extract(body, '$.invoice') = ?", (invoice_id,))
    pulled = [item for item in items if item["_pulled"]]
    added = [item for item in items if not item["_pulled"]]
    return [_line(item, invoice_id) for item in [*reversed(pulled), *added]]


def _line(item: Json, invoice_id: str) -> Json:
    return {
        "id": item["_line"],
        "object": "line_item",
        "amount": item["amount"],
        "currency": item["currency"],
        "description": item["description"],
        "discount_amounts": [],
        "discountable": item["discountable"],
        "discounts": [],
        "invoice": invoice_id,
        "livemode": False,
        "metadata": item["metadata"],
        "parent": {
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": False,
                "proration_details": None,
                "subscription": None,
            },
            "subscription_item_details": None,
            "type": "invoice_item_details",
        },
        "period": item["period"],
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": item["quantity"],
        "quantity_decimal": item["quantity_decimal"],
        "subscription": None,
        "subtotal": item["amount"],
        "taxes": [],
    }


def _payments(call: Call, invoice: Json) -> Json:
    found = call.store.find(
        "invoice_payment", "json_extract(body, '$.invoice') = ?", (invoice["id"],), "ORDER BY seq DESC"
    )
    return listing("/v1/invoice_payments", found)


def _refunds(call: Call, charge: Json) -> Json:
    found = call.store.find("refund", "json_extract(body, '$.charge') = ?", (charge["id"],), "ORDER BY seq DESC")
    return listing(f"/v1/charges/{charge['id']}/refunds", found)


def _secret(call: Call, invoice: Json) -> Json | None:
    for payment in _payments(call, invoice)["data"]:
        intent = call.store.get(payment["payment"]["payment_intent"])
        if intent is not None:
            return {"client_secret": intent["client_secret"], "type": "payment_intent"}
    return None


_INCLUDABLE: dict[tuple[str, str], Callable[[Call, Json], Json | None]] = {
    ("invoice", "payments"): _payments,
    ("invoice", "confirmation_secret"): _secret,
    ("charge", "refunds"): _refunds,
}


def public(value: object) -> object:
    """Without the fields that are the stand-in's own (they begin with an underscore)."""
    if isinstance(value, dict):
        return {name: public(item) for name, item in value.items() if not name.startswith("_")}
    if isinstance(value, list):
        return [public(item) for item in value]
    return value


def expand(call: Call, answer: Json, paths: list[str]) -> Json:
    """Replace identifiers by their objects, and add what is only given on request, along each dotted path."""
    for path in paths:
        steps = path.split(".")
        if len(steps) > MAX_EXPAND_DEPTH:  # "data" counts too
            raise at_the_door(
                400, f"You cannot expand more than {MAX_EXPAND_DEPTH} levels of a property.", param="expand"
            )
        _walk(call, answer, steps, path)
    return answer


def _walk(call: Call, here: object, steps: list[str], path: str) -> None:
    if isinstance(here, list):
        for item in here:
            _walk(call, item, steps, path)
        return
    if not steps or here is None:
        return
    if not isinstance(here, dict):
        raise _not_expandable(path)
    name, rest = steps[0], steps[1:]
    includable = _INCLUDABLE.get((str(here.get("object")), name))
    if includable is not None and name not in here:
        here[name] = includable(call, here)
    elif name not in here:
        raise _not_expandable(path)
    elif isinstance(here[name], str):
        found = call.store.get(here[name])
        if found is None:
            raise _not_expandable(path)
        here[name] = show(call, found)
    elif not rest and here[name] is not None and includable is None:
        raise _not_expandable(path)
    _walk(call, here[name], rest, path)


def _not_expandable(path: str) -> Exception:
    return at_the_door(400, f"This property cannot be expanded ({path}).", param="expand")
