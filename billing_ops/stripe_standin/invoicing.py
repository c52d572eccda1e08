"""What happens to an invoice: totals, finalisation, payment, and the three ways to give it up.

Order at finalisation, as Stripe does it: total of the lines; then the customer's balance (negative is credit); then the
minimum charge: an amount due below it is not charged, the invoice is paid and the debt goes to the customer's balance.
There is no tax, discount or credit note in this stand-in.
"""

from billing_ops.stripe_standin import cards, charging
from billing_ops.stripe_standin.account import Call, changed
from billing_ops.stripe_standin.errors import ApiError, Json
from billing_ops.stripe_standin.events import emit
from billing_ops.stripe_standin.rendering import lines_of, public

MINIMUM_CHARGE_MINOR = {
    "usd": 50, "aud": 50, "brl": 50, "cad": 50, "chf": 50, "czk": 1500, "dkk": 250, "eur": 50, "gbp": 30, "hkd": 400,
    "inr": 50, "jpy": 50, "mxn": 1000, "nok": 300, "nzd": 50, "pln": 200, "ron": 200, "sek": 300, "sgd": 50,
}  # fmt: skip
"""Stripe's published minimum charges, in minor units; a currency that is not here has none."""


def recount(call: Call, invoice: Json) -> None:
    """Totals of a draft after its lines changed."""
    before = dict(invoice)
    total = sum(line["amount"] for line in lines_of(call, invoice["id"]))
    due = max(total, 0)
    invoice.update(
        subtotal=total,
        subtotal_excluding_tax=total,
        total=total,
        total_excluding_tax=total,
        amount_due=due,
        amount_remaining=due,
    )
    save(call, before, invoice)


def save(call: Call, before: Json, invoice: Json, *, tell: bool = True) -> None:
    """Keep a changed invoice and, when something changed, tell of it as ``invoice.updated``."""
    previous = changed(before, invoice)
    if previous:
        call.store.save(invoice)
        if tell:
            emit(call, "invoice.updated", invoice, previous)


def finalize(call: Call, invoice: Json) -> None:
    """Draft to open, or at once to paid when nothing is to be charged."""
    if invoice["status"] != "draft":
        raise ApiError(
            400,
            "This invoice is already finalized, you can't re-finalize a non-draft invoice.",
            code="invoice_not_editable",
        )
    if not lines_of(call, invoice["id"]):
        raise ApiError(
            400,
            "Nothing to invoice for this invoice: it has no lines.",
            code="invoice_no_customer_line_items",
        )
    before = dict(invoice)
    customer = call.need("customer", invoice["customer"])
    if invoice["number"] is None:
        invoice["number"] = _next_number(call, customer)
    due, ending = _due(invoice, customer)
    invoice.update(
        status="open",
        starting_balance=customer["balance"],
        ending_balance=ending,
        amount_due=due,
        amount_remaining=due,
        effective_at=invoice["effective_at"] or call.now,
        hosted_invoice_url=f"https://invoice.stripe.com/i/acct_standin/test_{invoice['id']}",
        invoice_pdf=f"https://pay.stripe.com/invoice/acct_standin/test_{invoice['id']}/pdf",
        status_transitions={**invoice["status_transitions"], "finalized_at": call.now},
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        customer_tax_exempt=customer["tax_exempt"],
    )
    call.store.save(invoice)
    _move_balance(call, customer, ending)
    if due:
        _await_payment(call, invoice)
    emit(call, "invoice.finalized", invoice)
    if not due:
        _mark_paid(call, invoice, 0)
        return
    emit(call, "invoice.updated", invoice, changed(before, invoice))


def _due(invoice: Json, customer: Json) -> tuple[int, int]:
    """What is charged now, and the customer's balance afterwards."""
    owed = invoice["total"] + customer["balance"]
    if owed <= 0:
        return 0, owed
    if owed < MINIMUM_CHARGE_MINOR.get(invoice["currency"], 0):
        return 0, owed
    return owed, 0


def _next_number(call: Call, customer: Json) -> str:
    number = f"{customer['invoice_prefix']}-{customer['next_invoice_sequence']:04d}"
    customer["next_invoice_sequence"] += 1
    call.store.save(customer)
    return number


def _move_balance(call: Call, customer: Json, balance: int) -> None:
    if balance != customer["balance"]:
        previous = {"balance": customer["balance"]}
        customer["balance"] = balance
        call.store.save(customer)
        emit(call, "customer.updated", customer, previous)


def _await_payment(call: Call, invoice: Json) -> None:
    """The default payment of an open invoice: a payment intent, linked by an invoice payment (the only link)."""
    intent = charging.new_intent(
        call,
        amount=invoice["amount_due"],
        currency=invoice["currency"],
        customer=invoice["customer"],
        description=f"Payment for Invoice {invoice['number']}",
    )
    call.add(
        {
            "id": call.new_id("inpay"),
            "object": "invoice_payment",
            "amount_paid": None,
            "amount_requested": invoice["amount_due"],
            "created": call.now,
            "currency": invoice["currency"],
            "invoice": invoice["id"],
            "is_default": True,
            "livemode": False,
            "payment": {"payment_intent": intent["id"], "type": "payment_intent"},
            "status": "open",
            "status_transitions": {"canceled_at": None, "paid_at": None},
        }
    )


def open_payment(call: Call, invoice: Json) -> Json | None:
    """The invoice payment that still waits for money."""
    found = call.store.find(
        "invoice_payment",
        "json_extract(body, '$.invoice') = ? AND json_extract(body, '$.status') = 'open'",
        (invoice["id"],),
    )
    return found[0] if found else None


def pay(call: Call, invoice: Json, method: Json) -> None:
    """Charge an open (or uncollectible) invoice; a decline leaves it open, is recorded, and raises Stripe's 402."""
    payment = open_payment(call, invoice)
    assert payment is not None, "an invoice that is open has a payment that waits"
    intent = call.need("payment_intent", payment["payment"]["payment_intent"])
    before = dict(invoice)
    refused = charging.confirm(call, intent, method)
    invoice["attempted"] = True
    invoice["attempt_count"] = max(invoice["attempt_count"], 1)  # only automatic retries count further
    if refused:
        call.store.save(invoice)
        _set_delinquent(call, invoice, delinquent=True)
        emit(call, "invoice.updated", invoice, changed(before, invoice))
        if refused == "authentication_required":
            emit(call, "invoice.payment_action_required", invoice)
        emit(call, "invoice.payment_failed", invoice)
        raise _declined(refused, intent, method)
    payment.update(
        amount_paid=invoice["amount_due"],
        status="paid",
        status_transitions={**payment["status_transitions"], "paid_at": call.now},
    )
    call.store.save(payment)
    emit(call, "invoice_payment.paid", payment)
    _set_delinquent(call, invoice, delinquent=False)
    _mark_paid(call, invoice, invoice["amount_due"], before)


def _declined(refused: str, intent: Json, method: Json) -> ApiError:
    if refused == "authentication_required":
        return ApiError(
            402,
            "This payment requires additional user action before it can be completed successfully. Payment can be"
            " completed using the PaymentIntent associated with the invoice.",
            type="card_error",
            code="invoice_payment_intent_requires_action",
            extra={"payment_intent": public(intent)},
            keeps_work=True,
        )
    return charging.card_error(
        cards.DECLINES[refused], charge=intent["latest_charge"], payment_intent=intent, payment_method=method
    )


def _set_delinquent(call: Call, invoice: Json, *, delinquent: bool) -> None:
    customer = call.need("customer", invoice["customer"])
    if customer["delinquent"] != delinquent:
        customer["delinquent"] = delinquent
        call.store.save(customer)
        emit(call, "customer.updated", customer, {"delinquent": not delinquent})


def _mark_paid(call: Call, invoice: Json, amount: int, before: Json | None = None) -> None:
    before = before or dict(invoice)
    invoice.update(
        status="paid",
        amount_paid=amount,
        amount_remaining=0,
        attempted=True,
        status_transitions={**invoice["status_transitions"], "paid_at": call.now},
    )
    call.store.save(invoice)
    emit(call, "invoice.updated", invoice, changed(before, invoice))
    emit(call, "invoice.paid", invoice)
    emit(call, "invoice.payment_succeeded", invoice)


def pay_elsewhere(call: Call, invoice: Json) -> None:
    """Paid out of band: no charge, no money at Stripe."""
    before = dict(invoice)
    _cancel_payment(call, invoice)
    invoice["amount_paid_off_stripe"] = invoice["amount_due"]
    _mark_paid(call, invoice, invoice["amount_due"], before)


def _cancel_payment(call: Call, invoice: Json) -> None:
    payment = open_payment(call, invoice)
    if payment is None:
        return
    payment.update(status="canceled", status_transitions={**payment["status_transitions"], "canceled_at": call.now})
    call.store.save(payment)
    intent = call.need("payment_intent", payment["payment"]["payment_intent"])
    intent.update(status="canceled", canceled_at=call.now, cancellation_reason="void_invoice")
    call.store.save(intent)
    emit(call, "payment_intent.canceled", intent)


def void(call: Call, invoice: Json) -> None:
    """Open or uncollectible to void; a balance that finalisation took is given back."""
    if invoice["status"] not in ("open", "uncollectible"):
        raise ApiError(400, f"You can only void an open or uncollectible invoice. This invoice is {invoice['status']}.")
    before = dict(invoice)
    _cancel_payment(call, invoice)
    customer = call.need("customer", invoice["customer"])
    _move_balance(call, customer, customer["balance"] + invoice["starting_balance"] - invoice["ending_balance"])
    invoice.update(
        status="void",
        status_transitions={**invoice["status_transitions"], "voided_at": call.now},
    )
    save(call, before, invoice)
    emit(call, "invoice.voided", invoice)


def mark_uncollectible(call: Call, invoice: Json) -> None:
    """Open to uncollectible; it may still be paid or voided."""
    if invoice["status"] != "open":
        raise ApiError(400, f"You can only mark an open invoice as uncollectible. This invoice is {invoice['status']}.")
    before = dict(invoice)
    invoice.update(
        status="uncollectible",
        status_transitions={**invoice["status_transitions"], "marked_uncollectible_at": call.now},
    )
    save(call, before, invoice)
    emit(call, "invoice.marked_uncollectible", invoice)
