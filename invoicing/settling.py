"""Applying what Stripe says about money, exactly once, whatever the order of its messages.

:func:`refresh` is one of the few orchestrations with two transactions around a network call:

1. Take the next fetch sequence of the object and commit it.
2. Fetch the object as it is now.
3. In one transaction: lock the object's row, stop if a newer fetch was applied, and apply.

A fetch that began earlier can only be older news, so applying in the order of the sequence is safe; and each payment is
posted under ``payment:<charge>``, so even the same news twice writes once.
"""

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import F
from moneyed import Money

from billing_ops.kit import failing
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError
from invoicing import fulfilling
from invoicing.models import Invoice, Payment, PaymentAttempt, StripeObject
from invoicing.rules.settlement import Share, from_processor, spread
from invoicing.stripe import gateway
from invoicing.transitions import move_attempt, move_invoice
from ledger import posting
from ledger.rules import movements

STRIPE = Actor("stripe", "stripe", "Stripe")
COLLECT = "invoicing.collect"
"""The task under which a failure to collect is kept; whoever settles the invoice clears it."""

PAID_IN_PART = "paid_in_part"
"""The failure code of an attempt whose invoice was settled by less than the attempt asked for."""

_PAYABLE = (Invoice.Status.OPEN, Invoice.Status.UNCOLLECTIBLE)


class MirrorDiffers(BillingError):
    """Stripe's mirror is not what we sent: amount or currency differ, so nothing is posted from it."""

    code = "stripe.mirror_differs"
    http_status = 409
    remedy = "Finance compares the invoice with its mirror in Stripe before anything else is done with it."


def refresh(*, stripe_id: str, at: datetime) -> Invoice | None:
    """Fetch the mirror and settle our invoice from it; None when it is not the mirror of any invoice of ours.

    Raises what the gateway raises, and :class:`MirrorDiffers`.
    """
    sequence = _take_sequence(stripe_id)
    mirror = gateway.fetch(stripe_id)
    with transaction.atomic():
        row = StripeObject.objects.select_for_update().get(object_id=stripe_id)
        invoice = _invoice_of(mirror)
        if invoice is None or row.applied_seq > sequence:
            return invoice
        _apply(invoice, mirror, at)
        row.applied_seq = sequence
        row.save(update_fields=["applied_seq"])
    return invoice


def _take_sequence(stripe_id: str) -> int:
    with transaction.atomic():
        StripeObject.objects.get_or_create(object_id=stripe_id)
        StripeObject.objects.filter(object_id=stripe_id).update(fetch_seq=F("fetch_seq") + 1)
        return StripeObject.objects.values_list("fetch_seq", flat=True).get(object_id=stripe_id)


def _invoice_of(mirror: gateway.Mirror) -> Invoice | None:
    """Our invoice, found by the reference we gave the mirror and adopted if the crash came before its id was stored."""
    invoice = Invoice.objects.select_for_update().filter(public_id=mirror.reference).first()
    if invoice is None:
        return None
    if invoice.stripe_id is None:
        Invoice.objects.filter(pk=invoice.pk).update(stripe_id=mirror.id)
        invoice.refresh_from_db()
    return invoice if invoice.stripe_id == mirror.id else None


def _apply(invoice: Invoice, mirror: gateway.Mirror, at: datetime) -> None:
    names = [name for payment in mirror.payments for name in payment.ids]
    known = set(Payment.objects.filter(stripe_charge_id__in=names).values_list("stripe_charge_id", flat=True))
    new = [payment for payment in mirror.payments if known.isdisjoint(payment.ids)]
    if new and mirror.currency != invoice.currency:
        raise MirrorDiffers(f"The mirror of {invoice} is in {mirror.currency}.", invoice=invoice.public_id)
    for payment in sorted(new, key=lambda one: (one.paid_at, one.charge_id)):
        _post_payment(invoice, payment, at)
    if mirror.payments:
        _release_carried(invoice)
        _answer_attempts(invoice, mirror, at)


def _post_payment(invoice: Invoice, payment: gateway.MirrorPayment, at: datetime) -> None:
    """Post the cash, settle the invoice and those carried with it, and keep the rest as customer balance."""
    invoices = [invoice, *Invoice.objects.select_for_update().filter(collected_with=invoice).order_by("pk")]
    fulfilling.lock(invoices, at=at)
    amount = from_processor(payment.amount_minor, invoice.currency)
    open_amounts = [one.open_amount.amount if _is_payable(one) else Decimal(0) for one in invoices]
    shares = spread(amount.amount, open_amounts)
    entry = posting.post(
        movement=movements.PAYMENT_SUCCEEDED,
        key=f"payment:{payment.charge_id}",
        lines=movements.payment_succeeded(
            customer_key=invoice.customer.key,
            currency=invoice.currency,
            amount=amount.amount,
            applied=shares.applied,
        ),
        effective_at=payment.paid_at,
        at=at,
        actor=STRIPE,
        customer_key=invoice.customer.key,
        refs={"invoice": invoice.public_id, "stripe": payment.charge_id},
        late="move",
    )
    Payment.objects.create(
        stripe_charge_id=payment.charge_id,
        invoice=invoice,
        currency=invoice.currency,
        amount=amount,
        applied=Money(shares.applied, invoice.currency),
        entry=entry,
        paid_at=payment.paid_at,
        recorded_at=at,
    )
    for one, share in zip(invoices, shares.parts, strict=True):
        _settle(one, share, payment.paid_at, at)


def _is_payable(invoice: Invoice) -> bool:
    return invoice.status in _PAYABLE


def _settle(invoice: Invoice, share: Share, paid_at: datetime, at: datetime) -> None:
    if not share.amount:
        return
    paid = invoice.amount_paid.amount + share.amount
    if share.settles:
        move_invoice(invoice, Invoice.Status.PAID, amount_paid=paid, paid_at=paid_at)
        failing.clear(task=COLLECT, subject=invoice.public_id)
        fulfilling.fulfil(invoice, paid_at=paid_at, at=at, actor=STRIPE)
    else:
        Invoice.objects.filter(pk=invoice.pk).update(amount_paid=paid)
        invoice.refresh_from_db()  # another payment of the same news may follow


def _release_carried(invoice: Invoice) -> None:
    """Let go of what a paid invoice still carries: nobody collects a paid one, so the rest waits for another."""
    if invoice.status == Invoice.Status.PAID:
        invoice.carried.filter(status__in=_PAYABLE).update(collected_with=None)


def _answer_attempts(invoice: Invoice, mirror: gateway.Mirror, at: datetime) -> None:
    """The try that waits succeeded once Stripe took all that is due on the mirror: every try asks for all the rest.

    Less leaves it waiting. Less that settled the invoice, and not what it carried, ends it: nothing is left to try.
    """
    taken = sum(payment.amount_minor for payment in mirror.payments)
    pending = PaymentAttempt.objects.select_for_update().filter(invoice=invoice, status=PaymentAttempt.Status.PENDING)
    for attempt in pending:
        if taken >= mirror.due_minor:
            move_attempt(attempt, PaymentAttempt.Status.SUCCEEDED, resolved_at=at, next_try_at=None)
        elif invoice.status == Invoice.Status.PAID:
            move_attempt(
                attempt,
                PaymentAttempt.Status.FAILED,
                failure_code=PAID_IN_PART,
                failure_message="A smaller payment settled this invoice; what it carried goes to the next one.",
                resolved_at=at,
                next_try_at=None,
            )
