"""The periods of the books and the seals over them: what is closed, by whom and why, and closing and reopening."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect

from billing_ops.console.frame import show
from billing_ops.console.people import actor_of
from billing_ops.kit import clock
from billing_ops.kit.approvals import PENDING
from billing_ops.kit.errors import BillingError
from billing_ops.models import Approval, AuditEntry
from ledger import closing, reopening, sealing
from ledger.models import Period, PeriodChange

_SHOWN: Final = 60
_HISTORY: Final = 50

REASONS: Final = (
    ("wrong_invoice", "A wrong invoice or credit note"),
    ("missing_entry", "An entry is missing"),
    ("audit_adjustment", "The auditors' adjustment"),
    ("closed_by_mistake", "Closed by mistake"),
)
"""Why a period is reopened."""


@dataclass(frozen=True, slots=True)
class Row:
    """A period and what may be done with it; a refusal says why not."""

    period: Period
    last_day: date
    last: PeriodChange | None
    reopened: bool
    request: Approval | None
    closing_refused: str
    reopening_refused: str


def periods_page(request: HttpRequest) -> HttpResponse:
    """The periods, newest first, their history, and the chain of seals."""
    at = clock.now()
    context = {
        "title": "Periods",
        "header_note": "Nothing is posted into a closed period; every change of one is kept.",
        "rows": _rows(at),
        "history": list(PeriodChange.objects.select_related("period").order_by("-id")[:_HISTORY]),
        "reasons": REASONS,
        "may_close": request.user.has_perm("ledger.close_period"),
        "head": sealing.head(),
        "waiting": sealing.waiting(),
        "verified": AuditEntry.objects.filter(action="ledger.verified").order_by("-id").first(),
    }
    return show(request, "console/periods.html", context)


def soft_close(request: HttpRequest, pk: int) -> HttpResponse:
    """Let only a person's adjustments into a period. Sent twice is once."""

    def act(period: Period) -> str:
        done = closing.soft_close(period=period, at=clock.now(), actor=actor_of(request), note=_note(request))
        return f"The books of {done.starts_on:%B %Y} are soft-closed: they take adjustments by people, with a reason."

    return _do(request, pk, act)


def close(request: HttpRequest, pk: int) -> HttpResponse:
    """Close a period. Sent twice is once."""

    def act(period: Period) -> str:
        done = closing.close(period=period, at=clock.now(), actor=actor_of(request), note=_note(request))
        return f"The books of {done.starts_on:%B %Y} are closed."

    return _do(request, pk, act)


def ask_to_reopen(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask for a period to be reopened; somebody else decides. Asked twice is once."""
    period = get_object_or_404(Period.objects.select_related("book"), pk=pk)
    reason = request.POST.get("reason", "")
    try:
        approval = reopening.ask(
            period=period,
            reason=reason if reason in dict(REASONS) else "",
            note=_note(request),
            at=clock.now(),
            actor=actor_of(request),
            key=_key(request, period),
        )
    except BillingError as error:
        messages.error(request, str(error))
        return redirect("admin:console_periods")
    messages.info(request, "Somebody else decides whether the period is reopened. The request waits here.")
    return redirect("admin:console_approval", approval.pk)


def _do(request: HttpRequest, pk: int, act: Callable[[Period], str]) -> HttpResponse:
    period = get_object_or_404(Period.objects.select_related("book"), pk=pk)
    try:
        messages.success(request, act(period))
    except BillingError as error:
        messages.error(request, str(error))
    return redirect("admin:console_periods")


def _rows(at: datetime) -> list[Row]:
    periods = list(Period.objects.select_related("book").order_by("-starts_on")[:_SHOWN])
    changes: dict[int, PeriodChange] = {}
    for change in PeriodChange.objects.filter(period__in=periods).order_by("id"):
        changes[change.period_id] = change
    waiting = {
        row.subject.get("period"): row
        for row in Approval.objects.filter(kind=closing.REOPEN, status=PENDING, expires_at__gt=at).order_by("id")
    }
    rows = []
    for period in periods:
        last = changes.get(period.pk)
        rows.append(
            Row(
                period=period,
                last_day=period.ends_before - timedelta(days=1),
                last=last,
                reopened=last is not None and last.to_status == "open",
                request=waiting.get(period.pk),
                closing_refused=_closing_refused(period, periods, at),
                reopening_refused=_reopening_refused(period, periods),
            )
        )
    return rows


def _closing_refused(period: Period, periods: list[Period], at: datetime) -> str:
    if at.astimezone(ZoneInfo(period.book.timezone)).date() < period.ends_before:
        return f"It runs: it can be closed from {period.ends_before} on."
    for other in reversed(periods):
        if other.book_id == period.book_id and other.starts_on < period.starts_on and other.status != "closed":
            return f"Close {other.starts_on:%B %Y} first."
    return ""


def _reopening_refused(period: Period, periods: list[Period]) -> str:
    for other in periods:
        if other.book_id == period.book_id and other.starts_on > period.starts_on and other.status == "closed":
            return "Only the latest closed period is reopened."
    return ""


def _note(request: HttpRequest) -> str:
    return request.POST.get("note", "").strip()[:2000]


def _key(request: HttpRequest, period: Period) -> str:
    """The same person asks for the same closing to be undone, for the same reason, once."""
    typed = [request.POST.get(name, "") for name in ("reason", "note", "at")]
    said = [request.user.get_username(), str(period.pk), str(period.changed_at), *typed]
    return f"console:reopen:{hashlib.sha256(repr(said).encode()).hexdigest()}"
