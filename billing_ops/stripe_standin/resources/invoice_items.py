"""Invoice items: what becomes the lines of an invoice. Amounts are whole minor units of either sign."""

from billing_ops.stripe_standin import invoicing
from billing_ops.stripe_standin.account import Call, merge_metadata, unset
from billing_ops.stripe_standin.errors import ApiError, Json, at_the_door
from billing_ops.stripe_standin.events import emit
from billing_ops.stripe_standin.paging import equal, page
from billing_ops.stripe_standin.params import (
    EXPAND,
    PAGE,
    Spec,
    between,
    check_step,
    flag,
    group,
    metadata,
    text,
    whole,
)

_PERIOD = group({"start": whole(low=0), "end": whole(low=0)}, required=("start", "end"))
CREATE: Spec = {
    **EXPAND,
    "amount": whole(),
    "currency": text(3),
    "customer": text(),
    "description": text(may_unset=True),
    "discountable": flag,
    "invoice": text(),
    "metadata": metadata,
    "period": _PERIOD,
}
UPDATE: Spec = {
    **EXPAND,
    "amount": whole(),
    "description": text(may_unset=True),
    "discountable": flag,
    "metadata": metadata,
    "period": _PERIOD,
}
LIST: Spec = {**PAGE, "created": between, "customer": text(), "invoice": text(), "pending": flag}


def create(call: Call) -> Json:
    """POST /v1/invoiceitems: onto a draft invoice, or pending for the customer's next one."""
    params = call.params
    invoice = call.need("invoice", params["invoice"], param="invoice") if "invoice" in params else None
    customer = params.get("customer") or (invoice["customer"] if invoice else None)
    if customer is None:
        raise at_the_door(400, "Missing required param: customer.", code="parameter_missing", param="customer")
    call.need("customer", customer, param="customer")
    if "amount" not in params:
        raise at_the_door(
            400,
            "You must specify one of `amount`, `price_data` or `pricing`.",
            code="parameter_missing",
            param="amount",
        )
    currency = str(params.get("currency") or (invoice["currency"] if invoice else "usd")).lower()
    check_step(params["amount"], currency)
    if invoice is not None:
        _check(invoice, customer, currency)
    period = params.get("period", {"start": call.now, "end": call.now})
    if period["end"] < period["start"]:
        raise ApiError(400, "The period's end must not be before its start.", param="period[end]")
    item: Json = {
        "id": call.new_id("ii"),
        "object": "invoiceitem",
        "amount": params["amount"],
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "date": call.now,
        "description": unset(params.get("description")),
        "discountable": params.get("discountable", True),
        "discounts": [],
        "invoice": invoice["id"] if invoice else None,
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata", {})),
        "net_amount": params["amount"],
        "parent": None,
        "period": period,
        "pricing": None,
        "proration": False,
        "quantity": 1,
        "quantity_decimal": "1",
        "tax_rates": [],
        "test_clock": None,
        "_line": call.new_id("il"),
        "_pulled": False,
    }
    call.add(item)
    emit(call, "invoiceitem.created", item)
    if invoice is not None:
        invoicing.recount(call, invoice)
    return item


def _check(invoice: Json, customer: str, currency: str) -> None:
    if invoice["status"] != "draft":
        raise ApiError(400, "This invoice is no longer editable", code="invoice_not_editable", param="invoice")
    if invoice["customer"] != customer:
        raise ApiError(400, "The customer of the invoice item is not the invoice's customer.", param="customer")
    if invoice["currency"] != currency:
        raise ApiError(
            400,
            f"The invoice item's currency ({currency}) does not match the invoice's currency ({invoice['currency']}).",
            param="currency",
        )


def _editable(call: Call) -> tuple[Json, Json | None]:
    item = call.need("invoiceitem", call.names["id"])
    invoice = call.store.get(item["invoice"], "invoice") if item["invoice"] else None
    if invoice is not None and invoice["status"] != "draft":
        raise ApiError(400, "This invoice item's invoice is no longer editable", code="invoice_not_editable")
    return item, invoice


def update(call: Call) -> Json:
    """POST /v1/invoiceitems/{id}: only while its invoice is a draft."""
    item, invoice = _editable(call)
    check_step(call.params.get("amount", 0), item["currency"])
    for name in ("amount", "discountable", "period"):
        if name in call.params:
            item[name] = call.params[name]
    item["net_amount"] = item["amount"]
    if "description" in call.params:
        item["description"] = unset(call.params["description"])
    if "metadata" in call.params:
        item["metadata"] = merge_metadata(item["metadata"], call.params["metadata"])
    call.store.save(item)
    if invoice is not None:
        invoicing.recount(call, invoice)
    return item


def delete(call: Call) -> Json:
    """DELETE /v1/invoiceitems/{id}"""
    item, invoice = _editable(call)
    call.store.remove(item["id"])
    emit(call, "invoiceitem.deleted", item)
    if invoice is not None:
        invoicing.recount(call, invoice)
    return {"id": item["id"], "object": "invoiceitem", "deleted": True}


def retrieve(call: Call) -> Json:
    """GET /v1/invoiceitems/{id}"""
    return call.need("invoiceitem", call.names["id"])


def listed(call: Call) -> Json:
    """GET /v1/invoiceitems"""
    where = equal(call, "customer", "invoice")
    if "pending" in call.params:
        test = "IS NULL" if call.params["pending"] else "IS NOT NULL"
        where.append((f"json_extract(body, '$.invoice') {test} AND 1 = ?", 1))
    return page(call, "invoiceitem", "/v1/invoiceitems", where)
