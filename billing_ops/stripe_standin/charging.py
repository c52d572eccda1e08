"""Charging a card: the payment intent's attempt, the charge, and how a card says no."""

from billing_ops.stripe_standin import cards
from billing_ops.stripe_standin.account import Call
from billing_ops.stripe_standin.booking import book
from billing_ops.stripe_standin.errors import ApiError, Json
from billing_ops.stripe_standin.events import emit
from billing_ops.stripe_standin.params import ADDRESS
from billing_ops.stripe_standin.rendering import public


def card_error(decline: cards.Decline, *, keeps_work: bool = True, **extra: Json | str | None) -> ApiError:
    """Stripe's 402 for a card that was declined; what was done (the failed charge) stays."""
    return ApiError(
        402,
        decline.message,
        type="card_error",
        code=decline.code,
        keeps_work=keeps_work,
        extra={
            "decline_code": decline.decline_code,
            "advice_code": decline.advice,
            "network_decline_code": decline.network_code,
            **{name: public(value) for name, value in extra.items()},
        },
    )


def new_intent(call: Call, *, amount: int, currency: str, customer: str | None, description: str | None) -> Json:
    """A payment intent that waits for a payment method."""
    id = call.new_id("pi")
    intent: Json = {
        "id": id,
        "object": "payment_intent",
        "amount": amount,
        "amount_capturable": 0,
        "amount_details": {"tip": {}},
        "amount_received": 0,
        "application": None,
        "application_fee_amount": None,
        "automatic_payment_methods": None,
        "canceled_at": None,
        "cancellation_reason": None,
        "capture_method": "automatic",
        "client_secret": f"{id}_{call.new_id('secret')}",
        "confirmation_method": "automatic",
        "created": call.now,
        "currency": currency,
        "customer": customer,
        "customer_account": None,
        "description": description,
        "excluded_payment_method_types": None,
        "last_payment_error": None,
        "latest_charge": None,
        "livemode": False,
        "metadata": {},
        "next_action": None,
        "on_behalf_of": None,
        "payment_method": None,
        "payment_method_configuration_details": None,
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "processing": None,
        "receipt_email": None,
        "review": None,
        "setup_future_usage": None,
        "shipping": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "requires_payment_method",
        "transfer_data": None,
        "transfer_group": None,
    }
    call.add(intent)
    emit(call, "payment_intent.created", intent)
    return intent


def confirm(call: Call, intent: Json, method: Json) -> str | None:
    """Attempt a payment intent with a card. Returns None when it was paid, else the name of the decline."""
    refused: str | None = method["_decline"]
    if refused == "authentication_required":
        intent.update(
            status="requires_action",
            payment_method=method["id"],
            next_action={"type": "use_stripe_sdk", "use_stripe_sdk": {}},
        )
        call.store.save(intent)
        emit(call, "payment_intent.requires_action", intent)
        return refused
    charge = _charge(call, intent, method, refused)
    intent["latest_charge"] = charge["id"]
    intent["next_action"] = None
    if refused:
        decline = cards.DECLINES[refused]
        error = card_error(decline, charge=charge["id"], payment_method=method).body("", call.now)["error"]
        error.pop("request_log_url")
        intent.update(status="requires_payment_method", payment_method=None, last_payment_error=error)
        call.store.save(intent)
        emit(call, "charge.failed", charge)
        emit(call, "payment_intent.payment_failed", intent)
        return refused
    intent.update(
        status="succeeded",
        payment_method=method["id"],
        amount_received=intent["amount"],
        last_payment_error=None,
    )
    call.store.save(intent)
    emit(call, "charge.succeeded", charge)
    emit(call, "payment_intent.succeeded", intent)
    return None


def _charge(call: Call, intent: Json, method: Json, refused: str | None) -> Json:
    card = method["card"]
    decline = cards.DECLINES[refused] if refused else None
    id = call.new_id("ch")
    balance = None
    if decline is None:
        balance = book(
            call,
            id,
            "charge",
            amount=intent["amount"],
            currency=intent["currency"],
            description=intent["description"],
        )
    charge: Json = {
        "id": id,
        "object": "charge",
        "amount": intent["amount"],
        "amount_captured": 0 if decline else intent["amount"],
        "amount_refunded": 0,
        "application": None,
        "application_fee": None,
        "application_fee_amount": None,
        "balance_transaction": balance["id"] if balance else None,
        "billing_details": {
            **method["billing_details"],
            "address": {**dict.fromkeys(ADDRESS), **method["billing_details"]["address"]},
        },
        "calculated_statement_descriptor": "STAND-IN",
        "captured": decline is None,
        "created": call.now,
        "currency": intent["currency"],
        "customer": intent["customer"],
        "description": intent["description"],
        "disputed": False,
        "failure_balance_transaction": None,
        "failure_code": decline.code if decline else None,
        "failure_message": decline.message if decline else None,
        "fraud_details": {},
        "livemode": False,
        "metadata": {},
        "on_behalf_of": None,
        "outcome": _outcome(decline),
        "paid": decline is None,
        "payment_intent": intent["id"],
        "payment_method": method["id"],
        "payment_method_details": {"type": "card", "card": _used(card, intent["amount"], authorized=decline is None)},
        "radar_options": {},
        "receipt_email": None,
        "receipt_number": None,
        "receipt_url": None,
        "refunded": False,
        "review": None,
        "shipping": None,
        "source": None,
        "source_transfer": None,
        "statement_descriptor": None,
        "statement_descriptor_suffix": None,
        "status": "failed" if decline else "succeeded",
        "transfer_data": None,
        "transfer_group": None,
    }
    return call.add(charge)


def _outcome(decline: cards.Decline | None) -> Json:
    if decline is None:
        return {
            "advice_code": None,
            "network_advice_code": None,
            "network_decline_code": None,
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "normal",
            "risk_score": 20,
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    return {
        "advice_code": decline.advice,
        "network_advice_code": None,
        "network_decline_code": decline.network_code,
        "network_status": "declined_by_network",
        "reason": decline.decline_code,
        "risk_level": "normal",
        "risk_score": 20,
        "seller_message": "The bank did not return any further details with this decline."
        if decline.decline_code == "generic_decline"
        else f"The bank returned the decline code `{decline.decline_code}`.",
        "type": "issuer_declined",
    }


def _used(card: Json, amount: int, *, authorized: bool) -> Json:
    """The card as a charge shows it."""
    return {
        "amount_authorized": amount if authorized else None,
        "authorization_code": None,
        "brand": card["brand"],
        "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": None},
        "country": card["country"],
        "exp_month": card["exp_month"],
        "exp_year": card["exp_year"],
        "extended_authorization": {"status": "disabled"},
        "fingerprint": card["fingerprint"],
        "funding": card["funding"],
        "incremental_authorization": {"status": "unavailable"},
        "installments": None,
        "last4": card["last4"],
        "mandate": None,
        "multicapture": {"status": "unavailable"},
        "network": card["brand"],
        "network_token": {"used": False},
        "network_transaction_id": None,
        "overcapture": {"maximum_amount_capturable": amount, "status": "unavailable"},
        "regulated_status": card["regulated_status"],
        "three_d_secure": None,
        "wallet": None,
    }
