"""Invoices and the tries to collect them. An invoice's page is the console's."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from billing_ops.kit.admin_base import RecordAdmin, badge, linked, right
from billing_ops.kit.fields import display
from invoicing.models import Invoice, PaymentAttempt

INVOICE_TONES = {"open": "warn", "paid": "good", "uncollectible": "bad"}
ATTEMPT_TONES = {"pending": "warn", "succeeded": "good", "failed": "bad"}


@admin.register(Invoice)
class InvoiceAdmin(RecordAdmin):
    """Every bill, drafts included."""

    list_display = ("name", "customer_link", "state", "total_text", "due_text", "finalised_at", "due_at")
    list_filter = ("status", "currency")
    search_fields = ("=number", "=public_id", "=stripe_id", "=customer__key")
    search_help_text = "Number, id, Stripe id or customer key, in full"
    page_url_name = "admin:console_invoice"
    big = True
    empty_hint = "The billing run drafts invoices when a subscription's period ends."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invoice]:
        return super().get_queryset(request).select_related("customer")

    @admin.display(description="Invoice", ordering="number")
    def name(self, invoice: Invoice) -> str:
        return str(invoice)

    @admin.display(description="Customer", ordering="customer__name")
    def customer_link(self, invoice: Invoice) -> str:
        return linked("admin:console_customer", invoice.customer_id, invoice.customer.name)

    @admin.display(description="Status", ordering="status")
    def state(self, invoice: Invoice) -> str:
        return badge(invoice.get_status_display(), INVOICE_TONES.get(invoice.status, ""))

    @admin.display(description="Finalised", ordering="finalized_at")
    def finalised_at(self, invoice: Invoice) -> datetime | None:
        return invoice.finalized_at

    @admin.display(description="Total", ordering="total")
    def total_text(self, invoice: Any) -> str:
        return right(display(invoice.total))

    @admin.display(description="Still due")
    def due_text(self, invoice: Any) -> str:
        return right(display(invoice.amount_due - invoice.amount_paid))


@admin.register(PaymentAttempt)
class PaymentAttemptAdmin(RecordAdmin):
    """Every try to collect, with the processor's answer."""

    list_display = ("invoice_link", "number", "state", "amount_text", "created_at", "next_try_at", "failure_code")
    list_filter = ("status",)
    search_fields = ("=invoice__number", "=invoice__customer__key", "=idempotency_key")
    search_help_text = "Invoice number or customer key, in full"
    ordering = ("-id",)
    record_fields = (
        "invoice_link", "number", "state", "amount_text", "tries", "requested_by", "created_at", "next_try_at",
        "resolved_at", "failure_code", "failure_message", "idempotency_key",
    )  # fmt: skip
    big = True
    empty_hint = "An attempt is made when an open invoice is collected."

    def get_queryset(self, request: HttpRequest) -> QuerySet[PaymentAttempt]:
        return super().get_queryset(request).select_related("invoice__customer")

    @admin.display(description="Invoice")
    def invoice_link(self, attempt: PaymentAttempt) -> str:
        return linked("admin:console_invoice", attempt.invoice_id, f"{attempt.invoice} · {attempt.invoice.customer}")

    @admin.display(description="Status", ordering="status")
    def state(self, attempt: PaymentAttempt) -> str:
        return badge(attempt.get_status_display(), ATTEMPT_TONES.get(attempt.status, ""))

    @admin.display(description="Amount")
    def amount_text(self, attempt: Any) -> str:
        return right(display(attempt.amount))
