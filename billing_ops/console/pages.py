"""The table of the console's own pages: route, name, view, who may open it and how.

One place decides permission and method for all of them; a view can rely on both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseNotAllowed
from django.http.response import HttpResponseBase

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True)
class Page:
    """A page of the console. ``view`` is guarded: other methods get 405, other people 403."""

    route: str
    name: str
    view: View
    permission: str
    methods: tuple[str, ...]


def _page(route: str, name: str, view: View, permission: str, *methods: str) -> Page:
    allowed = methods or ("GET", "HEAD")

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.has_perm(permission):
            raise PermissionDenied
        if request.method not in allowed:
            return HttpResponseNotAllowed(allowed)
        return view(request, *args, **kwargs)

    return Page(route, name, guarded, permission, allowed)


def _pages() -> list[Page]:
    from billing_ops.console import (
        account_page,
        approvals_page,
        credit_acts,
        credit_page,
        customer_page,
        drawdown_page,
        entry_page,
        explain_page,
        grant_page,
        invoice_page,
        journal_page,
        keys_page,
        limits_page,
        periods_page,
        trial_balance_page,
        units_page,
        usage_pages,
    )

    customer, invoice, journal = "plans.view_customer", "invoicing.view_invoice", "ledger.view_journal"
    usage, keys = "metering.investigate_usage", "billing_ops.manage_apikey"
    approvals, closing = "billing_ops.view_approval", "ledger.close_period"
    form = ("GET", "HEAD", "POST")
    topping_up, scheduling = "invoicing.order_topup", "ledger.manage_schedules"
    return [
        _page("customers/<int:pk>/", "console_customer", customer_page.customer_page, customer),
        _page("customers/<int:pk>/credit/", "console_credit", credit_page.credit_page, "ledger.issue_credit", *form),
        _page("customers/<int:pk>/credits/", "console_credits", credit_acts.credits_page, "ledger.view_creditgrant"),
        _page("customers/<int:pk>/top-up/", "console_topup", credit_acts.top_up, topping_up, *form),
        _page("customers/<int:pk>/auto-top-up/", "console_auto_topup", credit_acts.auto_top_up, topping_up, *form),
        _page("customers/<int:pk>/schedule/", "console_schedule", credit_acts.schedule, scheduling, *form),
        _page("customers/<int:pk>/transfer/", "console_transfer", credit_acts.transfer, "ledger.issue_credit", *form),
        _page("schedules/<int:pk>/end/", "console_schedule_end", credit_acts.end_schedule, scheduling, "POST"),
        _page("top-ups/<int:pk>/give-up/", "console_topup_give_up", credit_acts.give_up, topping_up, "POST"),
        _page("units/", "console_units", units_page.units_page, "ledger.view_unitrate"),
        _page("units/register/", "console_unit_register", units_page.register_unit, "ledger.set_rates", "POST"),
        _page("units/rate/", "console_unit_rate", units_page.set_rate, "ledger.set_rates", "POST"),
        _page("invoices/<int:pk>/", "console_invoice", invoice_page.invoice_page, invoice),
        _page("invoices/<int:pk>/print/", "console_invoice_print", invoice_page.invoice_print, invoice),
        _page(
            "invoices/<int:pk>/finalize/",
            "console_invoice_finalize",
            invoice_page.finalize,
            "invoicing.finalize_invoice",
            "POST",
        ),
        _page(
            "invoices/<int:pk>/collect/",
            "console_invoice_collect",
            invoice_page.collect,
            "invoicing.collect_invoice",
            "POST",
        ),
        _page("lines/<int:pk>/explain/", "console_explain", explain_page.line_page, invoice),
        _page("lines/<int:pk>/explain/events/", "console_explain_events", explain_page.events_page, invoice),
        _page("drawdowns/<int:pk>/", "console_drawdown", drawdown_page.drawdown_page, invoice),
        _page("journal/", "console_journal", journal_page.journal_page, journal),
        _page("accounts/<int:pk>/", "console_account", account_page.account_page, journal),
        _page("entries/<uuid:public_id>/", "console_entry", entry_page.entry_page, journal),
        _page("trial-balance/", "console_trial_balance", trial_balance_page.trial_balance_page, journal),
        _page("trial-balance/export/", "console_ledger_export", trial_balance_page.export, journal, "POST"),
        _page("grants/<int:pk>/", "console_grant", grant_page.grant_page, "ledger.view_creditgrant"),
        _page("customers/<int:pk>/statement/", "console_statement", account_page.customer_statement, customer),
        _page("events/", "console_events", usage_pages.events_page, usage),
        _page("events/one/", "console_event", usage_pages.event_page, usage),
        _page("uncounted/", "console_uncounted", usage_pages.uncounted_page, usage),
        _page("batches/", "console_batches", usage_pages.batches_page, usage),
        _page("approvals/", "console_approvals", approvals_page.approvals_page, approvals),
        _page("approvals/<int:pk>/", "console_approval", approvals_page.approval_page, approvals),
        _page("approvals/<int:pk>/approve/", "console_approval_approve", approvals_page.approve, approvals, "POST"),
        _page("approvals/<int:pk>/reject/", "console_approval_reject", approvals_page.reject, approvals, "POST"),
        _page("approvals/<int:pk>/withdraw/", "console_approval_withdraw", approvals_page.withdraw, approvals, "POST"),
        _page("limits/", "console_limits", limits_page.limits_page, "ledger.view_creditlimit"),
        _page("limits/set/", "console_limit_set", limits_page.set_limit, "ledger.set_limits", "POST"),
        _page("periods/", "console_periods", periods_page.periods_page, "ledger.view_period"),
        _page("periods/<int:pk>/soft-close/", "console_period_soft_close", periods_page.soft_close, closing, "POST"),
        _page("periods/<int:pk>/close/", "console_period_close", periods_page.close, closing, "POST"),
        _page("periods/<int:pk>/reopen/", "console_period_reopen", periods_page.ask_to_reopen, closing, "POST"),
        _page("keys/", "console_keys", keys_page.keys_page, "billing_ops.view_apikey"),
        _page("keys/create/", "console_key_create", keys_page.create_key, keys, "POST"),
        _page("keys/<int:pk>/revoke/", "console_key_revoke", keys_page.revoke_key, keys, "POST"),
    ]


PAGES: list[Page] = _pages()
