"""The invoice page: lines, sums, attempts, what the books say, and the two acts of finance."""

from collections.abc import Callable

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse

from billing_ops.console.customer_page import Act
from billing_ops.console.frame import crumb, show
from billing_ops.console.people import actor_of
from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from billing_ops.models import AuditEntry
from invoicing import collecting, finalizing
from invoicing.models import Invoice, PaymentAttempt
from invoicing.printing import printed
from invoicing.rules.lines import RULES
from ledger import journal

_ENTRIES = 20


def invoice_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One invoice with all that belongs to it."""
    invoice = get_object_or_404(_invoices(), pk=pk)
    lines = list(invoice.lines.select_related("price__meter").order_by("position"))
    context = {
        "title": f"Invoice {invoice.number}" if invoice.number else "Draft invoice",
        "header_note": str(invoice.customer),
        "breadcrumbs": [
            crumb("Invoices", reverse("admin:invoicing_invoice_changelist")),
            crumb(invoice.customer.name, reverse("admin:console_customer", args=[invoice.customer_id])),
        ],
        "invoice": invoice,
        "customer": invoice.customer,
        "lines": [{"line": line, "rule": RULES.get(line.rule, line.rule)} for line in lines],
        "attempts": invoice.attempts.order_by("-number"),
        "payments": invoice.payments.order_by("-id"),
        "entries": journal.entries_for(invoice=invoice.public_id, limit=_ENTRIES).items,
        "acts_done": AuditEntry.objects.filter(subject_type="invoice", subject_key=invoice.public_id)[:_ENTRIES],
        "finalize": _finalize_act(request, invoice),
        "collect": _collect_act(request, invoice),
    }
    return show(request, "console/invoice.html", context)


def invoice_print(request: HttpRequest, pk: int) -> HttpResponse:
    """The invoice as the customer reads it."""
    invoice = get_object_or_404(_invoices(), pk=pk)
    return render(request, "invoicing/invoice_print.html", {"printed": printed(invoice)})


def finalize(request: HttpRequest, pk: int) -> HttpResponse:
    """Finalise a draft. Sent twice, the second answer says that it is final already."""

    def act(invoice: Invoice) -> str:
        final = finalizing.finalize(public_id=invoice.public_id, at=clock.now(), actor=actor_of(request))
        return f"Invoice {final.number} is final. It can be collected now."

    return _do(request, pk, act)


def collect(request: HttpRequest, pk: int) -> HttpResponse:
    """Collect an open invoice now; an attempt under way is taken up again, never doubled."""

    def act(invoice: Invoice) -> str:
        attempt = collecting.collect(
            public_id=invoice.public_id,
            at=clock.now(),
            actor=actor_of(request),
            request_key=request.POST.get("key", "")[:64],
        )
        if attempt.status == PaymentAttempt.Status.SUCCEEDED:
            return f"Attempt {attempt.number} succeeded: the invoice is paid."
        if attempt.status == PaymentAttempt.Status.FAILED:
            return f"Attempt {attempt.number} was declined: {attempt.failure_message}"
        return f"Attempt {attempt.number} has no answer yet. It is asked for again by itself; nothing is charged twice."

    return _do(request, pk, act)


def _do(request: HttpRequest, pk: int, act: Callable[[Invoice], str]) -> HttpResponse:
    invoice = get_object_or_404(_invoices(), pk=pk)
    try:
        messages.info(request, act(invoice))  # neither good nor bad: the answer says it
    except BillingError as error:
        messages.error(request, str(error))
    return redirect("admin:console_invoice", invoice.pk)


def _invoices() -> QuerySet[Invoice]:
    return Invoice.objects.select_related("customer", "entry", "collected_with")


def _finalize_act(request: HttpRequest, invoice: Invoice) -> Act | None:
    if invoice.status != Invoice.Status.DRAFT:
        return None
    may = request.user.has_perm("invoicing.finalize_invoice")
    url = reverse("admin:console_invoice_finalize", args=[invoice.pk])
    return Act("Finalise", url, "" if may else "Finance finalises invoices.")


def _collect_act(request: HttpRequest, invoice: Invoice) -> Act:
    url = reverse("admin:console_invoice_collect", args=[invoice.pk])
    # The same page in two tabs, clicked twice or sent again after "back", asks for the same next try.
    key = f"console:after-attempt-{invoice.attempts.count()}"
    return Act("Collect now", url, _why_not_collect(request, invoice), key)


def _why_not_collect(request: HttpRequest, invoice: Invoice) -> str:
    reasons: list[tuple[bool, str]] = [
        (not request.user.has_perm("invoicing.collect_invoice"), "Finance collects invoices."),
        (invoice.status == Invoice.Status.DRAFT, "A draft is finalised first."),
        (invoice.status == Invoice.Status.PAID, "It is paid."),
        (invoice.status != Invoice.Status.OPEN, f"It is {invoice.get_status_display().lower()}."),
        (invoice.collected_with_id is not None, f"It is collected together with {invoice.collected_with}."),
        (not invoice.customer.default_payment_method, "The customer has no payment method."),
    ]
    return next((why for holds, why in reasons if holds), "")
