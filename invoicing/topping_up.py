"""Sell credit in advance: a top-up is an invoice of its own, final at once, and becomes credit when it is paid.

1. Lock the customer; the same key answers the top-up that is there.
2. Ask for the tax on the price; write the invoice with its one line.
3. Post what is owed (row 3: 1100 / 2050, 2200); the customer balance pays what it can (14c).
4. Take the number and freeze the invoice, as any other. If nothing is left to pay, the credit is given at once.

It is collected like any invoice; ``fulfilling`` gives the credit in the transaction that settles it.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from moneyed import Money

from billing_ops.kit import nudging
from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.errors import Conflict, IdempotencyMismatch, InvalidInput, NotFound
from billing_ops.kit.fields import display
from billing_ops.kit.money import grouped, plain, round_amount, zero
from invoicing import finalizing, fulfilling, taxing
from invoicing.accruing import lock_customer
from invoicing.models import AutoTopUp, Invoice, InvoiceLine, PaymentAttempt, TopUp
from invoicing.rules import totals
from invoicing.rules.lines import MAX_AMOUNT, RULE_TOPUP
from invoicing.transitions import move_invoice
from ledger import balances, journal, posting, units
from ledger.journal import JournalLine
from ledger.models import Entry
from ledger.rules import movements
from ledger.rules.entries import LineSpec
from ledger.rules.terms import Terms, check, differences, scope_of
from ledger.rules.worth import is_own, valued
from plans.models import Customer


class TopUpDiffers(IdempotencyMismatch):
    """A top-up with this key is there and asks for something else."""

    code = "topup.differs"


class BadTopUp(InvalidInput):
    """A top-up that cannot be ordered; ``details["field"]`` names what is wrong."""

    code = "topup.invalid"


class TopUpNotFound(NotFound):
    """No top-up has that id."""

    code = "topup.not_found"


class TopUpNotOpen(Conflict):
    """Only a top-up of which nothing is paid, and nothing is being collected, is given up."""

    code = "topup.not_open"


@dataclass(frozen=True, slots=True)
class Order:
    """What is ordered: money's worth of credit in the customer's currency, or a quantity of a company's own unit."""

    unit: str
    quantity: Decimal
    valid_days: int | None = None
    priority: int = 50
    scope: Sequence[str] = ()
    reason_code: str = "topup"
    ticket: str = ""
    note: str = ""

    def request(self, customer: Customer) -> dict[str, Any]:
        """The order as JSON, for comparing a replay field by field."""
        return {
            "customer": customer.key, "unit": self.unit, "quantity": plain(self.quantity),
            "valid_days": self.valid_days, "priority": self.priority, "scope": list(scope_of(self.scope)),
            "reason_code": self.reason_code, "ticket": self.ticket, "note": self.note,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Priced:
    """An order with its price: without tax, the tax on it, and what of it the customer balance pays."""

    order: Order
    currency: str
    price: Decimal
    rate: Decimal | None
    tax: taxing.TaxAnswer
    sums: totals.Totals

    @property
    def tax_by_place(self) -> dict[str, Decimal]:
        """The tax by jurisdiction."""
        (line,) = self.tax.lines
        return {line.jurisdiction: line.amount} if line.amount else {}

    def lines(self, customer_key: str) -> tuple[LineSpec, ...]:
        """What is owed, as journal lines."""
        return movements.topup_invoiced(
            customer_key=customer_key, currency=self.currency, price=self.price, tax=self.tax_by_place
        )

    def balance_lines(self, customer_key: str) -> tuple[LineSpec, ...]:
        """What the customer balance pays of it, as journal lines."""
        if not self.sums.balance_applied:
            return ()
        return movements.balance_applied(
            customer_key=customer_key, currency=self.currency, amount=self.sums.balance_applied
        )


def price(*, customer: Customer, order: Order, at: datetime) -> Priced:
    """What an order costs, with tax and customer balance, without writing.

    Raises :class:`BadTopUp`, ``InvalidTerms``, ``units.NoRate`` and what the tax resolver refuses.
    """
    rate, amount = None, order.quantity
    check(_terms(customer, order, at), at=at)
    if is_own(order.unit):
        rate = units.rate_of(unit=order.unit, at=at, currency=customer.currency).rate
        amount = round_amount(valued(rate, order.quantity), customer.currency)
    elif order.unit != customer.currency:
        raise BadTopUp(f"{customer.key} is billed in {customer.currency}, not in {order.unit}.", field="unit")
    if amount <= 0 or amount >= MAX_AMOUNT:
        said = f"{plain(order.quantity)} {order.unit} cannot be sold: it comes to {plain(amount)}."
        raise BadTopUp(said, field="amount")
    tax = taxing.resolve(customer, customer.currency, [amount])
    balance = balances.of(customer_key=customer.key, unit=customer.currency).customer_balance
    sums = totals.add_up([totals.LineTotal(amount, Decimal(0), tax.lines[0].amount)], customer_balance=balance)
    return Priced(order, customer.currency, amount, rate, tax, sums)


def preview_lines(priced: Priced, customer_key: str) -> tuple[JournalLine, ...]:
    """The journal lines that ordering would post now."""
    return journal.lines_of([*priced.lines(customer_key), *priced.balance_lines(customer_key)])


def order(
    *, customer_id: int, order: Order, key: str, at: datetime, actor: Actor, rule: AutoTopUp | None = None
) -> TopUp:
    """Order a top-up: invoiced and owed now, spendable when it is paid. The same key and order answer the same.

    Raises :class:`TopUpDiffers` and as :func:`price`.
    """
    with transaction.atomic():
        customer = lock_customer(customer_id)
        if (earlier := _earlier(customer, order, key)) is not None:
            return earlier
        posting.enter_period(effective_at=at)
        priced = price(customer=customer, order=order, at=at)
        invoice = _invoice(customer, priced, at)
        top_up = _record(customer, priced, invoice, key=key, at=at, actor=actor, rule=rule)
        fulfilling.lock([invoice], at=at)
        entry = _post(invoice, priced, at=at, actor=actor, reason_code=order.reason_code)
        settled = finalizing.Settled(priced.sums, priced.tax, ())
        finalizing.freeze(invoice, customer, settled, entry, at)
        _audit(top_up, "topup.ordered", f"{_said(top_up)} ordered: {invoice.number}", at=at, actor=actor)
        if invoice.status == Invoice.Status.PAID:
            fulfilling.fulfil(invoice, paid_at=at, at=at, actor=actor)
        else:
            transaction.on_commit(lambda: nudging.nudge("invoicing.collect", invoice.public_id), robust=True)
        top_up.refresh_from_db()
        return top_up


def give_up(*, top_up: TopUp, reason_code: str, at: datetime, actor: Actor, note: str = "") -> TopUp:
    """Give up a top-up of which nothing was paid: its invoice is void, nothing is owed, no credit comes of it.

    What the customer balance paid goes back to it. A given-up one stays as it is. Money that arrives later all the same
    becomes customer balance. Raises :class:`TopUpNotOpen`.
    """
    with transaction.atomic():
        customer = lock_customer(top_up.customer_id)
        invoice = Invoice.objects.select_for_update().get(pk=top_up.invoice_id)
        row = TopUp.objects.get(pk=top_up.pk)
        if row.status == TopUp.Status.VOID:
            return row
        _refuse_to_give_up(row, invoice)
        posting.enter_period(effective_at=at)
        by: dict[str, Any] = {"at": at, "actor": actor, "reason_code": reason_code, "reason_note": note}
        applied = Entry.objects.filter(invoice_ref=invoice.public_id, event_type=movements.BALANCE_APPLIED).first()
        if applied is not None:
            posting.reverse(entry=applied, key=f"topup:{row.public_id}:balance_back", **by)
        line = invoice.lines.get()
        tax = {line.tax_jurisdiction: line.tax_amount.amount} if line.tax_amount.amount else {}
        entry = posting.post(
            movement=movements.TOPUP_VOIDED,
            key=f"topup:{row.public_id}:voided",
            lines=movements.topup_voided(
                customer_key=customer.key, currency=row.currency, price=row.price.amount, tax=tax
            ),
            customer_key=customer.key,
            refs={"invoice": invoice.public_id},
            **by,
        )
        move_invoice(invoice, Invoice.Status.VOID)
        TopUp.objects.filter(pk=row.pk).update(status=TopUp.Status.VOID, void_entry=entry, settled_at=at)
        row.refresh_from_db()
        _audit(row, "topup.voided", f"{_said(row)} given up", at=at, actor=actor, note=note)
        return row


def get(public_id: str) -> TopUp:
    """The top-up of that id; raises :class:`TopUpNotFound`."""
    found = TopUp.objects.select_related("customer", "invoice", "grant").filter(public_id=public_id).first()
    if found is None:
        raise TopUpNotFound(f"There is no top-up “{public_id[:64]}”.")
    return found


def _terms(customer: Customer, order: Order, at: datetime) -> Terms:
    expires_at = None if order.valid_days is None else at + timedelta(days=order.valid_days)
    if order.valid_days is not None and not 0 < order.valid_days <= 36_500:
        raise BadTopUp("It is valid for 1 to 36,500 days.", field="valid_days")
    return Terms(
        customer_key=customer.key,
        kind="paid",
        amount=order.quantity,
        unit=order.unit,
        reason_code=order.reason_code,
        priority=order.priority,
        effective_at=at,
        expires_at=expires_at,
        scope=scope_of(order.scope),
        ticket=order.ticket,
        note=order.note,
    )


def _earlier(customer: Customer, order: Order, key: str) -> TopUp | None:
    found = TopUp.objects.select_related("invoice").filter(idempotency_key=key).first()
    if found is not None and (differs := differences(order.request(customer), found.request)):
        raise TopUpDiffers(
            f"The key “{key}” was used for another top-up: {', '.join(differs)} differ.", differs=differs, key=key
        )
    return found


def _invoice(customer: Customer, priced: Priced, at: datetime) -> Invoice:
    nothing, price = zero(priced.currency), Money(priced.price, priced.currency)
    public_id = f"inv_{secrets.token_hex(10)}"
    invoice = Invoice.objects.create(
        public_id=public_id,
        customer=customer,
        currency=priced.currency,
        trigger=f"topup:{public_id}",
        subtotal=price,
        credits_applied=nothing,
        tax_total=nothing,
        total=price,
        balance_applied=nothing,
        amount_due=price,
        amount_paid=nothing,
        drafted_at=at,
    )
    (tax,) = priced.tax.lines
    InvoiceLine.objects.create(
        invoice=invoice,
        position=1,
        kind=InvoiceLine.Kind.TOPUP,
        description=_description(priced),
        service_start=at,
        service_end=at + timedelta(seconds=1),
        currency=priced.currency,
        quantity=priced.order.quantity,
        cumulative_amount=priced.price,
        unrounded_amount=priced.price,
        amount=price,
        credits_applied=nothing,
        tax_jurisdiction=tax.jurisdiction,
        tax_base=Money(tax.base, priced.currency),
        tax_rate=tax.rate,
        tax_amount=Money(tax.amount, priced.currency),
        rule=RULE_TOPUP,
        rated_at=at,
    )
    return invoice


def _description(priced: Priced) -> str:
    order = priced.order
    valid = f", valid for {order.valid_days} days" if order.valid_days else ""
    if priced.rate is None:
        return f"Credit top-up{valid}"
    return f"{grouped(order.quantity)} {order.unit} at {grouped(priced.rate)} {priced.currency}{valid}"


def _record(
    customer: Customer,
    priced: Priced,
    invoice: Invoice,
    *,
    key: str,
    at: datetime,
    actor: Actor,
    rule: AutoTopUp | None,
) -> TopUp:
    order = priced.order
    return TopUp.objects.create(
        public_id=f"top_{secrets.token_hex(10)}",
        customer=customer,
        idempotency_key=key,
        request=order.request(customer),
        currency=priced.currency,
        price=Money(priced.price, priced.currency),
        unit=order.unit,
        quantity=order.quantity,
        rate=priced.rate,
        priority=order.priority,
        scope=list(scope_of(order.scope)),
        valid_days=order.valid_days,
        rule=rule,
        invoice=invoice,
        ordered_by_type=actor.type,
        ordered_by_id=actor.id,
        ordered_at=at,
        reason_code=order.reason_code,
        ticket=order.ticket,
        note=order.note,
    )


def _post(invoice: Invoice, priced: Priced, *, at: datetime, actor: Actor, reason_code: str) -> Entry:
    key, refs = invoice.customer.key, {"invoice": invoice.public_id}
    by: dict[str, Any] = {"at": at, "actor": actor, "customer_key": key, "refs": refs, "reason_code": reason_code}
    entry = posting.post(
        movement=movements.TOPUP_INVOICED, key=f"invoice:{invoice.public_id}:topup", lines=priced.lines(key), **by
    )
    paid = priced.balance_lines(key)
    if paid:
        posting.post(movement=movements.BALANCE_APPLIED, key=f"invoice:{invoice.public_id}:balance", lines=paid, **by)
    return entry


def _refuse_to_give_up(top_up: TopUp, invoice: Invoice) -> None:
    collecting = invoice.attempts.filter(status=PaymentAttempt.Status.PENDING).exists()
    if top_up.status != TopUp.Status.OPEN or invoice.amount_paid.amount or collecting or invoice.collected_with_id:
        why = "is being collected" if collecting else "is paid" if not top_up.is_open else "is paid in part"
        raise TopUpNotOpen(f"Top-up {top_up.public_id} {why}.", remedy="Refund its credit once it is paid.")


def _said(top_up: TopUp) -> str:
    return f"Top-up of {grouped(top_up.quantity)} {top_up.unit} for {display(top_up.price)}"


def _audit(top_up: TopUp, action: str, summary: str, *, at: datetime, actor: Actor, note: str = "") -> None:
    record(
        at=at, actor=actor, action=action, subject_type="top_up", subject_key=top_up.public_id,
        customer_key=top_up.customer.key, summary=summary, reason=top_up.reason_code, ticket=top_up.ticket[:64],
        note=note or top_up.note,
    )  # fmt: skip
