"""Payment methods: Stripe's test cards, and copies of them attached to customers."""

from billing_ops.stripe_standin import cards, charging
from billing_ops.stripe_standin.account import Call, changed, merge_metadata
from billing_ops.stripe_standin.errors import ApiError, Json, missing
from billing_ops.stripe_standin.events import emit
from billing_ops.stripe_standin.paging import page
from billing_ops.stripe_standin.params import ADDRESS, EXPAND, PAGE, Spec, choice, group, metadata, text

_BILLING: Spec = {
    "address": group(ADDRESS, may_unset=True),
    "email": text(may_unset=True),
    "name": text(may_unset=True),
    "phone": text(may_unset=True),
}
CREATE: Spec = {
    **EXPAND,
    "type": choice("card"),
    "card": group({"token": text()}, required=("token",)),
    "billing_details": group(_BILLING),
    "metadata": metadata,
}
UPDATE: Spec = {**EXPAND, "billing_details": group(_BILLING), "metadata": metadata}
ATTACH: Spec = {**EXPAND, "customer": text()}
LIST: Spec = {**PAGE, "customer": text(), "type": choice("card")}
LIST_OF_CUSTOMER: Spec = {**PAGE, "type": choice("card")}
CARD_LIFE_YEARS = 6


def create(call: Call) -> Json:
    """POST /v1/payment_methods: of a test token such as ``tok_visa``."""
    token = call.params.get("card", {}).get("token", "")
    card = cards.lookup(token)
    if card is None:
        raise missing("token", token, "card[token]", 400)
    method = _new(call, card)
    _apply(call, method)
    return call.add(method)


def _new(call: Call, card: cards.Card) -> Json:
    year = 1970 + call.now // 31_556_952 + CARD_LIFE_YEARS
    return {
        "id": call.new_id("pm"),
        "object": "payment_method",
        "allow_redisplay": "unspecified",
        "billing_details": {
            "address": dict.fromkeys(ADDRESS),
            "email": None,
            "name": None,
            "phone": None,
            "tax_id": None,
        },
        "card": cards.details(card, call.new_id("fp").removeprefix("fp_")[:16], year),
        "created": call.now,
        "customer": None,
        "customer_account": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
        "_decline": card.decline,
        "_saves": card.saves,
        "_detached": False,
    }


def _apply(call: Call, method: Json) -> None:
    sent = call.params.get("billing_details", {})
    for name, value in sent.items():
        if name == "address":
            method["billing_details"]["address"] = {**dict.fromkeys(ADDRESS), **(value or {})}
        else:
            method["billing_details"][name] = value or None
    if "metadata" in call.params:
        method["metadata"] = merge_metadata(method["metadata"], call.params["metadata"])


def _find(call: Call, id: str, param: str | None = None) -> Json:
    """A payment method; the name of a test card stands for a new one of that card."""
    card = cards.lookup(id) if id.startswith("pm_card_") else None
    if card is not None:
        return call.add(_new(call, card))
    return call.need("payment_method", id, label="PaymentMethod", param=param)


def attach_to(call: Call, id: str, customer: Json) -> Json:
    """Attach; the issuer is asked, so a card that declines everything is refused here (402)."""
    method = _find(call, id)
    if method["customer"] not in (None, customer["id"]):
        raise ApiError(400, "The payment method you provided has already been attached to a customer.")
    if method["_detached"]:
        raise ApiError(
            400,
            "This PaymentMethod was previously used without being attached to a Customer or was detached from a"
            " Customer, and may not be used again.",
        )
    if not method["_saves"]:
        raise charging.card_error(cards.DECLINES[method["_decline"]], keeps_work=False, payment_method=method)
    method["customer"] = customer["id"]
    call.store.save(method)
    return method


def attach(call: Call) -> Json:
    """POST /v1/payment_methods/{id}/attach"""
    customer = call.need("customer", call.params["customer"], param="customer")
    method = attach_to(call, call.names["id"], customer)
    emit(call, "payment_method.attached", method)
    return method


def detach(call: Call) -> Json:
    """POST /v1/payment_methods/{id}/detach: also no longer anyone's default."""
    method = call.need("payment_method", call.names["id"], label="PaymentMethod")
    if method["customer"] is None:
        raise ApiError(
            400, "The payment method you provided is not attached to a customer so detachment is impossible."
        )
    customer = call.need("customer", method["customer"])
    method["customer"] = None
    method["_detached"] = True
    call.store.save(method)
    if customer["invoice_settings"]["default_payment_method"] == method["id"]:
        before = dict(customer)
        customer["invoice_settings"] = {**customer["invoice_settings"], "default_payment_method": None}
        call.store.save(customer)
        emit(call, "customer.updated", customer, changed(before, customer))
    emit(call, "payment_method.detached", method)
    return method


def update(call: Call) -> Json:
    """POST /v1/payment_methods/{id}"""
    method = call.need("payment_method", call.names["id"], label="PaymentMethod")
    before = {**method, "billing_details": {**method["billing_details"]}}
    _apply(call, method)
    call.store.save(method)
    emit(call, "payment_method.updated", method, changed(before, method))
    return method


def retrieve(call: Call) -> Json:
    """GET /v1/payment_methods/{id}"""
    return _find(call, call.names["id"])


def listed(call: Call) -> Json:
    """GET /v1/payment_methods?customer="""
    customer = call.need("customer", call.params["customer"], param="customer")
    return _of(call, customer["id"], "/v1/payment_methods")


def of_customer(call: Call) -> Json:
    """GET /v1/customers/{id}/payment_methods"""
    customer = call.need("customer", call.names["id"])
    return _of(call, customer["id"], f"/v1/customers/{customer['id']}/payment_methods")


def _of(call: Call, customer: str, url: str) -> Json:
    return page(call, "payment_method", url, [("json_extract(body, '$.customer') = ?", customer)])


def of_customer_one(call: Call) -> Json:
    """GET /v1/customers/{id}/payment_methods/{payment_method}"""
    method = call.need("payment_method", call.names["payment_method"], label="PaymentMethod")
    if method["customer"] != call.names["id"]:
        raise missing("PaymentMethod", method["id"], "payment_method")
    return method
