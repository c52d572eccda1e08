"""The console's menu: what a person may open, in the order of the work."""

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse


@dataclass(frozen=True)
class Entry:
    """One line of the menu; ``permission`` None shows it to everybody on the staff."""

    title: str
    icon: str
    url_name: str
    permission: str | None


_MENU: tuple[tuple[str, tuple[Entry, ...]], ...] = (
    ("", (Entry("Home", "home", "admin:index", None),)),
    (
        "Customers",
        (
            Entry("Customers", "groups", "admin:plans_customer_changelist", "plans.view_customer"),
            Entry("Subscriptions", "autorenew", "admin:plans_subscription_changelist", "plans.view_subscription"),
            Entry("Approvals", "fact_check", "admin:console_approvals", "billing_ops.view_approval"),
            Entry("Limits", "tune", "admin:console_limits", "ledger.view_creditlimit"),
            Entry("Credits", "redeem", "admin:ledger_creditgrant_changelist", "ledger.view_creditgrant"),
        ),
    ),
    (
        "Billing",
        (
            Entry("Invoices", "receipt_long", "admin:invoicing_invoice_changelist", "invoicing.view_invoice"),
            Entry(
                "Payment attempts",
                "credit_card",
                "admin:invoicing_paymentattempt_changelist",
                "invoicing.view_paymentattempt",
            ),
            Entry("Journal", "menu_book", "admin:console_journal", "ledger.view_journal"),
            Entry("Periods", "event_available", "admin:console_periods", "ledger.view_period"),
            Entry("Trial balance", "balance", "admin:console_trial_balance", "ledger.view_journal"),
            Entry("Units of credit", "token", "admin:console_units", "ledger.view_unitrate"),
            Entry("Accounts", "account_balance", "admin:ledger_account_changelist", "ledger.view_account"),
        ),
    ),
    (
        "Usage",
        (
            Entry("Events", "bolt", "admin:console_events", "metering.investigate_usage"),
            Entry("Meters", "speed", "admin:metering_meter_changelist", "metering.view_meter"),
            Entry("Not counted", "do_not_disturb_on", "admin:console_uncounted", "metering.investigate_usage"),
            Entry("Batches", "stacks", "admin:console_batches", "metering.investigate_usage"),
        ),
    ),
    (
        "Catalogue",
        (Entry("Plans", "sell", "admin:plans_plan_changelist", "plans.view_plan"),),
    ),
    (
        "Operations",
        (
            Entry("Webhook inbox", "inbox", "admin:invoicing_stripeevent_changelist", "invoicing.view_stripeevent"),
            Entry("Failing jobs", "error", "admin:billing_ops_failedwork_changelist", "billing_ops.view_failedwork"),
            Entry("API keys", "key", "admin:console_keys", "billing_ops.view_apikey"),
            Entry("Audit trail", "history", "admin:billing_ops_auditentry_changelist", "billing_ops.view_auditentry"),
        ),
    ),
)


def menu(request: HttpRequest) -> list[dict[str, Any]]:
    """The groups and lines that this person may open; the line of the present page is marked."""
    groups = []
    for title, entries in _MENU:
        items = []
        for entry in entries:
            if entry.permission and not request.user.has_perm(entry.permission):
                continue
            try:
                url = reverse(entry.url_name)
            except NoReverseMatch:  # the page is not part of this installation
                continue
            active = request.path == url or (url != reverse("admin:index") and request.path.startswith(url))
            items.append({"title": entry.title, "icon": entry.icon, "url": url, "active": active})
        if items:
            groups.append({"title": title, "entries": items})
    return groups
