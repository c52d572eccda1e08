"""Invoices over HTTP: list, read, preview, finalise, pay."""

from decimal import Decimal
from typing import Any, Literal

from moneyed import Money
from ninja import Query
from pydantic import Field

from billing_ops.kit import clock
from billing_ops.kit.http import (
    AmountOut,
    ApiRequest,
    ApiRouter,
    Body,
    CurrencyCode,
    Instant,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
    idempotency,
    paginate,
)
from invoicing import collecting, finalizing, previewing
from invoicing.models import Invoice, InvoiceLine, PaymentAttempt
from invoicing.overages import Overage
from invoicing.rules.lines import RULE_OVERAGE
from invoicing.rules.totals import LineTotal
from plans import customers

router = ApiRouter(tags=["Invoices"])

InvoiceStatus = Literal["draft", "open", "paid", "void", "uncollectible"]


class InvoicesQuery(PageQuery):
    """Filters of the listing."""

    customer: Key | None = Field(None, description="The customer's key.")
    status: InvoiceStatus | None = None


class PreviewQuery(Body):
    """Whose bill, and up to when."""

    customer: Key = Field(description="The customer's key.")
    until: Instant = Field(description="Edges up to this instant are included; at most a year ahead.")


class StepOut(Out):
    """One step of the rating: so many units at such a rate."""

    label: str
    rule: str
    from_: AmountOut = Field(alias="from")
    to: AmountOut | None
    quantity: AmountOut
    unit_amount: AmountOut
    flat_amount: AmountOut
    amount: AmountOut


class LineOut(Out):
    """One line: what was used in which service period, how it was rated, and what it comes to."""

    kind: Literal["advance", "usage", "topup", "overage"]
    description: str
    subscription: str | None = Field(description="Null for a top-up and for use beyond credits.")
    price: str | None
    meter: str | None
    service_start: InstantOut
    service_end: InstantOut
    revision: int = Field(description="1 is the period's first bill; a later one bills only the difference.")
    quantity: AmountOut = Field(description="Cumulative quantity of the service period.")
    unrounded_amount: AmountOut
    amount: AmountOut
    credits_applied: AmountOut
    tax_amount: AmountOut
    rule: str
    steps: list[StepOut]
    rated_at: InstantOut


class SumsOut(Out):
    """The sums of a bill, in the documented order."""

    currency: CurrencyCode
    subtotal: AmountOut
    credits_applied: AmountOut
    tax_total: AmountOut
    total: AmountOut
    balance_applied: AmountOut = Field(description="Taken from the customer balance; negative: moved to it.")
    amount_due: AmountOut
    tax_note: str


class InvoiceSummaryOut(SumsOut):
    """An invoice without its lines."""

    id: str
    number: str | None = Field(description="Null until it is finalised.")
    customer: str
    status: InvoiceStatus
    amount_paid: AmountOut
    drafted_at: InstantOut
    finalized_at: InstantOut | None
    due_at: InstantOut | None
    paid_at: InstantOut | None


class AttemptOut(Out):
    """One try to collect an invoice. *pending*: the answer is not known yet and is asked for again."""

    invoice: str
    number: int
    status: Literal["pending", "succeeded", "failed"]
    currency: CurrencyCode
    amount: AmountOut
    failure_code: str
    failure_message: str
    created_at: InstantOut
    resolved_at: InstantOut | None


class InvoiceOut(InvoiceSummaryOut):
    """An invoice with its lines, the identities frozen on it and the tries to collect it."""

    seller: dict[str, Any] | None
    bill_to: dict[str, Any] | None
    lines: list[LineOut]
    attempts: list[AttemptOut]


class PreviewOut(SumsOut):
    """What would be invoiced; nothing of it is written."""

    customer: str
    until: InstantOut
    as_of: InstantOut
    lag_seconds: AmountOut = Field(description="How far the metering is behind, at most.")
    lines: list[LineOut]


class PreviewsOut(Out):
    """One preview a currency."""

    items: list[PreviewOut]


@router.read("/invoices", scope="invoices:read", answer=Page[InvoiceSummaryOut], problems=(404,))
def list_invoices(request: ApiRequest, query: Query[InvoicesQuery]) -> Page[InvoiceSummaryOut]:
    """Invoices, the newest first."""
    rows = Invoice.objects.select_related("customer")
    if query.customer is not None:
        rows = rows.filter(customer=customers.get(query.customer))
    if query.status is not None:
        rows = rows.filter(status=query.status)
    found = paginate(rows, page=query, order=["-id"], listing="invoices")
    return Page(
        items=[InvoiceSummaryOut.model_validate(_summary(row)) for row in found.items], next_cursor=found.next_cursor
    )


@router.read("/invoices/preview", scope="invoices:read", answer=PreviewsOut, problems=(404,))
def preview_invoices(request: ApiRequest, query: Query[PreviewQuery]) -> PreviewsOut:
    """What would be invoiced to a customer up to an instant, by the same rules as the invoice. Nothing is written."""
    customer = customers.get(query.customer)
    found = previewing.preview(customer=customer, until=query.until, at=clock.now())
    return PreviewsOut(items=[_preview_out(customer.key, one) for one in found])


@router.read("/invoices/{invoice_id}", scope="invoices:read", answer=InvoiceOut)
def get_invoice(request: ApiRequest, invoice_id: str) -> InvoiceOut:
    """An invoice with its lines and their rating steps."""
    return _invoice_out(invoice_id)


@router.make("/invoices/{invoice_id}/finalize", scope="invoices:write", answer=InvoiceOut, status=200)
def finalize_invoice(request: ApiRequest, invoice_id: str) -> InvoiceOut:
    """Rate a draft for the last time, number it, freeze it and post it. A second time is refused: 409."""
    finalizing.finalize(public_id=invoice_id, at=clock.now(), actor=request.auth.actor)
    return _invoice_out(invoice_id)


@router.make(
    "/invoices/{invoice_id}/pay",
    scope="invoices:write",
    answer=AttemptOut,
    status=200,
    transaction=False,
    problems=(502,),
)
def pay_invoice(request: ApiRequest, invoice_id: str) -> AttemptOut:
    """Collect an open invoice through Stripe from the customer's default payment method.

    The answer is the attempt: *succeeded*, *failed* (declined: nothing was taken) or *pending* (the outcome is asked
    for again by itself; read the invoice later). A paid invoice is refused: 409.
    """
    attempt = collecting.collect(
        public_id=invoice_id,
        at=clock.now(),
        actor=request.auth.actor,
        request_key=idempotency.operation_key(request),
    )
    return _attempt_out(attempt)


def _invoice_out(public_id: str) -> InvoiceOut:
    invoice = Invoice.objects.select_related("customer").filter(public_id=public_id).first()
    if invoice is None:
        raise finalizing.InvoiceNotFound(f"There is no invoice “{public_id[:64]}”.")
    lines = invoice.lines.select_related("item__subscription", "price__meter")
    return InvoiceOut.model_validate(
        _summary(invoice)
        | {
            "seller": invoice.seller,
            "bill_to": invoice.bill_to,
            "lines": [_line(line) for line in lines],
            "attempts": [_attempt_out(attempt) for attempt in invoice.attempts.all()],
        }
    )


def _summary(invoice: Invoice) -> dict[str, Any]:
    names = (
        "number", "status", "currency", "subtotal", "credits_applied", "tax_total", "total", "balance_applied",
        "amount_due", "amount_paid", "tax_note", "drafted_at", "finalized_at", "due_at", "paid_at",
    )  # fmt: skip
    return {name: getattr(invoice, name) for name in names} | {
        "id": invoice.public_id,
        "customer": invoice.customer.key,
    }


def _line(line: InvoiceLine) -> dict[str, Any]:
    names = (
        "kind", "description", "service_start", "service_end", "revision", "quantity", "unrounded_amount", "amount",
        "credits_applied", "tax_amount", "rule", "rated_at",
    )  # fmt: skip
    return {name: getattr(line, name) for name in names} | {
        "subscription": line.item.subscription.key if line.item else None,
        "price": line.price.key if line.price else None,
        "meter": line.price.meter.key if line.price and line.price.meter else None,
        "steps": line.working,
    }


def _preview_out(customer_key: str, found: previewing.Preview) -> PreviewOut:
    def money(amount: Decimal) -> Money:
        return Money(amount, found.currency)

    sums = {name: money(getattr(found.sums, name)) for name in SumsOut.model_fields if hasattr(found.sums, name)}
    lines = [
        {
            "kind": line.charge.kind.value,
            "description": line.charge.description,
            "subscription": line.charge.item.subscription.key,
            "price": line.charge.item.price.key,
            "meter": line.charge.item.price.meter.key if line.charge.item.price.meter else None,
            "service_start": line.charge.period.start,
            "service_end": line.charge.period.end,
            "revision": line.charge.amounts.revision,
            "quantity": line.charge.amounts.quantity,
            "unrounded_amount": line.charge.amounts.unrounded,
            "amount": money(line.charge.amounts.amount),
            "credits_applied": money(line.credits_applied),
            "tax_amount": money(line.tax_amount),
            "rule": line.charge.amounts.rule,
            "steps": list(line.charge.amounts.working),
            "rated_at": line.charge.rated_at,
        }
        for line in found.lines
    ]
    if found.overage is not None and found.overage_line is not None:
        lines.append(_overage_line(found, found.overage, found.overage_line))
    return PreviewOut.model_validate(
        sums
        | {
            "currency": found.currency,
            "tax_note": found.tax_note,
            "customer": customer_key,
            "until": found.until,
            "as_of": found.as_of,
            "lag_seconds": found.lag_seconds,
            "lines": lines,
        }
    )


def _overage_line(found: previewing.Preview, overage: Overage, line: LineTotal) -> dict[str, Any]:
    return {
        "kind": "overage",
        "description": overage.description,
        "subscription": None,
        "price": None,
        "meter": None,
        "service_start": min((part.first for part in overage.parts), default=found.as_of),
        "service_end": max((part.last for part in overage.parts), default=found.as_of),
        "revision": 1,
        "quantity": Decimal(1),
        "unrounded_amount": overage.exact,
        "amount": Money(line.amount, found.currency),
        "credits_applied": Money(line.credits, found.currency),
        "tax_amount": Money(line.tax, found.currency),
        "rule": RULE_OVERAGE,
        "steps": overage.working(found.currency),
        "rated_at": found.as_of,
    }


def _attempt_out(attempt: PaymentAttempt) -> AttemptOut:
    names = (
        "number", "status", "currency", "amount", "failure_code", "failure_message", "created_at", "resolved_at",
    )  # fmt: skip
    return AttemptOut.model_validate(
        {name: getattr(attempt, name) for name in names} | {"invoice": attempt.invoice.public_id}
    )
