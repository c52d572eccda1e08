"""Accounts and credit grants in the console. The journal has a page of its own there."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from moneyed import CurrencyDoesNotExist, Money, get_currency

from billing_ops.kit.admin_base import RecordAdmin, badge, right
from billing_ops.kit.fields import display
from billing_ops.kit.money import plain
from ledger.models import Account, CreditGrant


@admin.register(Account)
class AccountAdmin(RecordAdmin):
    """Where amounts stand. The page of an account shows its lines."""

    list_display = ("code_name", "customer_key", "dimension", "unit_id", "balance_text", "status")
    list_filter = ("code", "unit")
    search_fields = ("=customer_key", "=code__code", "=dimension")
    search_help_text = "Customer key, account code or grant, in full"
    list_select_related = ("code", "balance")
    ordering = ("code", "customer_key", "id")
    list_title = "Accounts"
    page_url_name = "admin:console_account"
    big = True
    empty_hint = "Accounts appear with the first entry that touches them."

    @admin.display(description="Account", ordering="code")
    def code_name(self, account: Account) -> str:
        return str(account.code)

    @admin.display(description="Balance")
    def balance_text(self, account: Account) -> str:
        if not account.materialised:
            return right("—")
        return right(f"{plain(account.balance.net)} {account.unit_id}")


@admin.register(CreditGrant)
class CreditGrantAdmin(RecordAdmin):
    """Credits as they were granted; what is left of them stands on the customer's page."""

    list_display = ("customer_key", "kind_badge", "amount_text", "effective_at", "expires_at", "reason_code", "ticket")
    list_filter = ("kind", "unit")
    search_fields = ("=customer_key", "=ticket", "=public_id")
    search_help_text = "Customer key, ticket or grant id, in full"
    ordering = ("-id",)
    list_title = "Credits"
    page_url_name = "admin:console_grant"
    record_fields = (
        "public_id", "customer_key", "kind", "amount_text", "priority", "effective_at", "expires_at", "scope",
        "reason_code", "reason_note", "ticket", "requested_by_type", "requested_by_id", "created_at", "recorded_at",
    )  # fmt: skip
    big = True
    empty_hint = "Issue a credit from a customer's page."

    def get_queryset(self, request: HttpRequest) -> QuerySet[CreditGrant]:
        return super().get_queryset(request).select_related("unit")

    @admin.display(description="Kind", ordering="kind")
    def kind_badge(self, grant: CreditGrant) -> str:
        return badge(grant.kind.capitalize())

    @admin.display(description="Amount")
    def amount_text(self, grant: CreditGrant) -> str:
        try:
            return right(display(Money(grant.amount, get_currency(grant.unit_id))))
        except CurrencyDoesNotExist:  # a company's own credits are no currency
            return right(f"{plain(grant.amount)} {grant.unit_id}")
