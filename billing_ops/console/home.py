"""Home: usage now, money this month, and the work that fails or waits."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q, Sum
from django.http import HttpRequest
from django.urls import reverse
from moneyed import Money, get_currency

from billing_ops.console import approvals_page, charts
from billing_ops.kit import clock
from billing_ops.kit.periods import Period
from billing_ops.models import FailedWork
from invoicing.models import Invoice, PaymentAttempt, StripeEvent
from metering import usage
from metering.models import Meter

HOURS = 48
_MOST_METERS = 4
# Work that is due is normally taken within seconds; what waits longer than this needs somebody.
_PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Trouble:
    """A kind of work that fails or waits: how much, and where to see it."""

    title: str
    count: int
    url: str
    hint: str


def home(request: HttpRequest) -> dict[str, Any]:
    """The context of the home page; each part only for who may see it."""
    at = clock.now()
    user = request.user
    context: dict[str, Any] = {"as_of": at}
    if user.has_perm("metering.view_meter"):
        context |= {"lag": usage.lag(at=at), "usage_charts": _usage(at), "shows_usage": True}
    if user.has_perm("invoicing.view_invoice"):
        context |= {"money": _money(at), "shows_money": True}
    troubles = [*_waiting_approvals(request, at), *_failing_payments(request, at), *_failing_work(request, at)]
    context |= {"troubles": [one for one in troubles if one.count], "watched": len(troubles)}
    if user.has_perm("billing_ops.view_failedwork"):
        context["failed_work"] = list(FailedWork.objects.order_by("-last_failed_at")[:5])
    return context


def _usage(at: datetime) -> list[charts.Chart]:
    end = at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)
    period = Period(end - timedelta(hours=HOURS), end)
    pictures = []
    for meter in Meter.objects.filter(archived_at=None).order_by("id")[:_MOST_METERS]:
        hours = usage.hourly(meter=meter, subject=None, period=period)
        pictures.append(charts.by_hour(meter.name, hours, start=period.start, count=HOURS, unit=meter.unit))
    return pictures


def _money(at: datetime) -> dict[str, Any]:
    """Invoiced since the first of the month, and what is open, by currency."""
    month = at.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    final = Invoice.objects.exclude(status__in=[Invoice.Status.DRAFT, Invoice.Status.VOID])
    invoiced = final.filter(finalized_at__gte=month).values("currency").annotate(sum=Sum("total"), count=Count("pk"))
    unpaid = (
        Invoice.objects.filter(status=Invoice.Status.OPEN)
        .values("currency")
        .annotate(sum=Sum(F("amount_due") - F("amount_paid")), count=Count("pk"), overdue=_overdue(at))
    )
    return {
        "month": month,
        "invoiced": [_figure(row) for row in invoiced.order_by("currency")],
        "unpaid": [_figure(row) for row in unpaid.order_by("currency")],
        "drafts": Invoice.objects.filter(status=Invoice.Status.DRAFT).count(),
    }


def _overdue(at: datetime) -> Count:
    return Count("pk", filter=Q(due_at__lt=at))


def _figure(row: Mapping[str, Any]) -> dict[str, Any]:
    return {**row, "sum": Money(row["sum"] or 0, get_currency(row["currency"]))}


def _waiting_approvals(request: HttpRequest, at: datetime) -> list[Trouble]:
    if not approvals_page.deciding(request):
        return []
    url = reverse("admin:console_approvals")
    return [Trouble("Approvals", approvals_page.waiting(request, at=at), url, "Asked for by others; you may decide.")]


def _failing_payments(request: HttpRequest, at: datetime) -> list[Trouble]:
    if not request.user.has_perm("invoicing.view_paymentattempt"):
        return []
    attempts = reverse("admin:invoicing_paymentattempt_changelist")
    invoices = reverse("admin:invoicing_invoice_changelist")
    pending = PaymentAttempt.objects.filter(status="pending", next_try_at__lt=at - _PATIENCE).count()
    failed = Invoice.objects.filter(status="open").filter(attempts__status="failed").distinct().count()
    drafts = Invoice.objects.filter(status="draft", auto_finalize_at__lt=at - _PATIENCE).count()
    return [
        Trouble("Declined payments", failed, f"{attempts}?status__exact=failed", "Open invoices whose card failed."),
        Trouble(
            "Payments without an answer",
            pending,
            f"{attempts}?status__exact=pending",
            "The processor has not said how they ended; they are asked for again by themselves.",
        ),
        Trouble("Drafts overdue", drafts, f"{invoices}?status__exact=draft", "They should have been finalised by now."),
    ]


def _failing_work(request: HttpRequest, at: datetime) -> list[Trouble]:
    if not request.user.has_perm("invoicing.view_stripeevent"):
        return []
    inbox = reverse("admin:invoicing_stripeevent_changelist")
    waiting = StripeEvent.objects.filter(handled_at=None, parked_at=None, received_at__lt=at - _PATIENCE).count()
    parked = StripeEvent.objects.filter(handled_at=None, parked_at__isnull=False).count()
    work = FailedWork.objects.count()
    return [
        Trouble("Parked webhooks", parked, f"{inbox}?state=parked", "They failed too often; replay them once fixed."),
        Trouble("Webhooks waiting", waiting, f"{inbox}?state=waiting", "Received, not handled yet."),
        Trouble(
            "Failing jobs", work, reverse("admin:billing_ops_failedwork_changelist"), "Tried again with growing pauses."
        ),
    ]
