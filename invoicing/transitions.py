"""The one writer of ``status``: compare-and-set, along the table in ``rules.lifecycle``."""

from typing import Any

from billing_ops.kit.errors import Conflict
from invoicing.models import Invoice, PaymentAttempt
from invoicing.rules import lifecycle


class StatusChanged(Conflict):
    """The row is not in the state that this operation starts from (any more)."""

    code = "status.changed"
    remedy = "Reload it to see what it is now."


def move_invoice(invoice: Invoice, to: str, **fields: Any) -> Invoice:
    """Move an invoice to another status and set ``fields`` with it, or raise :class:`StatusChanged`."""
    _refuse_unknown(lifecycle.INVOICE, invoice.status, to, str(invoice))
    changed = Invoice.objects.filter(pk=invoice.pk, status=invoice.status).update(status=to, **fields)
    if not changed:
        raise StatusChanged(f"{invoice} is no longer {invoice.status}.", invoice=invoice.public_id)
    invoice.refresh_from_db()
    return invoice


def move_attempt(attempt: PaymentAttempt, to: str, **fields: Any) -> PaymentAttempt:
    """Move a payment attempt to another status and set ``fields`` with it, or raise :class:`StatusChanged`."""
    _refuse_unknown(lifecycle.ATTEMPT, attempt.status, to, str(attempt))
    changed = PaymentAttempt.objects.filter(pk=attempt.pk, status=attempt.status).update(status=to, **fields)
    if not changed:
        raise StatusChanged(f"{attempt} is no longer {attempt.status}.", attempt=attempt.idempotency_key)
    attempt.refresh_from_db()
    return attempt


def _refuse_unknown(table: Any, before: str, after: str, what: str) -> None:
    if not lifecycle.allowed(table, before, after):
        raise StatusChanged(f"{what} is {before} and cannot become {after}.", before=before, after=after)
