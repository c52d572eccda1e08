"""Give unused paid credit back as money that is owed, with the tax that it was sold with.

The money stands on Refunds payable (2300) from then on. Paying it out through Stripe is another act, which will take it
from there (``refund.succeeded``) or put it back (``refund.failed``).
"""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing_ops.kit.actor import Actor
from billing_ops.kit.money import round_amount
from invoicing.accruing import lock_customer
from invoicing.models import InvoiceLine, TopUp
from ledger import balances, buying
from ledger.models import CreditGrant, Entry
from ledger.rules.worth import valued


def refund_credit(
    *,
    grant: CreditGrant,
    reason_code: str,
    key: str,
    at: datetime,
    actor: Actor,
    amount: Decimal | None = None,
    note: str = "",
    ticket: str = "",
) -> Entry:
    """Owe a customer what is left of a top-up's credit, or ``amount`` of it; the same key answers the same entry.

    Its tax goes back in proportion to the quantity, rounded once over all refunds of the grant, so that the last one
    takes the rest. Credit that no top-up sold has no tax. Raises as ``buying.refund``.
    """
    with transaction.atomic():
        top_up = TopUp.objects.select_related("customer").filter(grant=_origin(grant)).first()
        if top_up is not None:
            lock_customer(top_up.customer_id)
        return buying.refund(
            grant=grant,
            amount=amount,
            tax=_tax(grant, amount, top_up, at),
            reason_code=reason_code,
            key=key,
            at=at,
            actor=actor,
            note=note,
            ticket=ticket,
        )


def _origin(grant: CreditGrant) -> CreditGrant:
    """The grant that was bought, if this one was moved from it."""
    while grant.from_grant is not None:
        grant = grant.from_grant
    return grant


def _tax(grant: CreditGrant, amount: Decimal | None, top_up: TopUp | None, at: datetime) -> dict[str, Decimal]:
    """The tax on what is refunded: that on all refunds of the grant so far, less what went back before."""
    line = InvoiceLine.objects.filter(invoice=top_up.invoice_id).first() if top_up else None
    if top_up is None or line is None or not line.tax_amount.amount:
        return {}
    standing = balances.with_balances([grant], at=at)[0]
    before = standing.refunded
    after = before + (standing.remaining - standing.held if amount is None else amount)
    per_unit = line.tax_amount.amount / top_up.quantity

    def due(quantity: Decimal) -> Decimal:
        if quantity == top_up.quantity:
            return Decimal(line.tax_amount.amount)
        return round_amount(valued(per_unit, quantity), line.currency)

    return {line.tax_jurisdiction: due(after) - due(before)}
