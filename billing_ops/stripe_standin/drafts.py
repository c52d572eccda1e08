"""The fields of an invoice: a blank draft, and what a request puts on it."""

from billing_ops.stripe_standin.account import Call, merge_metadata, unset
from billing_ops.stripe_standin.errors import ApiError, Json, at_the_door, not_implemented


def blank(call: Call, customer: Json, currency: str) -> Json:
    """A new draft without lines."""
    return {
        "id": call.new_id("in"),
        "object": "invoice",
        "account_country": "US",
        "account_name": "Stripe stand-in",
        "account_tax_ids": None,
        "amount_due": 0,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_paid_off_stripe": 0,
        "amount_remaining": 0,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": False,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "created": call.now,
        "currency": currency,
        "custom_fields": None,
        "customer": customer["id"],
        "customer_account": None,
        "customer_address": customer["address"],
        "customer_email": customer["email"],
        "customer_name": customer["name"],
        "customer_phone": customer["phone"],
        "customer_shipping": None,
        "customer_tax_exempt": customer["tax_exempt"],
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": None,
        "ending_balance": None,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": None,
        "number": None,
        "on_behalf_of": None,
        "parent": None,
        "payment_settings": {"default_mandate": None, "payment_method_options": None, "payment_method_types": None},
        "period_end": call.now,
        "period_start": call.now,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "draft",
        "status_transitions": {
            "finalized_at": None,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": 0,
        "subtotal_excluding_tax": 0,
        "test_clock": None,
        "total": 0,
        "total_discount_amounts": [],
        "total_excluding_tax": 0,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": None,
    }


_PLAIN = ("custom_fields", "description", "effective_at", "footer", "statement_descriptor", "collection_method")


def apply(call: Call, invoice: Json) -> None:
    """Put what was sent onto an invoice."""
    params = call.params
    if params.get("auto_advance"):
        raise not_implemented("advance an invoice by itself; send auto_advance=false", "auto_advance")
    for name in _PLAIN:
        if name in params:
            invoice[name] = unset(params[name])
    if "metadata" in params:
        invoice["metadata"] = merge_metadata(invoice["metadata"], params["metadata"])
    if "number" in params:
        _set_number(call, invoice, unset(params["number"]))
    if "default_payment_method" in params:
        invoice["default_payment_method"] = method_id(call, invoice, unset(params["default_payment_method"]))
    _set_due(call, invoice)


def _set_number(call: Call, invoice: Json, number: str | None) -> None:
    taken = call.store.find("invoice", "json_extract(body, '$.number') = ? AND id != ?", (number, invoice["id"]))
    if number is not None and taken:
        raise ApiError(400, f"The invoice number {number} is already used by another invoice.", param="number")
    invoice["number"] = number


def _set_due(call: Call, invoice: Json) -> None:
    sends = invoice["collection_method"] == "send_invoice"
    for name in ("days_until_due", "due_date"):
        if name in call.params and not sends:
            raise at_the_door(
                400, f"`{name}` is only supported when `collection_method` is `send_invoice`.", param=name
            )
    if "due_date" in call.params:
        invoice["due_date"] = call.params["due_date"]
    elif "days_until_due" in call.params:
        invoice["due_date"] = call.now + 86_400 * call.params["days_until_due"]
    elif sends and invoice["due_date"] is None:
        raise at_the_door(
            400,
            "When `collection_method` is `send_invoice`, you must specify one of `due_date` or `days_until_due`.",
            param="due_date",
        )


def method_id(call: Call, invoice: Json, id: str | None) -> str | None:
    """The identifier of a payment method that must be attached to the invoice's customer."""
    if id is None:
        return None
    method = call.store.get(id, "payment_method")
    if method is None or method["customer"] != invoice["customer"]:
        raise ApiError(
            400,
            f"No such PaymentMethod: '{id}'; it must be attached to the invoice's customer.",
            code="resource_missing",
            param="payment_method",
        )
    return id
