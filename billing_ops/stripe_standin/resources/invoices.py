"""Invoices: drafts that are filled, finalised, paid, voided or given up."""

from billing_ops.stripe_standin import drafts, invoicing
from billing_ops.stripe_standin.account import Call
from billing_ops.stripe_standin.errors import ApiError, Json, not_implemented
from billing_ops.stripe_standin.events import emit
from billing_ops.stripe_standin.paging import equal, page
from billing_ops.stripe_standin.params import (
    EXPAND,
    PAGE,
    Spec,
    between,
    choice,
    flag,
    group,
    many,
    metadata,
    text,
    whole,
)
from billing_ops.stripe_standin.rendering import lines_of, listing

_SHARED: Spec = {
    **EXPAND,
    "auto_advance": flag,
    "collection_method": choice("charge_automatically", "send_invoice"),
    "custom_fields": many(group({"name": text(40), "value": text(140)}, required=("name", "value")), 4),
    "days_until_due": whole(low=0),
    "default_payment_method": text(may_unset=True),
    "description": text(may_unset=True),
    "due_date": whole(low=0),
    "effective_at": whole(low=0),
    "footer": text(may_unset=True),
    "metadata": metadata,
    "number": text(26, may_unset=True),
    "statement_descriptor": text(22),
}
CREATE: Spec = {
    **_SHARED,
    "currency": text(3),
    "customer": text(),
    "pending_invoice_items_behavior": choice("exclude", "include"),
}
UPDATE: Spec = _SHARED
FINALIZE: Spec = {**EXPAND, "auto_advance": flag}
PAY: Spec = {**EXPAND, "off_session": flag, "paid_out_of_band": flag, "payment_method": text()}
LIST: Spec = {
    **PAGE,
    "collection_method": choice("charge_automatically", "send_invoice"),
    "created": between,
    "customer": text(),
    "status": choice("draft", "open", "paid", "uncollectible", "void"),
}
LINES: Spec = PAGE


def create(call: Call) -> Json:
    """POST /v1/invoices"""
    customer = call.need("customer", call.params["customer"], param="customer")
    currency = str(call.params.get("currency") or customer["currency"] or "usd").lower()
    invoice = drafts.blank(call, customer, currency)
    drafts.apply(call, invoice)
    call.add(invoice)
    if customer["currency"] is None:
        customer["currency"] = currency
        call.store.save(customer)
    pulled = call.params.get("pending_invoice_items_behavior") == "include" and _pull(call, invoice)
    emit(call, "invoice.created", invoice)
    if pulled:
        invoicing.recount(call, invoice)
    return invoice


def _pull(call: Call, invoice: Json) -> bool:
    pending = call.store.find(
        "invoiceitem",
        "json_extract(body, '$.customer') = ? AND json_extract(body, '$.invoice') IS NULL"
        " AND json_extract(body, '$.currency') = ?",
        (invoice["customer"], invoice["currency"]),
    )
    for item in pending:
        item.update(invoice=invoice["id"], _pulled=True)
        call.store.save(item)
    return bool(pending)


def _one(call: Call) -> Json:
    return call.need("invoice", call.names["id"])


def update(call: Call) -> Json:
    """POST /v1/invoices/{id}: a draft; afterwards only metadata and the default payment method."""
    invoice = _one(call)
    late = set(call.params) - {"metadata", "default_payment_method", "expand", "auto_advance"}
    if invoice["status"] != "draft" and late:
        raise ApiError(
            400,
            f"Finalized invoices can't be updated in this way: {', '.join(sorted(late))}.",
            code="invoice_not_editable",
        )
    before = dict(invoice)
    drafts.apply(call, invoice)
    invoicing.save(call, before, invoice)
    return invoice


def delete(call: Call) -> Json:
    """DELETE /v1/invoices/{id}: drafts only, with their lines."""
    invoice = _one(call)
    if invoice["status"] != "draft":
        raise ApiError(400, "You can only delete draft invoices.", code="invoice_not_editable")
    emit(call, "invoice.deleted", invoice)
    for item in call.store.find("invoiceitem", "json_extract(body, '$.invoice') = ?", (invoice["id"],)):
        call.store.remove(item["id"])
    call.store.remove(invoice["id"])
    return {"id": invoice["id"], "object": "invoice", "deleted": True}


def finalize(call: Call) -> Json:
    """POST /v1/invoices/{id}/finalize"""
    if call.params.get("auto_advance"):
        raise not_implemented("advance an invoice by itself; send auto_advance=false", "auto_advance")
    invoice = _one(call)
    invoicing.finalize(call, invoice)
    return invoice


def pay(call: Call) -> Json:
    """POST /v1/invoices/{id}/pay: a draft is finalised first."""
    invoice = _one(call)
    if invoice["status"] == "draft":
        invoicing.finalize(call, invoice)
        if invoice["status"] == "paid":
            return invoice
    if invoice["status"] == "paid":
        raise ApiError(400, "Invoice is already paid")
    if invoice["status"] == "void":
        raise ApiError(400, "This invoice is void and can't be paid.")
    if call.params.get("paid_out_of_band"):
        invoicing.pay_elsewhere(call, invoice)
        return invoice
    invoicing.pay(call, invoice, _method(call, invoice))
    return invoice


def _method(call: Call, invoice: Json) -> Json:
    """What is charged: the request's, the invoice's, or the customer's default payment method."""
    if "payment_method" in call.params:
        id = drafts.method_id(call, invoice, call.params["payment_method"])
    else:
        customer = call.need("customer", invoice["customer"])
        id = invoice["default_payment_method"] or customer["invoice_settings"]["default_payment_method"]
    if id is None:
        raise ApiError(
            400,
            "This customer has no attached payment source or default payment method. Please consider adding a default"
            " payment method.",
            code="resource_missing",
        )
    return call.need("payment_method", id)


def void(call: Call) -> Json:
    """POST /v1/invoices/{id}/void"""
    invoice = _one(call)
    invoicing.void(call, invoice)
    return invoice


def mark_uncollectible(call: Call) -> Json:
    """POST /v1/invoices/{id}/mark_uncollectible"""
    invoice = _one(call)
    invoicing.mark_uncollectible(call, invoice)
    return invoice


def retrieve(call: Call) -> Json:
    """GET /v1/invoices/{id}"""
    return _one(call)


def listed(call: Call) -> Json:
    """GET /v1/invoices"""
    return page(call, "invoice", "/v1/invoices", equal(call, "customer", "status", "collection_method"))


def lines(call: Call) -> Json:
    """GET /v1/invoices/{id}/lines: in the invoice's order."""
    invoice = _one(call)
    url = f"/v1/invoices/{invoice['id']}/lines"
    found = lines_of(call, invoice["id"])
    ids = [line["id"] for line in found]
    start, end = 0, len(found)
    for name in ("starting_after", "ending_before"):
        if name in call.params and call.params[name] not in ids:
            raise ApiError(400, f"No such line item: '{call.params[name]}'", code="resource_missing", param=name)
    limit = call.params.get("limit", 10)
    if "ending_before" in call.params:
        end = ids.index(call.params["ending_before"])
        first = max(0, end - limit)
        return listing(url, found[first:end], has_more=first > 0)
    if "starting_after" in call.params:
        start = ids.index(call.params["starting_after"]) + 1
    return listing(url, found[start : start + limit], has_more=start + limit < end)
