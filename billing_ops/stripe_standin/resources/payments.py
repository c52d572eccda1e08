"""Reading what was paid: invoice payments, payment intents, charges, balance transactions, the balance; and refunds."""

from billing_ops.stripe_standin import booking
from billing_ops.stripe_standin.account import Call, changed, merge_metadata
from billing_ops.stripe_standin.errors import ApiError, Json, at_the_door
from billing_ops.stripe_standin.events import emit
from billing_ops.stripe_standin.paging import equal, page
from billing_ops.stripe_standin.params import (
    EXPAND,
    PAGE,
    Spec,
    between,
    check_step,
    choice,
    group,
    metadata,
    text,
    whole,
)
from billing_ops.stripe_standin.rendering import show

INVOICE_PAYMENTS: Spec = {
    **PAGE,
    "created": between,
    "invoice": text(),
    "payment": group(
        {"type": choice("payment_intent", "payment_record"), "payment_intent": text()}, required=("type",)
    ),
    "status": choice("open", "paid", "canceled"),
}
INTENTS: Spec = {**PAGE, "created": between, "customer": text()}
CHARGES: Spec = {**PAGE, "created": between, "customer": text(), "payment_intent": text()}
BALANCE: Spec = {
    **PAGE,
    "created": between,
    "currency": text(3),
    "payout": text(),
    "source": text(),
    "type": text(),
}
REFUND: Spec = {
    **EXPAND,
    "amount": whole(low=1),
    "charge": text(),
    "metadata": metadata,
    "payment_intent": text(),
    "reason": choice("duplicate", "fraudulent", "requested_by_customer"),
}
REFUND_UPDATE: Spec = {**EXPAND, "metadata": metadata}
REFUNDS: Spec = {**PAGE, "charge": text(), "created": between, "payment_intent": text()}
PAYOUTS: Spec = {**PAGE, "created": between, "status": choice("pending", "in_transit", "paid", "failed", "canceled")}


def invoice_payments(call: Call) -> Json:
    """GET /v1/invoice_payments: by invoice, or by payment intent."""
    where = equal(call, "invoice", "status")
    if "payment" in call.params:
        payment = call.params["payment"]
        where.append(("json_extract(body, '$.payment.type') = ?", payment["type"]))
        if "payment_intent" in payment:
            where.append(("json_extract(body, '$.payment.payment_intent') = ?", payment["payment_intent"]))
    return page(call, "invoice_payment", "/v1/invoice_payments", where)


def invoice_payment(call: Call) -> Json:
    """GET /v1/invoice_payments/{id}"""
    return call.need("invoice_payment", call.names["id"])


def intents(call: Call) -> Json:
    """GET /v1/payment_intents"""
    return page(call, "payment_intent", "/v1/payment_intents", equal(call, "customer"))


def intent(call: Call) -> Json:
    """GET /v1/payment_intents/{id}"""
    return call.need("payment_intent", call.names["id"])


def charges(call: Call) -> Json:
    """GET /v1/charges"""
    return page(call, "charge", "/v1/charges", equal(call, "customer", "payment_intent"))


def charge(call: Call) -> Json:
    """GET /v1/charges/{id}"""
    return call.need("charge", call.names["id"])


def balance_transactions(call: Call) -> Json:
    """GET /v1/balance_transactions: of a payout, of a source (a charge, refund or payout), or all."""
    where = equal(call, "currency", "source", "type")
    if "payout" in call.params:
        where.append(("json_extract(body, '$._payout') = ?", call.params["payout"]))
    return page(call, "balance_transaction", "/v1/balance_transactions", where)


def balance_transaction(call: Call) -> Json:
    """GET /v1/balance_transactions/{id}"""
    return call.need("balance_transaction", call.names["id"], label="balance transaction")


def balance(call: Call) -> Json:
    """GET /v1/balance: what may be paid out, and what is still on its way, by currency."""
    sums: dict[str, dict[str, int]] = {"available": {}, "pending": {}}
    for row in call.store.find("balance_transaction"):
        part = sums[show(call, row)["status"]]
        part[row["currency"]] = part.get(row["currency"], 0) + row["net"]
    currencies = sorted({*sums["available"], *sums["pending"]} or {"usd"})
    return {
        "object": "balance",
        **{
            name: [
                {"amount": part.get(one, 0), "currency": one, "source_types": {"card": part.get(one, 0)}}
                for one in currencies
            ]
            for name, part in sums.items()
        },
        "livemode": False,
    }


def refund(call: Call) -> Json:
    """POST /v1/refunds: of a charge or a payment intent; without an amount, all that is left of it."""
    found = _charge_to_refund(call)
    left = found["amount"] - found["amount_refunded"]
    if left == 0:
        raise ApiError(400, f"Charge {found['id']} has already been refunded.", code="charge_already_refunded")
    amount = call.params.get("amount", left)
    check_step(amount, found["currency"])
    if amount > left:
        raise ApiError(
            400,
            f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}), in minor units.",
            param="amount",
        )
    kept = merge_metadata({}, call.params.get("metadata", {}))
    return booking.refund(call, found, amount, call.params.get("reason"), kept)


def _charge_to_refund(call: Call) -> Json:
    if "charge" in call.params:
        found = call.need("charge", call.params["charge"], param="charge")
    elif "payment_intent" in call.params:
        intent = call.need("payment_intent", call.params["payment_intent"], param="payment_intent")
        if intent["status"] != "succeeded":
            raise ApiError(
                400, "This PaymentIntent does not have a successful charge to refund.", param="payment_intent"
            )
        found = call.need("charge", intent["latest_charge"])
    else:
        raise at_the_door(
            400, "One of the following params should be provided for this request: payment_intent or charge."
        )
    if found["status"] != "succeeded":
        raise ApiError(400, "This charge did not succeed and cannot be refunded.", param="charge")
    return found


def refund_update(call: Call) -> Json:
    """POST /v1/refunds/{id}: metadata only."""
    found = call.need("refund", call.names["id"])
    before = dict(found)
    found["metadata"] = merge_metadata(found["metadata"], call.params.get("metadata", {}))
    if changed(before, found):
        call.store.save(found)
        emit(call, "refund.updated", found, changed(before, found))
    return found


def refunded(call: Call) -> Json:
    """GET /v1/refunds/{id}"""
    return call.need("refund", call.names["id"])


def refunds(call: Call) -> Json:
    """GET /v1/refunds"""
    return page(call, "refund", "/v1/refunds", equal(call, "charge", "payment_intent"))


def payouts(call: Call) -> Json:
    """GET /v1/payouts"""
    return page(call, "payout", "/v1/payouts", equal(call, "status"))


def payout(call: Call) -> Json:
    """GET /v1/payouts/{id}"""
    return call.need("payout", call.names["id"])
