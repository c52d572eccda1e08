"""Collecting an open invoice through Stripe: two transactions around the calls, with the attempt's row in between.

1. One transaction: lock the invoice, refuse what cannot be collected, commit the attempt with its idempotency key. An
   attempt that still waits for an answer is taken up again: its key makes the charge happen once.
2. Outside: make sure that the mirror exists with exactly our lines, then ask Stripe to pay it.
3. One transaction: write the answer. An unknown outcome leaves the attempt pending with a time to try again.

Money is posted by ``settling`` alone, from what Stripe says when it is asked.
"""

from dataclasses import dataclass, replace
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.errors import BillingError, Conflict
from billing_ops.kit.failing import wait_after
from billing_ops.kit.fields import display
from invoicing import mirroring, settling
from invoicing.accruing import lock_customer
from invoicing.finalizing import InvoiceNotFound
from invoicing.models import Invoice, PaymentAttempt
from invoicing.rules.settlement import too_small_to_charge
from invoicing.stripe import gateway
from invoicing.transitions import StatusChanged, move_attempt


class NotCollectable(Conflict):
    """Only an open invoice with something left to pay can be collected."""

    code = "invoice.not_collectable"


class AlreadyPaid(NotCollectable):
    """There is nothing left to pay."""

    code = "invoice.already_paid"
    remedy = "Nothing is left to do: open the invoice to see its payments."


class TooSmallToCharge(NotCollectable):
    """The processor does not take so little."""

    code = "invoice.below_minimum_charge"
    kept = "The receivable stays open."
    remedy = "It is collected together with the customer's next invoice."


class NoPaymentMethod(NotCollectable):
    """There is nothing to charge."""

    code = "customer.no_payment_method"
    kept = "The receivable stays open."
    remedy = "Set the customer's default payment method, then collect again."


@dataclass(frozen=True, slots=True)
class _Work:
    invoice: Invoice
    attempt: PaymentAttempt
    tried_before: bool


def collect(*, public_id: str, at: datetime, actor: Actor, request_key: str = "") -> PaymentAttempt:
    """Collect an invoice now and return the attempt: succeeded, failed (declined) or pending (outcome unknown).

    The same ``request_key`` for the same invoice is the same request: once answered, it gets that attempt again.

    Raises :class:`InvoiceNotFound`, :class:`AlreadyPaid`, :class:`TooSmallToCharge`, :class:`NoPaymentMethod`,
    :class:`NotCollectable`; ``gateway.Refused`` when Stripe refuses the request as such, and
    ``settling.MirrorDiffers`` when Stripe's amount is not ours.
    """
    work = _begin(public_id, at, actor, request_key)
    if work.attempt.status != PaymentAttempt.Status.PENDING:
        return work.attempt
    try:
        if _answered_meanwhile(work, at):
            return work.attempt
        customer = mirroring.ensure_customer(work.invoice.customer, key=work.attempt.idempotency_key, at=at)
        attempt = _fix_payment_method(work.attempt, customer.default_payment_method)
        mirror = mirroring.ensure(work.invoice, customer.id, tried_before=work.tried_before)
        if mirror.status != "paid":
            _pay(work, mirror.id, attempt, at)
        settling.refresh(stripe_id=mirror.id, at=at)
    except gateway.Declined as error:
        return _failed(work.attempt, error, at, code=str(error.details.get("decline_code", "")))
    except gateway.Unavailable as error:
        return _unknown(work.attempt, str(error), at)
    except gateway.Refused as error:
        _unknown(work.attempt, str(error), at)
        raise
    except settling.MirrorDiffers as error:
        # Settled by another worker since we began, it carries nothing any more: that is the answer, and no difference.
        if _unknown(work.attempt, str(error), at).status == PaymentAttempt.Status.PENDING:
            raise
    work.attempt.refresh_from_db()
    if work.attempt.status == PaymentAttempt.Status.PENDING:
        # Stripe took the request and has not said yet that it was paid (a bank debit, say): the webhook will.
        return _unknown(work.attempt, "Waiting for Stripe to say that it was paid.", at)
    return work.attempt


def _answered_meanwhile(work: _Work, at: datetime) -> bool:
    """Read back what came of an earlier try: a card changed since must not hide that the old one was charged."""
    if not work.tried_before or work.invoice.stripe_id is None:
        return False
    settling.refresh(stripe_id=work.invoice.stripe_id, at=at)
    work.attempt.refresh_from_db()
    return work.attempt.status != PaymentAttempt.Status.PENDING


def _pay(work: _Work, mirror: str, attempt: PaymentAttempt, at: datetime) -> None:
    """Ask for the money. A refusal is an answer: the same request would be refused again, another attempt may not."""
    try:
        gateway.pay(mirror=mirror, payment_method=attempt.payment_method, key=attempt.idempotency_key)
    except gateway.Refused as error:
        if not _answered_meanwhile(replace(work, tried_before=True), at):
            _failed(work.attempt, error, at, code=str(error.details.get("stripe_code", "")))
            raise


def due(*, at: datetime) -> list[str]:
    """Invoices to collect now: open ones nobody tried yet, and attempts whose answer is to be asked for again.

    All of them: what is too small or has no card stays at the front for long and must not hide the others.
    """
    waiting = PaymentAttempt.objects.filter(status=PaymentAttempt.Status.PENDING, next_try_at__lte=at)
    retried = list(waiting.order_by("next_try_at").values_list("invoice__public_id", flat=True))
    untried = Invoice.objects.filter(
        status=Invoice.Status.OPEN, attempts__isnull=True, collected_with__isnull=True, finalized_at__lte=at
    )
    return retried + list(untried.order_by("finalized_at", "pk").values_list("public_id", flat=True))


def _begin(public_id: str, at: datetime, actor: Actor, request_key: str) -> _Work:
    owner = Invoice.objects.filter(public_id=public_id).values_list("customer_id", flat=True).first()
    if owner is None:
        raise InvoiceNotFound(f"There is no invoice {public_id}.")
    with transaction.atomic():
        lock_customer(owner)  # two invoices of one customer could each want to carry the other's small ones
        invoice = Invoice.objects.select_for_update(of=("self",)).select_related("customer").get(public_id=public_id)
        asked = invoice.attempts.filter(request_key=request_key).first() if request_key else None
        waiting = asked or invoice.attempts.filter(status=PaymentAttempt.Status.PENDING).first()
        if waiting is not None:
            return _Work(invoice, waiting, tried_before=True)
        _refuse(invoice)
        number = (invoice.attempts.aggregate(last=Max("number"))["last"] or 0) + 1
        attempt = PaymentAttempt.objects.create(
            invoice=invoice,
            number=number,
            idempotency_key=f"pay:{invoice.public_id}:{number}",
            request_key=request_key or None,
            currency=invoice.currency,
            amount=mirroring.amount_to_collect(invoice),
            requested_by=str(actor),
            created_at=at,
            next_try_at=at + wait_after(1),
        )
        record(
            at=at,
            actor=actor,
            action="payment.attempted",
            subject_type="invoice",
            subject_key=invoice.public_id,
            customer_key=invoice.customer.key,
            summary=f"Attempt {number} to collect {display(attempt.amount)} for {invoice}",
        )
        return _Work(invoice, attempt, tried_before=number > 1)


def _refuse(invoice: Invoice) -> None:
    """Raise when it cannot be collected. Small invoices are carried first: together they may be enough to charge."""
    if invoice.status == Invoice.Status.PAID:
        raise AlreadyPaid(f"Invoice {invoice} is paid.", invoice=invoice.public_id)
    if invoice.status != Invoice.Status.OPEN:
        raise NotCollectable(f"Invoice {invoice} is {invoice.status}.", invoice=invoice.public_id)
    if invoice.collected_with is not None:
        raise NotCollectable(
            f"Invoice {invoice} is collected together with {invoice.collected_with}.",
            kept="The receivable stays open.",
            invoice=invoice.public_id,
        )
    # One that was paid in part while it was carried is small, has no mirror and gets none: a mirror charges all of it.
    if invoice.stripe_id is None and not invoice.amount_paid:
        mirroring.carry_small_ones(invoice)  # undone with the transaction when it is refused
    left = mirroring.amount_to_collect(invoice)
    if too_small_to_charge(left.amount, invoice.currency):
        raise TooSmallToCharge(f"{left} is below the processor's minimum.", amount=str(left.amount))
    if not invoice.customer.default_payment_method:
        raise NoPaymentMethod(f"{invoice.customer} has no payment method.", customer=invoice.customer.key)


def _fix_payment_method(attempt: PaymentAttempt, payment_method: str) -> PaymentAttempt:
    """Decide once what this attempt charges: repeated under its key, a request must ask for the same."""
    PaymentAttempt.objects.filter(pk=attempt.pk, payment_method="").update(payment_method=payment_method)
    attempt.refresh_from_db()
    return attempt


def _failed(attempt: PaymentAttempt, error: BillingError, at: datetime, *, code: str) -> PaymentAttempt:
    try:
        return move_attempt(
            attempt,
            PaymentAttempt.Status.FAILED,
            failure_code=code[:64],
            failure_message=error.message[:500],
            resolved_at=at,
            next_try_at=None,
            tries=attempt.tries + 1,
        )
    except StatusChanged:  # another worker asked with the same key, and wrote the answer first
        attempt.refresh_from_db()
        return attempt


def _unknown(attempt: PaymentAttempt, message: str, at: datetime) -> PaymentAttempt:
    PaymentAttempt.objects.filter(pk=attempt.pk, status=PaymentAttempt.Status.PENDING).update(
        tries=attempt.tries + 1, failure_message=message[:500], next_try_at=at + wait_after(attempt.tries + 1)
    )
    attempt.refresh_from_db()
    return attempt
