"""Making a draft final: rated for the last time, numbered, frozen and posted, in one transaction.

1. Lock the customer, then the draft. Refuse anything that is not a draft.
2. Rate its usage lines again; true up the accruals, so that what is cleared was accrued. Draw what settles by drawdown
   up to now, and take up use beyond credits.
3. Take credits (grants are burned in the documented order), then tax on what is left, then the customer balance.
4. Post one entry: receivable, credits, accrued usage cleared, fees deferred, tax, rounding.
5. Take the next number, last of all locks, and freeze the row.

A zero invoice is numbered and posts nothing but what clears accrued usage.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from moneyed import Money

from billing_ops.kit import failing, nudging
from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.errors import Conflict, NotFound
from billing_ops.kit.fields import display
from billing_ops.kit.periods import Period
from invoicing import charges, drawing_down, taxing
from invoicing.accruing import accrue_usage, lock_customer
from invoicing.drafting import rated_fields, take_up_overage
from invoicing.models import Invoice, InvoiceLine, NumberSeries
from invoicing.rules import numbering, totals
from invoicing.setting_aside import note_set_aside
from invoicing.transitions import move_invoice
from ledger import balances, crediting, posting
from ledger.models import Entry
from ledger.rules import movements
from plans.models import Customer

TASK = "invoicing.finalize"
"""The task under which a failure to finalise is kept; whoever finalises the invoice clears it."""


class InvoiceNotDraft(Conflict):
    """Only a draft can be finalised; a second finalisation finds it final already."""

    code = "invoice.not_draft"
    remedy = "Nothing is left to do: open the invoice to see its number."


class InvoiceNotFound(NotFound):
    """No invoice has that id."""

    code = "invoice.not_found"


@dataclass(frozen=True, slots=True)
class Settled:
    """The sums of an invoice and what makes them up, before they are written."""

    sums: totals.Totals
    tax: taxing.TaxAnswer
    applied: Sequence[Any]


def finalize(*, public_id: str, at: datetime, actor: Actor, wait: bool = True) -> Invoice:
    """Finalise a draft and return it, open or (when nothing is due) paid.

    Raises :class:`InvoiceNotFound`, :class:`InvoiceNotDraft`, and what the ledger and the tax resolver refuse; without
    ``wait`` also ``CustomerBusy``, while another worker bills the customer.
    """
    found = Invoice.objects.filter(public_id=public_id).values_list("customer_id", flat=True).first()
    if found is None:
        raise InvoiceNotFound(f"There is no invoice {public_id}.")
    with transaction.atomic():
        customer = lock_customer(found, wait=wait)
        invoice = Invoice.objects.select_for_update().get(public_id=public_id)
        invoice.customer = customer
        if invoice.status != Invoice.Status.DRAFT:
            raise InvoiceNotDraft(f"Invoice {invoice} is {invoice.status}, not a draft.", invoice=public_id)
        posting.enter_period(effective_at=at)
        lines = _rate_again(invoice, customer, at, actor)
        drawing_down.catch_up(customer=customer, at=at, actor=actor)
        lines += take_up_overage(invoice, customer, at=at, final=True)
        settled = _settle(invoice, customer, lines, at)
        _write_lines(lines, settled)
        entry = _post(invoice, lines, settled, at=at, actor=actor)
        freeze(invoice, customer, settled, entry, at)
        record(
            at=at,
            actor=actor,
            action="invoice.finalized",
            subject_type="invoice",
            subject_key=invoice.public_id,
            customer_key=customer.key,
            summary=f"{invoice.number} finalised: {display(invoice.amount_due)} due",
        )
        failing.clear(task=TASK, subject=public_id)
        if invoice.status == Invoice.Status.OPEN:
            transaction.on_commit(lambda: nudging.nudge("invoicing.collect", invoice.public_id), robust=True)
    return invoice


def _rate_again(invoice: Invoice, customer: Customer, at: datetime, actor: Actor) -> list[InvoiceLine]:
    """Usage may have arrived since the draft: rate every usage line as of now and accrue what the rating adds."""
    lines = list(
        invoice.lines.exclude(kind=InvoiceLine.Kind.OVERAGE).select_related(
            "item__subscription__customer", "price__meter", "price__version", "item__price__meter",
            "item__price__version",
        ).prefetch_related("item__price__tiers")
    )  # fmt: skip
    rated = []
    for line in lines:
        if line.kind != InvoiceLine.Kind.USAGE:
            continue
        period = Period(line.service_start, line.service_end)
        charge = charges.usage_charge(line.agreed_item, period, at=at, revision=line.revision)
        rated.append(charge)
        for name, value in rated_fields(charge).items():
            setattr(line, name, value)
    accrue_usage(rated, customer=customer, at=at, actor=actor)
    note_set_aside(rated, at=at)
    return lines


def _settle(invoice: Invoice, customer: Customer, lines: Sequence[InvoiceLine], at: datetime) -> Settled:
    amounts = [line.amount.amount for line in lines]
    needs = [
        crediting.Need(ref=str(line.pk), feature=line.price.key if line.price else "", amount=need)
        for line, need in zip(lines, totals.remaining_need(amounts), strict=True)
        if need
    ]
    applied = crediting.apply(
        customer_key=customer.key, currency=invoice.currency, needs=needs, at=at, key=f"invoice:{invoice.public_id}"
    )
    credits: dict[str, Decimal] = defaultdict(Decimal)
    for use in applied:
        credits[use.ref] += use.amount
    paid = [credits[str(line.pk)] for line in lines]
    tax = taxing.resolve(
        customer, invoice.currency, [amount - credit for amount, credit in zip(amounts, paid, strict=True)]
    )
    balance = balances.of(customer_key=customer.key, unit=invoice.currency).customer_balance
    sums = totals.add_up(
        [
            totals.LineTotal(amount, credit, answer.amount)
            for amount, credit, answer in zip(amounts, paid, tax.lines, strict=True)
        ],
        customer_balance=balance,
    )
    for line, credit in zip(lines, paid, strict=True):
        line.credits_applied = Money(credit, invoice.currency)
    return Settled(sums, tax, applied)


def _write_lines(lines: Sequence[InvoiceLine], settled: Settled) -> None:
    for line, tax in zip(lines, settled.tax.lines, strict=True):
        line.tax_jurisdiction = tax.jurisdiction
        line.tax_base = Money(tax.base, line.currency)
        line.tax_rate = tax.rate
        line.tax_amount = Money(tax.amount, line.currency)
        line.save()


def _post(
    invoice: Invoice, lines: Sequence[InvoiceLine], settled: Settled, *, at: datetime, actor: Actor
) -> Entry | None:
    usage = [line for line in lines if line.kind in (InvoiceLine.Kind.USAGE, InvoiceLine.Kind.OVERAGE)]
    accrued = sum((line.unrounded_amount for line in usage), Decimal(0))
    rounded = sum((line.amount.amount for line in usage), Decimal(0))
    tax: dict[str, Decimal] = defaultdict(Decimal)
    for answer in settled.tax.lines:
        tax[answer.jurisdiction] += answer.amount
    sums = settled.sums
    specs = movements.invoice_finalized(
        customer_key=invoice.customer.key,
        currency=invoice.currency,
        receivable=sums.amount_due,
        accrued_cleared=accrued,
        deferred=sum((line.amount.amount for line in lines if line.kind == InvoiceLine.Kind.ADVANCE), Decimal(0)),
        tax=tax,
        rounding=accrued - rounded,
        credits=crediting.uses_of(settled.applied),
        balance_used=max(sums.balance_applied, Decimal(0)),
        balance_added=max(-sums.balance_applied, Decimal(0)),
    )
    if not specs:
        return None
    return posting.post(
        movement=movements.INVOICE_FINALIZED,
        key=f"invoice:{invoice.public_id}:finalized",
        lines=specs,
        effective_at=at,
        at=at,
        actor=actor,
        customer_key=invoice.customer.key,
        refs={"invoice": invoice.public_id},
        reason_code="invoice.finalized",
    )


def freeze(invoice: Invoice, customer: Customer, settled: Settled, entry: Entry | None, at: datetime) -> None:
    """Number a draft and make it final with these sums: open, or paid when nothing is due. Locks the series, last."""
    sums = settled.sums
    fields = {
        "number": _next_number(settings.INVOICE_NUMBER_PREFIX),
        "finalized_at": at,
        "due_at": at + timedelta(days=settings.INVOICE_DUE_DAYS),
        "auto_finalize_at": None,
        "seller": dict(settings.SELLER),
        "bill_to": bill_to(customer),
        "tax_note": settled.tax.note,
        "entry": entry,
        "subtotal": sums.subtotal,
        "credits_applied": sums.credits_applied,
        "tax_total": sums.tax_total,
        "total": sums.total,
        "balance_applied": sums.balance_applied,
        "amount_due": sums.amount_due,
    }
    move_invoice(invoice, Invoice.Status.OPEN, **fields)
    if not sums.amount_due:
        move_invoice(invoice, Invoice.Status.PAID, paid_at=at)


def bill_to(customer: Customer) -> dict[str, str]:
    """The customer's identity as it is printed on the invoice and frozen with it."""
    names = (
        "key",
        "name",
        "email",
        "line1",
        "line2",
        "city",
        "region",
        "postal_code",
        "country",
        "tax_id",
        "time_zone",
    )
    return {name: str(getattr(customer, name)) for name in names}


def _next_number(prefix: str) -> str:
    locked = NumberSeries.objects.select_for_update()
    series = locked.filter(prefix=prefix).first()
    if series is None:
        NumberSeries.objects.get_or_create(prefix=prefix)
        series = locked.get(prefix=prefix)
    NumberSeries.objects.filter(prefix=prefix).update(next_number=series.next_number + 1)
    return numbering.write(prefix, series.next_number)
