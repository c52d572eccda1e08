"""The pages of *explain this amount*: a line, and the raw events of one of its days or hours."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode

from billing_ops.console import explain
from billing_ops.console.cursors import read_cursor, write_cursor
from billing_ops.console.frame import crumb, show
from billing_ops.kit import clock
from invoicing.models import InvoiceLine
from metering import usage

PAGE = 100
_LENGTHS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}


def line_page(request: HttpRequest, pk: int) -> HttpResponse:
    """How the amount of a line comes about, recomputed now."""
    line = _line(pk)
    context = {
        **_frame(line),
        "title": "Explain this amount",
        "header_note": line.description,
        "explained": explain.explain(line, at=clock.now()),
    }
    return show(request, "console/explain.html", context)


def events_page(request: HttpRequest, pk: int) -> HttpResponse:
    """The raw events of one UTC day or hour of a usage line, page by page, with what each counted."""
    line = _line(pk)
    start = _instant(request.GET.get("from", ""))
    length = _LENGTHS.get(request.GET.get("span", "hour"))
    if line.kind != InvoiceLine.Kind.USAGE or start is None or length is None:
        raise Http404("No usage line, or no such hour")
    period = explain.part_of(line, start, length)
    if period is None:
        raise Http404("That hour is outside the service period")
    subject = line.agreed_item.subscription.customer.key
    meter = explain.meter_of(line)
    page = usage.events_of(
        meter=meter, subject=subject, period=period, after=_position(request.GET.get("after", "")), limit=PAGE
    )
    here = {"from": request.GET["from"], "span": request.GET.get("span", "hour")}
    context = {
        **_frame(line),
        "title": "Events behind the amount",
        "header_note": f"{line.agreed_price.name}, {period.start:%Y-%m-%d %H:%M} to {period.end:%Y-%m-%d %H:%M} UTC",
        "period": period,
        "reading": usage.quantity(meter=meter, subject=subject, period=period, at=clock.now()),
        "meter": meter,
        "events": [
            {"event": event, "late": line.watermark is not None and event.batch > line.watermark}
            for event in page.events
        ],
        "first_url": f"?{urlencode(here)}" if request.GET.get("after") else "",
        "next_url": f"?{urlencode({**here, 'after': _cursor(page.next)})}" if page.next else "",
    }
    context["breadcrumbs"].append(crumb("Explain", reverse("admin:console_explain", args=[line.pk])))
    return show(request, "console/explain_events.html", context)


def _cursor(position: usage.Position) -> str:
    return write_cursor(position.occurred_at.isoformat(), position.source, position.event_id)


def _position(text: str) -> usage.Position | None:
    parts = read_cursor(text, parts=3)
    return None if parts is None else usage.Position(datetime.fromisoformat(parts[0]), parts[1], parts[2])


def _came_late(line: InvoiceLine, event: usage.CountedEvent) -> bool:
    return line.watermark is not None and event.batch > line.watermark


def _line(pk: int) -> InvoiceLine:
    found = (
        InvoiceLine.objects.select_related(
            "invoice__customer",
            "price__version__plan",
            "price__meter",
            "item__price__version",
            "item__price__meter",
            "item__subscription__customer",
        )
        .prefetch_related("price__tiers", "item__price__tiers")
        .filter(pk=pk, item__isnull=False)
        .first()
    )
    if found is None:
        raise Http404(f"No invoice line {pk}")
    return found


def _frame(line: InvoiceLine) -> dict[str, Any]:
    return {
        "line": line,
        "invoice": line.invoice,
        "breadcrumbs": [
            crumb(line.invoice.customer.name, reverse("admin:console_customer", args=[line.invoice.customer_id])),
            crumb(str(line.invoice), reverse("admin:console_invoice", args=[line.invoice_id])),
        ],
    }


def _instant(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H").replace(tzinfo=UTC)
    except ValueError:
        return None
