"""Paying out what is available, when told to (``POST /_standin/payout``): its amount is the sum of the nets in it."""

from billing_ops.stripe_standin import booking
from billing_ops.stripe_standin.account import Call
from billing_ops.stripe_standin.errors import Json
from billing_ops.stripe_standin.events import emit


def pay_out(call: Call, currency: str) -> Json | None:
    """An automatic payout of everything available in a currency; None when there is nothing to pay out."""
    contained = [
        one
        for one in call.store.find("balance_transaction", "json_extract(body, '$.currency') = ?", (currency,))
        if one["_payout"] is None and one["type"] != "payout" and one["available_on"] <= call.now
    ]
    amount = sum(one["net"] for one in contained)
    if amount <= 0:
        return None
    id = call.new_id("po")
    booked = booking.book(call, id, "payout", amount=-amount, currency=currency, description="STRIPE PAYOUT")
    for one in [*contained, booked]:
        one["_payout"] = id
        call.store.save(one)
    payout = call.add(
        {
            "id": id,
            "object": "payout",
            "amount": amount,
            "application_fee": None,
            "application_fee_amount": None,
            "arrival_date": call.now,
            "automatic": True,
            "balance_transaction": booked["id"],
            "created": call.now,
            "currency": currency,
            "description": "STRIPE PAYOUT",
            "destination": None,
            "failure_balance_transaction": None,
            "failure_code": None,
            "failure_message": None,
            "livemode": False,
            "metadata": {},
            "method": "standard",
            "original_payout": None,
            "payout_method": None,
            "reconciliation_status": "completed",
            "reversed_by": None,
            "source_type": "card",
            "statement_descriptor": None,
            "status": "paid",
            "trace_id": None,
            "type": "bank_account",
        }
    )
    emit(call, "payout.created", payout)
    emit(call, "payout.paid", payout)
    emit(call, "payout.reconciliation_completed", payout)
    return payout
