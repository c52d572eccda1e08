"""Every address of the console, found by walking the site: nobody has to remember to list one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.contrib import admin
from django.urls import URLPattern, URLResolver, reverse

if TYPE_CHECKING:
    from tests.console.desk import Desk

CATCH_ALL = "(catch-all)"


@dataclass(frozen=True)
class Address:
    """A named route and the arguments of a row that is there."""

    name: str
    url: str


def walk() -> Iterator[str]:
    """The names of all routes; the theme's catch-all, which has none, as :data:`CATCH_ALL`."""
    yield from _names(admin.site.get_urls())


def _names(patterns: list[URLPattern | URLResolver]) -> Iterator[str]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _names(pattern.url_patterns)
        elif pattern.name:
            yield pattern.name
        elif "final_catch_all" in repr(pattern) or pattern.pattern.regex.pattern.startswith("(?P<url>"):
            yield CATCH_ALL
        # What is left are Django's redirects from an object's old address to its "change" page.


def address(name: str, desk: "Desk") -> Address:
    """A route filled in from the desk."""
    if name == CATCH_ALL:
        return Address(name, reverse("admin:index") + "there/is/no/such/page/")
    key = _key(name, desk)
    return Address(name, reverse(f"admin:{name}", args=[key] if key else []))


def _key(name: str, desk: "Desk") -> str:
    from billing_ops.models import ApiKey, Approval, AuditEntry, FailedWork
    from invoicing.models import Drawdown, PaymentAttempt, StripeEvent, TopUp
    from ledger.models import Account, CreditGrant, CreditSchedule, Entry, Period
    from metering.models import Meter
    from plans.models import Plan, PlanVersion, Subscription

    rows = {
        "plans_customer_change": desk.acme.pk,
        "console_customer": desk.acme.pk,
        "console_credit": desk.acme.pk,
        "invoicing_invoice_change": desk.paid().pk,
        "console_invoice": desk.paid().pk,
        "console_invoice_print": desk.paid().pk,
        "console_invoice_finalize": desk.paid().pk,
        "console_invoice_collect": desk.paid().pk,
        "console_statement": desk.acme.pk,
        "console_credits": desk.acme.pk,
        "console_topup": desk.acme.pk,
        "console_auto_topup": desk.acme.pk,
        "console_schedule": desk.acme.pk,
        "console_transfer": desk.acme.pk,
        "console_explain": desk.usage_line().pk,
        "console_explain_events": desk.usage_line().pk,
    }
    first = {
        "plans_plan_change": Plan,
        "plans_planversion_change": PlanVersion,
        "plans_subscription_change": Subscription,
        "metering_meter_change": Meter,
        "ledger_account_change": Account,
        "console_account": Account,
        "console_grant": CreditGrant,
        "console_drawdown": Drawdown,
        "console_schedule_end": CreditSchedule,
        "console_topup_give_up": TopUp,
        "ledger_creditgrant_change": CreditGrant,
        "invoicing_paymentattempt_change": PaymentAttempt,
        "invoicing_stripeevent_change": StripeEvent,
        "invoicing_stripeevent_replay": StripeEvent,
        "billing_ops_auditentry_change": AuditEntry,
        "billing_ops_failedwork_change": FailedWork,
        "console_key_revoke": ApiKey,
        "console_period_soft_close": Period,
        "console_period_close": Period,
        "console_period_reopen": Period,
        "console_approval": Approval,
        "console_approval_approve": Approval,
        "console_approval_reject": Approval,
        "console_approval_withdraw": Approval,
    }
    if name in first:
        return str(first[name]._default_manager.order_by("pk")[0].pk)
    if name == "console_entry":
        return str(Entry.objects.order_by("pk")[0].public_id)
    return str(rows.get(name, ""))
