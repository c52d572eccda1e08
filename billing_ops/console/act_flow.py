"""Acts with a form: filled in, previewed, and done once however often it is sent.

A form that is opened gets a token; the token, the person, the customer and the act make the key of what is done. So a
double click, Enter twice and going back and sending again are the same act. What is confirmed is what was previewed:
the preview's fingerprint is posted along, and if it would be another now, the new preview is shown instead.
"""

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from billing_ops.console.frame import crumb, in_form, show
from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from ledger.journal import JournalLine
from plans.models import Customer

_TOKEN: Final = 32


class ActForm(forms.Form):
    """A form of an act for one customer."""

    def __init__(self, *args: Any, customer: Customer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.customer = customer
        self.at = clock.now()
        self.prepare()
        for name, one in self.fields.items():
            described = f"id_{name}_help id_{name}_error" if one.help_text else f"id_{name}_error"
            one.widget.attrs |= {"aria-describedby": described, "autocomplete": "off"}
        if self.is_bound:
            for name in self.errors:
                if name in self.fields:
                    self.fields[name].widget.attrs["aria-invalid"] = "true"

    def prepare(self) -> None:
        """What depends on the customer, before anything is checked."""


@dataclass(frozen=True)
class Shown:
    """What a preview shows: facts in words and numbers, and the journal lines that will be written."""

    headline: str
    facts: Mapping[str, str]
    lines: Sequence[JournalLine] = ()
    note: str = ""

    def fingerprint(self) -> str:
        """The same preview has the same fingerprint."""
        said = repr(
            (self.headline, sorted(self.facts.items()), [(x.side, x.code, str(x.amount), x.unit) for x in self.lines])
        )
        return hashlib.sha256(said.encode()).hexdigest()[:_TOKEN]


@dataclass(frozen=True)
class Act:
    """An act: its words, its form, what it would do, and doing it. ``do`` answers where to go and what to say."""

    name: str
    title: str
    confirm: str
    intro: str
    form: type[ActForm]
    preview: Callable[[HttpRequest, Any], Shown]
    do: Callable[[HttpRequest, Any, str], tuple[str, str]]
    initial: Callable[[Customer], dict[str, Any]] = field(default=lambda customer: {})


def run(request: HttpRequest, pk: int, act: Act) -> HttpResponse:
    """Show the form, its preview, or do it, depending on how it is called."""
    customer = get_object_or_404(Customer, pk=pk)
    if request.method != "POST":
        form = act.form(customer=customer, initial=act.initial(customer))
        return _form(request, act, form, secrets.token_hex(_TOKEN // 2))
    token = _token(request)
    form = act.form(request.POST, customer=customer)
    if request.POST.get("step") == "edit" or not form.is_valid():
        return _form(request, act, form, token, status=200 if form.is_valid() else 422)
    try:
        shown = act.preview(request, form)
        if request.POST.get("step") != "do":
            return _preview(request, act, form, token, shown)
        if request.POST.get("seen") != shown.fingerprint() and not _done(request, act, form, token):
            return _preview(request, act, form, token, shown, warning="What would be written has changed. Look again.")
        url, said = act.do(request, form, _key(request, act, customer, token))
    except BillingError as error:
        name = str(error.details.get("field", ""))
        form.add_error(name if name in form.fields else None, in_form(error) if name in form.fields else str(error))
        return _form(request, act, form, token, status=error.http_status)
    messages.success(request, said)
    return redirect(url)


def frame(customer: Customer, title: str) -> dict[str, Any]:
    """The title and the path above it."""
    return {
        "title": title,
        "header_note": str(customer),
        "breadcrumbs": [
            crumb("Customers", reverse("admin:plans_customer_changelist")),
            crumb(customer.name, reverse("admin:console_customer", args=[customer.pk])),
            crumb("Credits", reverse("admin:console_credits", args=[customer.pk])),
        ],
        "customer": customer,
    }


def _done(request: HttpRequest, act: Act, form: ActForm, token: str) -> bool:
    """A second click comes after the first changed what a preview would say; its key answers what is there."""
    return bool(request.session.get("acts", {}).get(act.name) == token)


def _token(request: HttpRequest) -> str:
    text = request.POST.get("token", "")
    return text if len(text) == _TOKEN and text.isascii() and text.isalnum() else secrets.token_hex(_TOKEN // 2)


def _key(request: HttpRequest, act: Act, customer: Customer, token: str) -> str:
    said = "\0".join((request.user.get_username(), customer.key, act.name, token))
    request.session["acts"] = {**request.session.get("acts", {}), act.name: token}
    return f"console:{act.name}:{hashlib.sha256(said.encode()).hexdigest()}"


def _form(request: HttpRequest, act: Act, form: ActForm, token: str, *, status: int = 200) -> HttpResponse:
    context = {**frame(form.customer, act.title), "act": act, "form": form, "token": token}
    return show(request, "console/act_form.html", context, status=status)


def _preview(
    request: HttpRequest, act: Act, form: ActForm, token: str, shown: Shown, *, warning: str = ""
) -> HttpResponse:
    context = {**frame(form.customer, act.title), "act": act, "form": form, "token": token, "shown": shown,
               "warning": warning}  # fmt: skip
    return show(request, "console/act_preview.html", context, status=409 if warning else 200)
