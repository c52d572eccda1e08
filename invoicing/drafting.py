"""Making drafts: one invoice a customer, currency and trigger, one transaction each, resumable.

1. Lock the customer, then the customer's subscriptions that are due at this edge. Draw what was used and not drawn yet:
   what credits do not cover of it belongs to this bill.
2. Take or make the draft under its key, so a run that died in the middle goes on where it stopped.
3. Write a line for each charge: arrears of the period that ended, late usage of earlier ones, the advance of the next.
4. Open the next period of each subscription, which moves ``due_at``; with the lines, or not at all.
"""

import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from moneyed import Money

from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.money import zero
from invoicing import charges, drawdowns, drawing_down, overages
from invoicing.accruing import lock_customer
from invoicing.models import Invoice, InvoiceLine, OverageBill
from invoicing.rules.due import trigger_of_edge, trigger_of_late_usage, trigger_of_overage
from invoicing.rules.lines import RULE_OVERAGE
from invoicing.setting_aside import note_set_aside
from plans import subscribing
from plans.models import Customer, Subscription


def draft(*, customer_id: int, edge: datetime, at: datetime, actor: Actor, wait: bool = True) -> list[Invoice]:
    """Draft what this edge makes due for a customer, an invoice for each currency.

    Returns no invoice when another worker was faster, or when there is nothing to say. Usage is rated as known at
    ``at``; it is rated again at finalisation, ``INVOICE_GRACE_SECONDS`` after the edge. Without ``wait`` it raises
    ``CustomerBusy`` while another worker bills the customer.
    """
    with transaction.atomic():
        customer = lock_customer(customer_id, wait=wait)
        due = Subscription.objects.select_for_update(no_key=True, of=("self",)).filter(customer=customer, due_at=edge)
        drawing_down.catch_up(customer=customer, at=at, actor=actor)
        by_currency: dict[str, list[Subscription]] = {}
        for subscription in due.select_related("version", "customer").order_by("pk"):
            by_currency.setdefault(subscription.version.currency, []).append(subscription)
        made = []
        for currency, subscriptions in sorted(by_currency.items()):
            found = [charge for one in subscriptions for charge in _charges_of(one, edge, at)]
            beyond = overages.to_bill(customer_key=customer.key, currency=currency)
            if found or (beyond is not None and beyond.amount > 0):
                # Only usage waits for late events; fees alone may be finalised at once.
                waits = any(charge.kind == InvoiceLine.Kind.USAGE for charge in found) or drawdowns.among(subscriptions)
                grace = timedelta(seconds=settings.INVOICE_GRACE_SECONDS if waits else 0)
                invoice = _take_or_make(customer, currency, trigger_of_edge(edge), edge + grace, at=at, actor=actor)
                add_lines(invoice, found, at=at)
                take_up_overage(invoice, customer, at=at)
                made.append(invoice)
        return made


def draft_overage(*, customer_id: int, currency: str, at: datetime, actor: Actor) -> Invoice | None:
    """Draft the use beyond credits of a customer whom no period's edge bills; None when nothing is to be billed."""
    with transaction.atomic():
        customer = lock_customer(customer_id)
        drawing_down.catch_up(customer=customer, at=at, actor=actor)
        beyond = overages.to_bill(customer_key=customer.key, currency=currency)
        if beyond is None or beyond.amount <= 0:
            return None
        invoice = _take_or_make(customer, currency, trigger_of_overage(at), at, at=at, actor=actor)
        take_up_overage(invoice, customer, at=at)
        return invoice


def take_up_overage(invoice: Invoice, customer: Customer, *, at: datetime, final: bool = False) -> list[InvoiceLine]:
    """Bring a draft's line for use beyond credits up to date: none, or one. Call it with the customer locked.

    ``final`` binds the line to what it bills, once and for all (:class:`OverageBill`): nothing of it is billed again.
    """
    found = overages.to_bill(customer_key=customer.key, currency=invoice.currency)
    line = invoice.lines.filter(kind=InvoiceLine.Kind.OVERAGE).first()
    if found is None and line is None:
        return []
    line = line or _overage_line(invoice, at)
    exact, amount = (found.exact, found.amount) if found else (Decimal(0), Decimal(0))
    line.description = found.description if found else "Use beyond credits: none"
    line.cumulative_amount = found.cumulative if found else Decimal(0)
    line.unrounded_amount, line.amount = exact, Money(amount, invoice.currency)
    line.working = found.working(invoice.currency) if found else []
    line.watermark, line.rated_at = found.through_version if found else None, at
    if found and found.parts:
        line.service_start = min(part.first for part in found.parts)
        line.service_end = max(part.last for part in found.parts) + timedelta(seconds=1)
    line.save()
    if found and final:
        OverageBill.objects.create(
            line=line,
            account_id=found.account_id,
            after_version=found.after_version,
            through_version=found.through_version,
            cumulative=found.cumulative,
            amount=found.exact,
            billed_at=at,
        )
    write_sums(invoice)
    return [line]


def _overage_line(invoice: Invoice, at: datetime) -> InvoiceLine:
    nothing = zero(invoice.currency)
    last = invoice.lines.aggregate(last=Max("position"))["last"] or 0
    return InvoiceLine(
        invoice=invoice,
        position=last + 1,
        kind=InvoiceLine.Kind.OVERAGE,
        service_start=at,
        service_end=at + timedelta(seconds=1),
        currency=invoice.currency,
        quantity=Decimal(1),
        credits_applied=nothing,
        tax_base=nothing,
        tax_amount=nothing,
        rule=RULE_OVERAGE,
        rated_at=at,
    )


def draft_late(*, subscription_id: int, at: datetime, actor: Actor) -> Invoice | None:
    """Draft the late usage of a subscription that has ended; None when nothing came in late.

    Only what raises the bill is drafted by itself: with nothing else to charge, less usage needs a credit note.
    """
    with transaction.atomic():
        subscription = Subscription.objects.select_related("version", "customer").get(pk=subscription_id)
        lock_customer(subscription.customer_id)
        found = charges.late(subscription, before=at, at=at)
        if sum((charge.amounts.amount for charge in found), Decimal(0)) <= 0:
            return None
        trigger = trigger_of_late_usage(subscription.key, at)
        invoice = _take_or_make(subscription.customer, subscription.version.currency, trigger, at, at=at, actor=actor)
        add_lines(invoice, found, at=at)
        return invoice


def add_lines(invoice: Invoice, found: Sequence[charges.Charge], *, at: datetime) -> None:
    """Write charges as lines of a draft and bring its sums up to date (credits and tax come at finalisation)."""
    last = invoice.lines.aggregate(last=Max("position"))["last"] or 0
    nothing = zero(invoice.currency)
    InvoiceLine.objects.bulk_create(
        InvoiceLine(
            invoice=invoice,
            position=position,
            item=charge.item,
            price=charge.item.price,
            kind=charge.kind,
            service_start=charge.period.start,
            service_end=charge.period.end,
            currency=invoice.currency,
            credits_applied=nothing,
            tax_base=nothing,
            tax_amount=nothing,
            **rated_fields(charge),
        )
        for position, charge in enumerate(found, start=last + 1)
    )
    note_set_aside((charge for charge in found if charge.kind == InvoiceLine.Kind.USAGE), at=at)
    write_sums(invoice)


def rated_fields(charge: charges.Charge) -> dict[str, object]:
    """The columns of a line that rating decides."""
    amounts = charge.amounts
    return {
        "description": charge.description,
        "revision": amounts.revision,
        "quantity": amounts.quantity,
        "cumulative_amount": amounts.cumulative,
        "unrounded_amount": amounts.unrounded,
        "amount": Money(amounts.amount, charge.item.price.version.currency),
        "rule": amounts.rule,
        "working": list(amounts.working),
        "watermark": charge.watermark,
        "rated_at": charge.rated_at,
    }


def write_sums(invoice: Invoice) -> None:
    """Sum a draft's lines, without credits and tax, which are decided at finalisation."""
    subtotal = sum((line.amount for line in invoice.lines.all()), zero(invoice.currency))
    invoice.subtotal = invoice.total = invoice.amount_due = subtotal
    invoice.save(update_fields=["subtotal", "total", "amount_due"])


def _charges_of(subscription: Subscription, edge: datetime, at: datetime) -> list[charges.Charge]:
    number = subscribing.open_next_period(subscription=subscription, at=at)
    items = charges.items_of(subscription)
    due = charges.at_edge(subscription, number, at=at, items=items)
    return due + charges.late(subscription, before=edge, at=at, items=items)


def _take_or_make(
    customer: Customer, currency: str, trigger: str, auto_finalize_at: datetime, *, at: datetime, actor: Actor
) -> Invoice:
    """The draft under this trigger. A final invoice of the same trigger stays as it is, and the key gets a suffix."""
    taken = dict(
        Invoice.objects.filter(customer=customer, currency=currency, trigger__startswith=trigger).values_list(
            "trigger", "status"
        )
    )
    key, copy = trigger, 1
    while taken.get(key, Invoice.Status.DRAFT) != Invoice.Status.DRAFT:
        copy += 1
        key = f"{trigger}#{copy}"
    if key in taken:
        return Invoice.objects.select_for_update().get(customer=customer, currency=currency, trigger=key)
    nothing = zero(currency)
    invoice = Invoice.objects.create(
        public_id=f"inv_{secrets.token_hex(10)}",
        customer=customer,
        currency=currency,
        trigger=key,
        subtotal=nothing,
        credits_applied=nothing,
        tax_total=nothing,
        total=nothing,
        balance_applied=nothing,
        amount_due=nothing,
        amount_paid=nothing,
        drafted_at=at,
        auto_finalize_at=auto_finalize_at,
    )
    record(
        at=at,
        actor=actor,
        action="invoice.drafted",
        subject_type="invoice",
        subject_key=invoice.public_id,
        customer_key=customer.key,
        summary=f"Invoice drafted, to be finalised {auto_finalize_at:%-d %B %Y %H:%M} UTC",
    )
    return invoice
