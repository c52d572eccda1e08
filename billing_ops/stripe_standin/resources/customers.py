"""Customers."""

from billing_ops.stripe_standin.account import Call, changed, merge_metadata, unset
from billing_ops.stripe_standin.errors import ApiError, Json
from billing_ops.stripe_standin.events import emit
from billing_ops.stripe_standin.paging import equal, page
from billing_ops.stripe_standin.params import (
    ADDRESS,
    EXPAND,
    PAGE,
    Spec,
    between,
    choice,
    group,
    many,
    metadata,
    text,
    whole,
)
from billing_ops.stripe_standin.resources import payment_methods

_SHARED: Spec = {
    **EXPAND,
    "address": group(ADDRESS, may_unset=True),
    "balance": whole(),
    "description": text(may_unset=True),
    "email": text(512, may_unset=True),
    "invoice_prefix": text(12),
    "invoice_settings": group({"default_payment_method": text(may_unset=True), "footer": text(may_unset=True)}),
    "metadata": metadata,
    "name": text(256, may_unset=True),
    "next_invoice_sequence": whole(low=1),
    "phone": text(20, may_unset=True),
    "preferred_locales": many(text()),
    "tax_exempt": choice("none", "exempt", "reverse", may_unset=True),
}
CREATE: Spec = {**_SHARED, "payment_method": text()}
UPDATE: Spec = _SHARED
LIST: Spec = {**PAGE, "created": between, "email": text()}

_PLAIN = (
    "balance",
    "description",
    "email",
    "invoice_prefix",
    "name",
    "next_invoice_sequence",
    "phone",
    "preferred_locales",
)


def create(call: Call) -> Json:
    """POST /v1/customers"""
    customer: Json = {
        "id": call.new_id("cus"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": call.now,
        "currency": None,
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": call.account.ids.letters("prefix", 8),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    call.add(customer)
    attached = None
    if "payment_method" in call.params:
        attached = payment_methods.attach_to(call, call.params["payment_method"], customer)
    sent = call.params.get("invoice_settings", {})
    if attached and sent.get("default_payment_method") == call.params["payment_method"]:
        sent["default_payment_method"] = attached["id"]
    _apply(call, customer)
    call.store.save(customer)
    emit(call, "customer.created", customer)
    if attached:
        emit(call, "payment_method.attached", attached)
    return customer


def update(call: Call) -> Json:
    """POST /v1/customers/{id}"""
    customer = call.need("customer", call.names["id"])
    before = {**customer, "invoice_settings": {**customer["invoice_settings"]}}
    _apply(call, customer)
    save(call, before, customer)
    return customer


def save(call: Call, before: Json, customer: Json) -> None:
    """Keep a changed customer and tell of it; nothing when nothing changed."""
    previous = changed(before, customer)
    if previous:
        call.store.save(customer)
        emit(call, "customer.updated", customer, previous)


def _apply(call: Call, customer: Json) -> None:
    params = call.params
    for name in _PLAIN:
        if name in params:
            customer[name] = unset(params[name])
    if "tax_exempt" in params:
        customer["tax_exempt"] = params["tax_exempt"] or "none"
    if "metadata" in params:
        customer["metadata"] = merge_metadata(customer["metadata"], params["metadata"])
    if "address" in params:
        empty = dict.fromkeys(ADDRESS)
        sent = params["address"]
        customer["address"] = {**empty, **{key: unset(one) for key, one in sent.items()}} if sent else None
    settings = {key: unset(one) for key, one in params.get("invoice_settings", {}).items()}
    if settings.get("default_payment_method"):
        _must_be_attached(call, settings["default_payment_method"], customer)
    customer["invoice_settings"] = {**customer["invoice_settings"], **settings}


def _must_be_attached(call: Call, method_id: str, customer: Json) -> None:
    method = call.store.get(method_id, "payment_method")
    param = "invoice_settings[default_payment_method]"
    if method is None:
        raise ApiError(400, f"No such PaymentMethod: '{method_id}'", code="resource_missing", param=param)
    if method["customer"] != customer["id"]:
        raise ApiError(
            400,
            f"The customer does not have a payment method with the ID {method_id}. The payment method must be attached"
            " to the customer.",
            code="resource_missing",
            param=param,
        )


def retrieve(call: Call) -> Json:
    """GET /v1/customers/{id}"""
    return call.need("customer", call.names["id"])


def listed(call: Call) -> Json:
    """GET /v1/customers"""
    return page(call, "customer", "/v1/customers", equal(call, "email"))
