"""Give a top-up's credit once its invoice is paid, in the transaction that settles it; not before, and once.

Whatever settles an invoice (a charge, a webhook, the customer balance) comes here. The wallet is locked before balances
are: call :func:`lock` before the payment is posted.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.money import plain
from invoicing.models import AutoTopUpWork, Invoice, TopUp
from ledger import buying, drawing, posting
from ledger.models import CreditGrant
from ledger.rules.terms import Terms


def lock(invoices: Sequence[Invoice], *, at: datetime) -> None:
    """Lock the wallets that the open top-ups among these invoices will fill."""
    waiting = TopUp.objects.filter(invoice__in=invoices, status=TopUp.Status.OPEN).select_related("customer")
    owners = {(one.customer.key, one.unit) for one in waiting}
    if owners:
        posting.enter_period(effective_at=at)
        drawing.lock_wallets(owners)


def fulfil(invoice: Invoice, *, paid_at: datetime, at: datetime, actor: Actor) -> CreditGrant | None:
    """Issue the credit of a paid invoice's top-up; None if it has none. Called again it answers the same credit."""
    top_up = TopUp.objects.select_related("customer").filter(invoice=invoice).first()
    if top_up is None or invoice.status != Invoice.Status.PAID:
        return None
    if top_up.grant is not None:
        return top_up.grant
    grant = buying.buy(
        terms=_terms(top_up, paid_at),
        currency=top_up.currency,
        price=top_up.price.amount,
        rate=top_up.rate,
        source_invoice=invoice.public_id,
        key=f"topup:{top_up.public_id}",
        actor=actor,
        at=at,
        effective_at=paid_at,
    )
    TopUp.objects.filter(pk=top_up.pk).update(status=TopUp.Status.PAID, grant=grant, settled_at=paid_at)
    if top_up.rule_id is not None:  # what was declined before is over: the rule looks again at once
        work = AutoTopUpWork.objects.filter(customer=top_up.customer, unit=top_up.unit)
        work.update(tries=0, next_try_at=None, seen_entry=0)
    record(
        at=at,
        actor=actor,
        action="topup.paid",
        subject_type="top_up",
        subject_key=top_up.public_id,
        customer_key=top_up.customer.key,
        summary=f"Top-up paid: {plain(top_up.quantity)} {top_up.unit} can be used",
    )
    return grant


def _terms(top_up: TopUp, paid_at: datetime) -> Terms:
    return Terms(
        customer_key=top_up.customer.key,
        kind="paid",
        amount=top_up.quantity,
        unit=top_up.unit,
        reason_code=top_up.reason_code,
        priority=top_up.priority,
        effective_at=paid_at,
        expires_at=None if top_up.valid_days is None else paid_at + timedelta(days=top_up.valid_days),
        scope=tuple(top_up.scope),
        ticket=top_up.ticket,
        note=top_up.note,
    )
