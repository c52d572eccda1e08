"""Stripe's side of the money: balance transactions with their fees, and refunds."""

from billing_ops.stripe_standin.account import Call, changed
from billing_ops.stripe_standin.errors import Json
from billing_ops.stripe_standin.events import emit

FEE_PER_MILLE = 29
FEE_FIXED_MINOR = 30
SETTLES_AFTER_SECONDS = 2 * 86_400


def fee_minor(amount_minor: int) -> int:
    """2.9 % and 30 minor units; the percentage rounded half up."""
    return (amount_minor * FEE_PER_MILLE * 2 + 1000) // 2000 + FEE_FIXED_MINOR


def book(call: Call, source: str, type: str, *, amount: int, currency: str, description: str | None) -> Json:
    """A balance transaction: a charge bears the fee, a refund gives none back, a payout has none."""
    fee = fee_minor(amount) if type == "charge" else 0
    details = [
        {
            "amount": fee,
            "application": None,
            "currency": currency,
            "description": "Stripe processing fees",
            "type": "stripe_fee",
        }
    ]
    return call.add(
        {
            "id": call.new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "available_on": call.now + (SETTLES_AFTER_SECONDS if type == "charge" else 0),
            "balance_type": "payments",
            "created": call.now,
            "currency": currency,
            "description": description,
            "exchange_rate": None,
            "fee": fee,
            "fee_details": details if fee else [],
            "net": amount - fee,
            "reporting_category": type,
            "source": source,
            "status": "pending",
            "type": type,
            "_payout": None,
        }
    )


def refund(call: Call, charge: Json, amount: int, reason: str | None, metadata: Json) -> Json:
    """Give back part of a charge, at once."""
    id = call.new_id("re")
    balance = book(call, id, "refund", amount=-amount, currency=charge["currency"], description="REFUND FOR CHARGE")
    made = call.add(
        {
            "id": id,
            "object": "refund",
            "amount": amount,
            "balance_transaction": balance["id"],
            "charge": charge["id"],
            "created": call.now,
            "currency": charge["currency"],
            "customer": charge["customer"],
            "customer_account": None,
            "destination_details": {
                "card": {
                    "reference_status": "pending",
                    "reference_type": "acquirer_reference_number",
                    "type": "refund",
                },
                "type": "card",
            },
            "metadata": metadata,
            "payment_intent": charge["payment_intent"],
            "payment_method": charge["payment_method"],
            "reason": reason,
            "receipt_number": None,
            "source_transfer_reversal": None,
            "status": "succeeded",
            "transfer_reversal": None,
        }
    )
    before = dict(charge)
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount"]
    call.store.save(charge)
    emit(call, "refund.created", made)
    emit(call, "charge.refunded", charge, changed(before, charge))
    return made
