"""One entry: its lines, why and by whom, what it undoes, what it drew from credits, and the seal it stands in."""

import re
from uuid import UUID

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse

from billing_ops.console.frame import crumb, show
from billing_ops.console.paid_for import lines_of
from billing_ops.models import Approval
from invoicing import drawdowns
from invoicing.models import Invoice
from ledger import histories, journal
from ledger.models import CreditGrant, Entry
from plans.models import Customer

DRAWS = 50
_AFTER = re.compile(r"(\d{1,18})\.(\d{1,18})", re.ASCII)


def entry_page(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Show the entry of that id."""
    try:
        entry = journal.entry(public_id=public_id)
    except journal.EntryNotFound as error:
        raise Http404(str(error)) from error
    found = _AFTER.fullmatch(request.GET.get("after", ""))
    after = (int(found[1]), int(found[2])) if found else None
    draws = histories.under_entry(entry=entry.id, after=after, limit=DRAWS)
    row = Entry.objects.select_related("reverses", "period").get(pk=entry.id)
    context = {
        "title": entry.label,
        "header_note": f"{entry.public_id} · effective {row.effective_on}",
        "breadcrumbs": [crumb("Journal", reverse("admin:console_journal"))],
        "entry": entry,
        "row": row,
        "reversed_by": Entry.objects.filter(reverses=row).first(),
        "customer": Customer.objects.filter(key=entry.customer_key).first() if entry.customer_key else None,
        "invoice": Invoice.objects.filter(public_id=entry.invoice_ref).first() if entry.invoice_ref else None,
        "approval": Approval.objects.filter(pk=row.approval_id).first() if row.approval_id else None,
        "draws": draws,
        "paid_for": lines_of((entry.invoice_ref, draw.ref) for draw in draws.items),
        "drawdowns": drawdowns.of_draws(draw.id for draw in draws.items),
        "grants": _grants(draws),
        "seal": histories.seal_of(entry=entry.id),
        "first_url": "?" if after else "",
        "next_url": "?after={}.{}".format(*draws.next_after) if draws.next_after else "",
    }
    return show(request, "console/entry.html", context)


def _grants(draws: histories.DrawPage) -> dict[UUID, int]:
    """The grants' row numbers, for their addresses."""
    wanted = {draw.grant_id for draw in draws.items}
    return dict(CreditGrant.objects.filter(public_id__in=wanted).values_list("public_id", "pk"))
