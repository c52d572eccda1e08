"""One account: its balance now, and its statement as of any day on both clocks. And a customer's statement."""

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from billing_ops.console.frame import crumb, show
from billing_ops.console.paid_for import invoices_of
from billing_ops.console.statement_form import StatementForm, pages, position
from ledger import balances, statements
from ledger.models import Account, Balance, CreditGrant
from plans.models import Customer

PAGE = 50


class CustomerStatementForm(StatementForm):
    """Besides, which accounts and which unit."""

    scope = forms.ChoiceField(
        choices=[("due", "What is due"), ("credits", "Credits"), ("all", "Everything")], required=False
    )
    unit = forms.ChoiceField(required=False)

    field_order = ("scope", "unit", "since", "until", "known")


def account_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One account: what it holds now, and its lines with what each left."""
    account = get_object_or_404(Account.objects.select_related("code", "unit"), pk=pk)
    form = StatementForm(request.GET)
    found = statements.of_account(account=account, within=form.within, after=position(request), limit=PAGE)
    customer = Customer.objects.filter(key=account.customer_key).first() if account.customer_key else None
    grant = CreditGrant.objects.filter(account=account).first() if account.for_grant else None
    context = {
        "title": str(account.code),
        "header_note": " · ".join(part for part in (account.customer_key, account.dimension, account.unit_id) if part),
        "breadcrumbs": [crumb("Accounts", reverse("admin:ledger_account_changelist"))],
        "account": account,
        "balance": Balance.objects.filter(pk=account.pk).first(),
        "total": None if account.materialised else balances.as_of(account=account),
        "customer": customer,
        "grant": grant,
        "form": form,
        "filtered": any(request.GET.get(name) for name in form.fields),
        "statement": found,
        "invoices": invoices_of(line.refs.get("invoice", "") for line in found.lines),
        **pages(request, list(form.fields), found.next_after),
    }
    return show(request, "console/account.html", context)


def customer_statement(request: HttpRequest, pk: int) -> HttpResponse:
    """A customer's statement in one unit: what is due, the credits, or everything."""
    customer = get_object_or_404(Customer, pk=pk)
    units = balances.units_of(customer_key=customer.key) or [customer.currency]
    form = CustomerStatementForm(request.GET)
    choice = form.fields["unit"]
    assert isinstance(choice, forms.ChoiceField)
    choice.choices = [(unit, unit) for unit in units]
    within = form.within
    chosen = form.cleaned_data if form.is_valid() else {}
    unit = chosen.get("unit") or (customer.currency if customer.currency in units else units[0])
    found = statements.of_customer(
        customer_key=customer.key,
        unit=unit,
        scope=chosen.get("scope") or "due",
        within=within,
        after=position(request),
        limit=PAGE,
    )
    context = {
        "title": "Statement",
        "header_note": f"{customer} · {unit}",
        "breadcrumbs": [
            crumb("Customers", reverse("admin:plans_customer_changelist")),
            crumb(customer.name, reverse("admin:console_customer", args=[customer.pk])),
        ],
        "form": form,
        "filtered": any(request.GET.get(name) for name in form.fields),
        "statement": found,
        "invoices": invoices_of(line.refs.get("invoice", "") for line in found.lines),
        "with_accounts": True,
        **pages(request, list(form.fields), found.next_after),
    }
    return show(request, "console/statement.html", context)
