"""Issuing a credit: a form, a preview that is what will be written, and one grant however often it is sent.

The form has a number: how many credits this person gave this customer, or asked for, before. Number, person and
customer make the key, so a double click, Enter twice, two tabs and going back and sending again all carry the same key.
The number stands in the address: a form that was used says so when it is opened again.

Above what the person may give alone, the preview asks for a second person instead; the journal shown is what the
approval will write.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from billing_ops.console.credit_form import CreditForm
from billing_ops.console.frame import crumb, in_form, show
from billing_ops.console.people import actor_of, authority_of
from billing_ops.kit import approving, clock
from billing_ops.kit.approvals import PENDING
from billing_ops.kit.approving import AlreadyDecided, ApprovalDiffers
from billing_ops.kit.errors import BillingError, Conflict
from billing_ops.kit.fields import display
from billing_ops.kit.money import quantum
from billing_ops.models import Approval
from ledger import approved, crediting, holders, limiting, policies
from ledger.models import CreditGrant
from ledger.rules.limits import Above
from plans.models import Customer

_FIELD_OF = {"expires_at": "last_day", "amount": "amount", "ticket": "ticket", "note": "note"}


class BalanceMoved(Conflict):
    """The balances changed between the preview and the confirmation."""

    code = "credit.preview_stale"
    remedy = "Look at the new preview and confirm it."


@dataclass(frozen=True)
class Used:
    """What became of a form that was sent already."""

    grant: CreditGrant | None
    request: Approval | None


def credit_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the form, its preview, issue the credit or ask for it, depending on how it is called."""
    customer = get_object_or_404(Customer, pk=pk)
    if request.method != "POST":
        return _opened(request, customer)
    number, fresh = _number(request.POST.get("form")), _sent_before(request, customer)
    form = CreditForm(request.POST, currency=customer.currency, at=clock.now())
    if number is None or number > fresh:
        return _form(request, customer, form, fresh, warning="Look at it again: the form had no number.", status=422)
    if request.POST.get("step") == "edit" or not form.is_valid():
        return _form(request, customer, form, number, status=200 if form.is_valid() else 422)
    return _sent(request, customer, form, number)


def _sent(request: HttpRequest, customer: Customer, form: CreditForm, number: int) -> HttpResponse:
    """A form without a mistake: preview it, or do what was previewed."""
    step = {"issue": _issue, "ask": _ask}.get(request.POST.get("step", ""), _preview)
    try:
        return step(request, customer, form, number)
    except (BalanceMoved, limiting.AboveLimit) as error:
        return _preview(request, customer, form, number, warning=str(error))
    except (crediting.GrantDiffers, ApprovalDiffers) as error:
        return _lost(request, customer, form, number, error)
    except BillingError as error:
        name = _FIELD_OF.get(error.details.get("field", ""))
        form.add_error(name, in_form(error) if name else str(error))
        return _form(request, customer, form, number, status=error.http_status)


def _lost(request: HttpRequest, customer: Customer, form: CreditForm, number: int, error: BillingError) -> HttpResponse:
    """Another tab was first, with another credit: what was typed here stays, under a new number."""
    used = _used(request, customer, number)
    first = "Another credit"
    if used is not None and used.grant is not None:
        first = f"A credit of {limiting.shown(used.grant.amount, used.grant.unit_id)}"
    elif used is not None and used.request is not None:
        first = f"A request for {used.request.summary}"
    warning = (
        f"{first} was sent with this form before, perhaps from another tab. What you see here is another credit and was"
        " not issued. Preview it if it is wanted as well."
    )
    fresh = _sent_before(request, customer)
    return _form(request, customer, form, fresh, warning=warning, status=error.http_status)


def _opened(request: HttpRequest, customer: Customer) -> HttpResponse:
    number = _number(request.GET.get("form"))
    fresh = _sent_before(request, customer)
    if number is None or number > fresh:
        replaces = _number(request.GET.get("replaces"))
        more = f"&replaces={replaces}" if replaces else ""
        return redirect(f"{reverse('admin:console_credit', args=[customer.pk])}?form={fresh}{more}")
    used = _used(request, customer, number)
    changed = _changed(request, customer) if used is None else None
    form = CreditForm(currency=customer.currency, at=clock.now(), initial=_initial(customer, changed))
    return _form(request, customer, form, number, used=used)


def _initial(customer: Customer, changed: Approval | None) -> dict[str, Any]:
    """An empty form, or one with the content of a request that is being changed."""
    if changed is None:
        return {"currency": customer.currency}
    subject = changed.subject
    ends = datetime.fromisoformat(subject["expires_at"]) if subject["expires_at"] else None
    kept = {name: subject[name] for name in ("kind", "reason_code", "ticket", "note")}
    amount = Decimal(subject["amount"]).quantize(quantum(customer.currency))
    return {
        "currency": customer.currency,
        "amount": amount,
        "last_day": ends and ends.date() - timedelta(days=1),
        **kept,
    }


def _form(
    request: HttpRequest,
    customer: Customer,
    form: CreditForm,
    number: int,
    *,
    used: Used | None = None,
    warning: str = "",
    status: int = 200,
) -> HttpResponse:
    authority = authority_of(request, customer)
    standing = limiting.standing(
        customer_key=customer.key, unit=customer.currency, actor=actor_of(request), authority=authority, at=clock.now()
    )
    context = {
        **_frame(customer),
        "form": form,
        "number": number,
        "used": used,
        "standing": standing,
        "own_house": bool(authority.flags),
        "warning": warning,
        "keeps": f"{request.user.pk}-{customer.pk}-{number}",
        "replaces": _number(request.POST.get("replaces") or request.GET.get("replaces")) or "",
    }
    return show(request, "console/credit_form.html", context, status=status)


def _preview(
    request: HttpRequest, customer: Customer, form: CreditForm, number: int, *, warning: str = ""
) -> HttpResponse:
    at, actor = clock.now(), actor_of(request)
    preview = _would_be(request, customer, form, at)
    found = limiting.check(terms=preview.terms, actor=actor, authority=authority_of(request, customer), at=at)
    above = found if isinstance(found, Above) else None
    context = {
        **_frame(customer),
        "form": form,
        "number": number,
        "preview": preview,
        "terms": form.terms,
        "warning": warning,
        "replaces": _number(request.POST.get("replaces")) or "",
        "above": limiting.in_words(above, preview.terms.unit) if above else "",
        "left": limiting.shown(above.left, preview.terms.unit) if above and above.left else "",
    }
    return show(request, "console/credit_preview.html", context, status=409 if warning else 200)


def _issue(request: HttpRequest, customer: Customer, form: CreditForm, number: int) -> HttpResponse:
    at, actor, key = clock.now(), actor_of(request), _key(request, customer, number)
    used = _used(request, customer, number)
    known = used is not None and used.grant is not None
    if used is not None and used.request is not None:
        raise ApprovalDiffers("This form was used to ask for a credit.")
    if not known:
        _look_again(request, customer, form)
    with transaction.atomic():
        # The form was read in the customer's currency of then: it must be theirs until the credit is theirs.
        holders.check(customer_key=customer.key, unit=customer.currency)
        changed = _changed(request, customer) if not known else None
        if changed is not None:
            approving.withdraw(approval_id=changed.pk, actor=actor, at=at)
        grant = crediting.grant(
            customer_key=customer.key,
            at=at,
            actor=actor,
            key=key,
            authority=authority_of(request, customer),
            promo_policy=policies.promo(),
            **form.terms,
        )
    amount = display(form.money)
    if known:
        messages.info(request, f"This credit of {amount} was issued already. It was not issued again.")
    else:
        messages.success(request, f"Issued {amount} of {grant.kind} credit to {customer.name}.")
    return redirect("admin:console_customer", customer.pk)


def _ask(request: HttpRequest, customer: Customer, form: CreditForm, number: int) -> HttpResponse:
    at, actor = clock.now(), actor_of(request)
    used = _used(request, customer, number)
    if used is not None and used.grant is not None:
        raise crediting.GrantDiffers("This form was used to issue a credit.")
    holders.check(customer_key=customer.key, unit=customer.currency)
    terms = _would_be(request, customer, form, at).terms
    found = limiting.check(terms=terms, actor=actor, authority=authority_of(request, customer), at=at)
    if used is None and not isinstance(found, Above):
        raise BalanceMoved("You may give this credit alone now.", remedy="Confirm the new preview.")
    above = found if isinstance(found, Above) else Above("no_limit", "", terms.amount, terms.amount)
    changed = _changed(request, customer) if used is None else None
    row = approved.ask_for_credit(
        terms=terms, above=above, key=_key(request, customer, number), actor=actor, at=at, replaces=changed
    )
    if used is not None:
        messages.info(request, "You asked for this credit already. It was not asked for again.")
    else:
        messages.success(request, f"Asked for {row.summary}. Nothing is issued before somebody else approves.")
    return redirect("admin:console_approval", row.pk)


def _would_be(request: HttpRequest, customer: Customer, form: CreditForm, at: datetime) -> crediting.GrantPreview:
    return crediting.preview(
        customer_key=customer.key, at=at, actor=actor_of(request), promo_policy=policies.promo(), **form.terms
    )


def _look_again(request: HttpRequest, customer: Customer, form: CreditForm) -> None:
    """Raise :class:`BalanceMoved` if the preview that was confirmed shows other balances than there are."""
    seen = _would_be(request, customer, form, clock.now())
    if str(seen.before.version) != request.POST.get("version"):
        raise BalanceMoved("The customer’s balances changed since the preview.")


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


def _sent_before(request: HttpRequest, customer: Customer) -> int:
    """How many forms this person sent for this customer: credits given, and credits asked for."""
    mine = {"customer_key": customer.key, "requested_by_type": "user", "requested_by_id": request.user.get_username()}
    given = CreditGrant.objects.filter(approval_id=None, **mine).count()
    return given + Approval.objects.filter(kind=approved.GRANT, **mine).count()


def _changed(request: HttpRequest, customer: Customer) -> Approval | None:
    """The own request whose content this form changes, if its address names one. Raises :class:`AlreadyDecided`."""
    number = _number(request.POST.get("replaces") or request.GET.get("replaces"))
    if number is None:
        return None
    row = Approval.objects.filter(
        pk=number, kind=approved.GRANT, customer_key=customer.key, requested_by_type="user",
        requested_by_id=request.user.get_username(),
    ).first()  # fmt: skip
    if row is not None and row.status != PENDING and request.method == "POST":
        raise AlreadyDecided(f"The request that you are changing was {row.status} already.")
    return row if row is not None and row.status == PENDING else None


def _used(request: HttpRequest, customer: Customer, number: int) -> Used | None:
    key = _key(request, customer, number)
    grant = CreditGrant.objects.filter(idempotency_key=key).first()
    row = Approval.objects.filter(key=key).first()
    return Used(grant, row) if grant or row else None


def _key(request: HttpRequest, customer: Customer, number: int) -> str:
    said = "\0".join((request.user.get_username(), customer.key, str(number)))
    return f"console:{hashlib.sha256(said.encode()).hexdigest()}"
