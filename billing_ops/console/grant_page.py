"""One grant: its terms, where its amount is, and everything that moved it, down to what it paid for."""

from dataclasses import dataclass
from decimal import Decimal

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from billing_ops.console.frame import crumb, show
from billing_ops.console.paid_for import invoices_of, lines_of
from billing_ops.kit import clock
from billing_ops.models import Approval
from invoicing import drawdowns
from ledger import balances, histories
from ledger.models import CreditGrant
from plans.models import Customer

PAGE = 50


@dataclass(frozen=True)
class Part:
    """A part of the grant's amount, and its place on the bar in percent."""

    name: str
    amount: Decimal
    begins: Decimal
    share: Decimal


def grant_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Show a grant: amount = remaining + used + expired + voided, and its history."""
    grant = get_object_or_404(CreditGrant, pk=pk)
    (standing,) = balances.with_balances([grant], at=clock.now())
    text = request.GET.get("after", "")
    after = int(text) if text.isascii() and text.isdigit() and len(text) < 19 else 0
    history = histories.of_grant(grant=grant, after=after, limit=PAGE)
    customer = Customer.objects.filter(key=grant.customer_key).first()
    context = {
        "title": f"{grant.kind.capitalize()} credit",
        "header_note": f"{customer or grant.customer_key} · {grant.public_id}",
        "breadcrumbs": [crumb("Credits", reverse("admin:ledger_creditgrant_changelist"))],
        "grant": grant,
        "customer": customer,
        "standing": standing,
        "parts": _parts(standing),
        "approval": Approval.objects.filter(pk=grant.approval_id).first() if grant.approval_id else None,
        "history": history,
        "invoices": invoices_of(step.invoice_ref for step in history.steps),
        "paid_for": lines_of((step.invoice_ref, draw.ref) for step in history.steps for draw in step.draws),
        "drawdowns": drawdowns.of_draws(draw.id for step in history.steps for draw in step.draws),
        "first_url": "?" if after else "",
        "next_url": f"?after={history.next_after}" if history.next_after else "",
    }
    return show(request, "console/grant.html", context)


def _parts(standing: balances.GrantBalance) -> list[Part]:
    parts: list[Part] = []
    begins = Decimal(0)
    for name in ("remaining", "used", "expired", "voided"):
        amount = getattr(standing, name)
        share = round(100 * amount / standing.grant.amount, 2)
        parts.append(Part(name.capitalize(), amount, begins, share))
        begins += share
    return parts
