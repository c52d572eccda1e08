"""Issuing a credit: a form, a preview that is what will be written, and one grant however often it is sent.

The form has a number: how many credits this person gave this customer before. Number, person and customer make the
grant's key, so a double click, Enter twice, two tabs and going back and sending again all carry the same key. The
number stands in the address: a form that was used says so when it is opened again.
"""

import hashlib
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from billing_ops.console.credit_form import CreditForm
from billing_ops.console.frame import crumb, show
from billing_ops.console.people import actor_of, authority_of
from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError, Conflict
from billing_ops.kit.fields import display
from ledger import crediting, holders
from ledger.models import CreditGrant
from plans.models import Customer


class BalanceMoved(Conflict):
    """The balances changed between the preview and the confirmation."""

    code = "credit.preview_stale"
    remedy = "Look at the new preview and confirm it."


def credit_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the form, its preview, or issue the credit, depending on how it is called."""
    customer = get_object_or_404(Customer, pk=pk)
    if request.method != "POST":
        return _opened(request, customer)
    number = _number(request.POST.get("form"))
    if number is None:
        return redirect("admin:console_credit", customer.pk)
    form = CreditForm(request.POST, currency=customer.currency, at=clock.now())
    if not form.is_valid():
        return _form(request, customer, form, number, status=422)
    return _sent(request, customer, form, number)


def _sent(request: HttpRequest, customer: Customer, form: CreditForm, number: int) -> HttpResponse:
    """A form without a mistake: preview it, or issue what was previewed."""
    step = _issue if request.POST.get("step") == "issue" else _preview
    try:
        return step(request, customer, form, number)
    except BalanceMoved as error:
        return _preview(request, customer, form, number, warning=str(error))
    except BillingError as error:
        form.add_error(None, str(error))
        return _form(request, customer, form, number, status=error.http_status)


def _opened(request: HttpRequest, customer: Customer) -> HttpResponse:
    number = _number(request.GET.get("form"))
    fresh = _given_before(request, customer)
    if number is None or number > fresh:
        return redirect(f"{reverse('admin:console_credit', args=[customer.pk])}?form={fresh}")
    used = CreditGrant.objects.filter(idempotency_key=_key(request, customer, number)).first()
    form = CreditForm(currency=customer.currency, at=clock.now(), initial={"currency": customer.currency})
    return _form(request, customer, form, number, used=used)


def _form(
    request: HttpRequest,
    customer: Customer,
    form: CreditForm,
    number: int,
    *,
    used: CreditGrant | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {**_frame(customer), "form": form, "number": number, "used": used}
    return show(request, "console/credit_form.html", context, status=status)


def _preview(
    request: HttpRequest, customer: Customer, form: CreditForm, number: int, *, warning: str = ""
) -> HttpResponse:
    preview = crediting.preview(customer_key=customer.key, at=clock.now(), actor=actor_of(request), **form.terms)
    context = {
        **_frame(customer),
        "form": form,
        "number": number,
        "preview": preview,
        "terms": form.terms,
        "warning": warning,
    }
    return show(request, "console/credit_preview.html", context, status=409 if warning else 200)


def _issue(request: HttpRequest, customer: Customer, form: CreditForm, number: int) -> HttpResponse:
    at, actor, key = clock.now(), actor_of(request), _key(request, customer, number)
    known = CreditGrant.objects.filter(idempotency_key=key).exists()
    if not known:
        seen = crediting.preview(customer_key=customer.key, at=at, actor=actor, **form.terms).before.version
        if str(seen) != request.POST.get("version"):
            raise BalanceMoved("The customer’s balances changed since the preview.")
    with transaction.atomic():
        # The form was read in the customer's currency of then: it must be theirs until the credit is theirs.
        holders.check(customer_key=customer.key, unit=customer.currency)
        grant = crediting.grant(
            customer_key=customer.key,
            at=at,
            actor=actor,
            key=key,
            authority=authority_of(request, customer),
            **form.terms,
        )
    amount = display(form.money)
    if known:
        messages.info(request, f"This credit of {amount} was issued already. It was not issued again.")
    else:
        messages.success(request, f"Issued {amount} of {grant.kind} credit to {customer.name}.")
    return redirect("admin:console_customer", customer.pk)


def _frame(customer: Customer) -> dict[str, Any]:
    return {
        "title": "Issue a credit",
        "header_note": str(customer),
        "breadcrumbs": [
            crumb("Customers", reverse("admin:plans_customer_changelist")),
            crumb(customer.name, reverse("admin:console_customer", args=[customer.pk])),
        ],
        "customer": customer,
    }


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 9 else None


def _given_before(request: HttpRequest, customer: Customer) -> int:
    return CreditGrant.objects.filter(
        customer_key=customer.key, requested_by_type="user", requested_by_id=request.user.get_username()
    ).count()


def _key(request: HttpRequest, customer: Customer, number: int) -> str:
    said = "\0".join((request.user.get_username(), customer.key, str(number)))
    return f"console:{hashlib.sha256(said.encode()).hexdigest()}"
