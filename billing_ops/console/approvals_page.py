"""Approvals: the queue, one request with what it would write, and deciding it.

People see the requests of the kinds that they may decide, and their own. The page of a request shows the preview; its
fingerprint goes along with the approval, so that what is done is what was seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.http import urlencode

from billing_ops.console.frame import crumb, show
from billing_ops.console.people import actor_of, conflicts_of
from billing_ops.kit import approving, clock
from billing_ops.kit.admin_base import linked
from billing_ops.kit.approval_kinds import Preview, kinds
from billing_ops.kit.approvals import FLAGS, PENDING, same_person
from billing_ops.kit.errors import BillingError
from billing_ops.models import Approval
from ledger import approved
from plans.models import Customer

PAGE: Final = 50
_MOST_NOTE: Final = 2000

STATES: Final = {
    "waiting": "Waiting",
    "approved": "Approved",
    "rejected": "Rejected",
    "withdrawn": "Withdrawn",
    "expired": "Expired",
    "void": "Replaced by another",
    "all": "All",
}


class QueueFilter(forms.Form):
    """What narrows the queue down; it stands in the address."""

    state = forms.ChoiceField(choices=list(STATES.items()), required=False)
    kind = forms.ChoiceField(required=False)
    by = forms.ChoiceField(label="Asked by", choices=[("", "Anybody"), ("me", "Me")], required=False)
    flag = forms.ChoiceField(
        label="Flagged", choices=[("", "Whether or not"), ("any", "For any reason"), *FLAGS.items()], required=False
    )
    after = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = self.fields["kind"]
        assert isinstance(kind, forms.ChoiceField)
        kind.choices = [("", "All"), *((code, one.title) for code, one in sorted(kinds().items()))]


@dataclass(frozen=True)
class Row:
    """A request in the queue."""

    approval: Approval
    title: str
    state: str
    customer: str
    age_seconds: float
    mine: bool


def deciding(request: HttpRequest) -> list[str]:
    """The kinds that this person may decide."""
    return [code for code, kind in kinds().items() if request.user.has_perm(kind.permission)]


def visible(request: HttpRequest) -> QuerySet[Approval]:
    """The requests that this person may see."""
    own = Q(requested_by_type="user", requested_by_id=request.user.get_username())
    return Approval.objects.filter(own | Q(kind__in=deciding(request)))


def waiting(request: HttpRequest, *, at: datetime) -> int:
    """How many requests wait for this person: of kinds that they may decide, asked for by others."""
    rows = Approval.objects.filter(kind__in=deciding(request), status=PENDING, expires_at__gt=at)
    return rows.exclude(requested_by_id__iexact=request.user.get_username()).count()


def approvals_page(request: HttpRequest) -> HttpResponse:
    """The queue: what waits, oldest first; or what was decided, newest first."""
    at = clock.now()
    form = QueueFilter({"state": "waiting", **request.GET.dict()})
    valid, chosen = form.is_valid(), form.cleaned_data
    rows = _chosen(request, chosen, at) if valid else Approval.objects.none()
    found = list(rows[: PAGE + 1])
    shown = found[:PAGE]
    kept = {name: request.GET[name] for name in form.fields if name != "after" and request.GET.get(name)}
    context = {
        "title": "Approvals",
        "header_note": "What one person asks for and another decides.",
        "form": form,
        "filtered": bool(kept),
        "state": chosen.get("state") or "waiting",
        "rows": _rows(request, shown, at),
        "decides": bool(deciding(request)),
        "first_url": f"?{urlencode(kept)}" if chosen.get("after") else "",
        "next_url": f"?{urlencode({**kept, 'after': str(shown[-1].pk)})}" if len(found) > PAGE else "",
    }
    return show(request, "console/approvals.html", context)


def _chosen(request: HttpRequest, chosen: dict[str, Any], at: datetime) -> QuerySet[Approval]:
    rows, state = visible(request), chosen.get("state") or "waiting"
    over = Q(status=PENDING, expires_at__lte=at)
    if state == "waiting":
        rows = rows.filter(status=PENDING, expires_at__gt=at)
    elif state == "expired":
        rows = rows.filter(Q(status="expired") | over)
    elif state != "all":
        rows = rows.filter(status=state)
    if kind := chosen.get("kind"):
        rows = rows.filter(kind=kind)
    if chosen.get("by") == "me":
        rows = rows.filter(requested_by_type="user", requested_by_id=request.user.get_username())
    if flag := chosen.get("flag"):
        rows = rows.exclude(flags=[]) if flag == "any" else rows.filter(flags__contains=[flag])
    oldest_first = state == "waiting"
    if after := chosen.get("after"):
        rows = rows.filter(pk__gt=after) if oldest_first else rows.filter(pk__lt=after)
    return rows.order_by("id" if oldest_first else "-id")


def _rows(request: HttpRequest, rows: list[Approval], at: datetime) -> list[Row]:
    names = dict(Customer.objects.filter(key__in={row.customer_key for row in rows}).values_list("key", "name"))
    titles = {code: kind.title for code, kind in kinds().items()}
    return [
        Row(
            row,
            titles.get(row.kind, row.kind),
            state_of(row, at),
            names.get(row.customer_key, row.customer_key),
            (at - row.requested_at).total_seconds(),
            same_person(row.requested_by_id, request.user.get_username()),
        )
        for row in rows
    ]


def state_of(row: Approval, at: datetime) -> str:
    """A request's state in a word; one whose time is over is expired before the clock has said so."""
    if row.status == PENDING:
        return "expired" if at >= row.expires_at else "waiting"
    return row.status


def approval_page(request: HttpRequest, pk: int) -> HttpResponse:
    """One request: who asks for what and why, what it would write, and the decision."""
    return _page(request, _found(request, pk))


def approve(request: HttpRequest, pk: int) -> HttpResponse:
    """Approve what was seen, and do it."""
    row = _found(request, pk)
    _may_decide(request, row)
    addresses = [one.email for one in _customers(row)]

    def act(at: datetime) -> Approval:
        return approving.approve(
            approval_id=row.pk,
            seen=request.POST.get("seen", ""),
            actor=actor_of(request),
            at=at,
            note=_note(request),
            conflicts=conflicts_of(request, addresses),
        )

    return _decided(request, row, "approved", act)


def reject(request: HttpRequest, pk: int) -> HttpResponse:
    """Refuse, saying why."""
    row = _found(request, pk)
    _may_decide(request, row)

    def act(at: datetime) -> Approval:
        return approving.reject(approval_id=row.pk, actor=actor_of(request), at=at, note=_note(request))

    return _decided(request, row, "rejected", act)


def withdraw(request: HttpRequest, pk: int) -> HttpResponse:
    """Take one's own request back."""
    row = _found(request, pk)
    return _decided(
        request, row, "withdrawn", lambda at: approving.withdraw(approval_id=row.pk, actor=actor_of(request), at=at)
    )


def _decided(request: HttpRequest, row: Approval, done: str, act: Callable[[datetime], Approval]) -> HttpResponse:
    try:
        act(clock.now())
    except BillingError as error:
        row.refresh_from_db()
        return _page(request, row, warning=str(error), note=_note(request), status=error.http_status)
    if row.status == done:
        messages.info(request, f"This was {done} already. Nothing was done twice.")
    else:
        messages.success(request, f"{row.summary}: {done}.")
    return redirect("admin:console_approval", row.pk)


def _page(request: HttpRequest, row: Approval, *, warning: str = "", note: str = "", status: int = 200) -> HttpResponse:
    at = clock.now()
    customers, kind = _customers(row), kinds().get(row.kind)
    state = state_of(row, at)
    preview, problem = _preview(row, at) if state == "waiting" else (None, "")
    mine = same_person(row.requested_by_id, request.user.get_username())
    context = {
        "title": row.summary,
        "header_note": kind.title if kind else row.kind,
        "breadcrumbs": [crumb("Approvals", reverse("admin:console_approvals"))],
        "row": row,
        "state": state,
        "state_word": STATES.get(state, state),
        "customers": customers,
        "flags": [FLAGS.get(flag, flag) for flag in row.flags],
        "preview": preview,
        "problem": problem,
        "seen": preview.fingerprint() if preview else "",
        "refusal": _refusal(request, row, customers, mine) if state == "waiting" else "",
        "led_to": _led_to(request, row),
        "mine": mine,
        "change_url": _change_url(row, customers) if mine and state == "waiting" else "",
        "replaced_by": getattr(row, "replaced_by", None),
        "warning": warning,
        "note": note,
    }
    return show(request, "console/approval.html", context, status=status)


def _preview(row: Approval, at: datetime) -> tuple[Preview | None, str]:
    """What approving would write, or why it cannot be done any more."""
    try:
        return approving.preview(approval=row, at=at), ""
    except BillingError as error:
        return None, error.message


def _led_to(request: HttpRequest, row: Approval) -> str:
    """What an approval was used for, as a link where there is a page of it that this person may open."""
    what, _, key = row.used_for.partition(":")
    text = f"{what.replace('_', ' ')} {key}".strip().capitalize()
    if what != "entry" or not request.user.has_perm("ledger.view_journal"):
        return text
    return linked("admin:console_entry", key, text)


def _change_url(row: Approval, customers: list[Customer]) -> str:
    """Where its asker changes a request; the kinds without a form of their own are withdrawn and asked for again."""
    if row.kind != approved.GRANT or not customers:
        return ""
    return f"{reverse('admin:console_credit', args=[customers[0].pk])}?replaces={row.pk}"


def _refusal(request: HttpRequest, row: Approval, customers: list[Customer], mine: bool) -> str:
    """Why this person cannot decide, in words; empty if they can."""
    if row.kind not in deciding(request):
        return "Your role does not include deciding this."
    if mine:
        return "You asked for this yourself: somebody else decides."
    if conflicts_of(request, [one.email for one in customers]):
        return "Your e-mail address belongs to this customer: somebody else decides."
    return ""


def _found(request: HttpRequest, pk: int) -> Approval:
    row = visible(request).filter(pk=pk).select_related("replaces", "replaced_by").first()
    if row is None:
        raise Http404
    return row


def _may_decide(request: HttpRequest, row: Approval) -> None:
    if row.kind not in deciding(request):
        raise PermissionDenied


def _customers(row: Approval) -> list[Customer]:
    """The customers that a request is about: a transfer is about two."""
    kind = kinds().get(row.kind)
    keys = kind.customers(row) if kind else [row.customer_key]
    return list(Customer.objects.filter(key__in=keys).order_by("pk"))


def _note(request: HttpRequest) -> str:
    return request.POST.get("note", "").replace("\0", "").strip()[:_MOST_NOTE]
