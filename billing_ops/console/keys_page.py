"""API keys: made here and shown once, revoked here."""

from collections.abc import Collection
from datetime import timedelta
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from billing_ops.console.frame import show
from billing_ops.console.people import actor_of
from billing_ops.console.roles import SCOPE_PERMISSIONS
from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from billing_ops.kit.http import issuing
from billing_ops.kit.http.scopes import SCOPES
from billing_ops.models import ApiKey

_SHOWN = 200


class KeyForm(forms.Form):
    """A key to be: what it is for, what it may do and for how long. It may do no more than whoever makes it."""

    name = forms.CharField(max_length=100, help_text="The program that uses it, e.g. usage collector.")
    scopes = forms.MultipleChoiceField(
        label="What it may do",
        widget=forms.CheckboxSelectMultiple,
    )
    days = forms.IntegerField(
        label="Days it is valid", min_value=1, max_value=3650, required=False, help_text="Empty: until it is revoked."
    )

    def __init__(self, *args: Any, grantable: Collection[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        choices = [(scope, f"{scope}: {meaning}") for scope, meaning in SCOPES.items() if scope in grantable]
        cast(forms.MultipleChoiceField, self.fields["scopes"]).choices = choices
        self.withheld = [scope for scope in SCOPES if scope not in grantable]


def grantable_scopes(request: HttpRequest) -> frozenset[str]:
    """The scopes that this person may give a key: those for what the person may do too."""
    return frozenset(
        scope
        for scope in SCOPES
        if (needed := SCOPE_PERMISSIONS.get(scope)) is not None and request.user.has_perms(needed)
    )


def keys_page(request: HttpRequest) -> HttpResponse:
    """The keys there are, and the form for a new one."""
    return _show(request, _new_form(request))


def create_key(request: HttpRequest) -> HttpResponse:
    """Make a key and show its text, this once."""
    form = KeyForm(request.POST, grantable=grantable_scopes(request))
    if not form.is_valid():
        return _show(request, form, status=422)
    at, days = clock.now(), form.cleaned_data["days"]
    try:
        issued = issuing.issue(
            name=form.cleaned_data["name"],
            scopes=form.cleaned_data["scopes"],
            at=at,
            actor=actor_of(request),
            expires_at=at + timedelta(days=days) if days else None,
        )
    except BillingError as error:
        form.add_error(None, str(error))
        return _show(request, form, status=error.http_status)
    return _show(request, _new_form(request), issued=issued, status=201)


def revoke_key(request: HttpRequest, pk: int) -> HttpResponse:
    """Withdraw a key. Twice is once."""
    prefix = ApiKey.objects.filter(pk=pk).values_list("prefix", flat=True).first() or ""
    try:
        key = issuing.revoke(prefix=prefix, at=clock.now(), actor=actor_of(request))
        messages.success(request, f"The key “{key.name}” is revoked; within a minute no process accepts it any more.")
    except BillingError as error:
        messages.error(request, str(error))
    return redirect("admin:console_keys")


def _new_form(request: HttpRequest) -> KeyForm:
    return KeyForm(grantable=grantable_scopes(request))


def _show(request: HttpRequest, form: KeyForm, **more: Any) -> HttpResponse:
    status = more.pop("status", 200)
    at = clock.now()
    rows = [
        {"key": key, "over": key.expires_at is not None and key.expires_at <= at}
        for key in ApiKey.objects.order_by("revoked_at", "name", "id")[:_SHOWN]
    ]
    context = {
        "title": "API keys",
        "header_note": "A key is shown once, when it is made; we keep only its hash.",
        "form": form,
        "rows": rows,
        "may_manage": request.user.has_perm("billing_ops.manage_apikey"),
        **more,
    }
    return show(request, "console/keys.html", context, status=status)
