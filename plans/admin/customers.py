"""Customers and subscriptions. Their page is the console's customer page."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from billing_ops.kit.admin_base import RecordAdmin, badge, linked
from plans.models import Customer, Subscription


@admin.register(Customer)
class CustomerAdmin(RecordAdmin):
    """Who is billed."""

    list_display = ("name", "key", "email", "currency", "country", "payment_method", "created_at")
    list_filter = ("currency",)
    search_fields = ("key", "name", "email", "stripe_id")
    search_help_text = "Key, name, e-mail or Stripe id"
    page_url_name = "admin:console_customer"
    big = True
    empty_hint = "Create a customer with POST /api/v1/customers. Usage may arrive before: it is kept under the key."

    @admin.display(description="Payment method")
    def payment_method(self, customer: Customer) -> str:
        return badge("On file", "good") if customer.default_payment_method else badge("None", "warn")


@admin.register(Subscription)
class SubscriptionAdmin(RecordAdmin):
    """Who agreed to what, and when it is billed next."""

    list_display = ("key", "customer_link", "version", "state", "starts_at", "due_at", "ends_at")
    list_filter = ("status",)
    search_fields = ("key", "customer__key", "customer__name")
    record_fields = (
        "key", "customer_link", "version", "state", "starts_at", "anchor", "due_at", "ends_at", "created_at",
    )  # fmt: skip
    big = True
    empty_hint = "Create a subscription with POST /api/v1/subscriptions."
    record_template = "console/subscription.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Subscription]:
        return super().get_queryset(request).select_related("customer", "version__plan")

    @admin.display(description="Customer", ordering="customer__name")
    def customer_link(self, subscription: Subscription) -> str:
        return linked("admin:console_customer", subscription.customer_id, str(subscription.customer))

    @admin.display(description="Status", ordering="status")
    def state(self, subscription: Subscription) -> str:
        tone = "good" if subscription.status == Subscription.Status.ACTIVE else ""
        return badge(subscription.get_status_display(), tone)

    def record_context(self, request: HttpRequest, record: Subscription) -> dict[str, object]:
        return {
            "items": record.items.select_related("price__meter").order_by("price__position", "id"),
            "periods": record.periods.order_by("-number")[:12],
        }
