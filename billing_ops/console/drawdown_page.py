"""Usage that is drawn from credits: a service period with its rating, and each draw and correction of it."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from billing_ops.console.frame import crumb, show
from billing_ops.kit import clock
from billing_ops.kit.periods import Period
from invoicing import charges, drawdowns
from invoicing.models import Drawdown, UsageDraw
from invoicing.rules.lines import rate_usage
from plans import catalog

PAGE = 50


def drawdown_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show what a period's usage costs, what credits paid of it, what is owed, and how that came about."""
    rows = Drawdown.objects.select_related("item__price__meter", "item__price__version__plan", "item__customer")
    drawdown = get_object_or_404(rows.prefetch_related("item__price__tiers"), pk=pk)
    item = drawdowns.items().get(pk=drawdown.item_id)
    text = request.GET.get("before", "")
    before = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
    steps = UsageDraw.objects.filter(drawdown=drawdown).select_related("entry").order_by("-step")
    found = list((steps.filter(step__lt=before) if before else steps)[: PAGE + 1])
    (drawn,) = drawdowns.drawn_of([drawdown])
    at = clock.now()
    period = Period(drawdown.service_start, drawdown.service_end)
    customer, price = item.customer, item.price
    context = {
        "title": f"{price.name}, drawn from credits",
        "header_note": f"{customer.name} · {period.start:%Y-%m-%d} to {period.end:%Y-%m-%d}",
        "breadcrumbs": [crumb(customer.name, reverse("admin:console_customer", args=[customer.pk]))],
        "drawdown": drawdown,
        "drawn": drawn,
        "price": price,
        "currency": price.version.currency,
        "rated": rate_usage(catalog.terms_of(price), drawdown.quantity),
        "now": charges.drawn_charge(item, period, accounted=drawdown.accounted, at=at),
        "as_of": at,
        "steps": found[:PAGE],
        "first_url": "?" if before else "",
        "next_url": f"?before={found[PAGE - 1].step}" if len(found) > PAGE else "",
    }
    return show(request, "console/drawdown.html", context)
