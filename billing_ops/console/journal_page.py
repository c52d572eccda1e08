"""The journal, page by page from the newest."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode

from billing_ops.console.days import DayField
from billing_ops.console.frame import show
from ledger import journal
from ledger.models import Entry, Line
from ledger.rules.chart import BY_CODE
from ledger.rules.movements import BY_TYPE

PAGE = 50


class JournalFilter(forms.Form):
    """What narrows the journal down; every field may stay empty."""

    customer = forms.CharField(max_length=200, required=False)
    movement = forms.ChoiceField(required=False)
    account = forms.ChoiceField(required=False)
    since = DayField(label="From day (UTC)", required=False)
    until = DayField(label="To day (UTC)", required=False)
    ref = forms.CharField(label="Invoice, grant or Stripe id", max_length=100, required=False)
    after = forms.IntegerField(required=False, min_value=1, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        movement, account = self.fields["movement"], self.fields["account"]
        assert isinstance(movement, forms.ChoiceField)
        assert isinstance(account, forms.ChoiceField)
        movement.choices = [("", "All"), *((code, route.label) for code, route in sorted(BY_TYPE.items()))]
        account.choices = [("", "All"), *((code, f"{code} {row.name}") for code, row in sorted(BY_CODE.items()))]


def journal_page(request: HttpRequest) -> HttpResponse:
    """Entries with their lines, filtered, newest first."""
    form = JournalFilter(request.GET)
    valid, chosen = form.is_valid(), form.cleaned_data
    entries = _chosen(chosen) if valid else Entry.objects.none()
    page = journal.page_of(entries, after=chosen.get("after"), limit=PAGE)
    kept: dict[str, str] = {
        name: request.GET[name] for name in form.fields if name != "after" and request.GET.get(name)
    }
    context = {
        "title": "Journal",
        "header_note": "Every entry balances; nothing in it is ever changed.",
        "form": form,
        "filtered": bool(kept),
        "page": page,
        "first_url": f"?{urlencode(kept)}" if chosen.get("after") else "",
        "next_url": f"?{urlencode({**kept, 'after': str(page.next_after)})}" if page.next_after else "",
    }
    return show(request, "console/journal.html", context)


def _chosen(chosen: dict[str, Any]) -> QuerySet[Entry]:
    rows = Entry.objects.all()
    if customer := chosen.get("customer"):
        rows = rows.filter(customer_key=customer)
    if movement := chosen.get("movement"):
        rows = rows.filter(event_type=movement)
    if account := chosen.get("account"):
        rows = rows.filter(pk__in=Line.objects.filter(account__code=account).values("entry_id"))
    if since := chosen.get("since"):
        rows = rows.filter(effective_at__gte=_midnight(since))
    if until := chosen.get("until"):
        rows = rows.filter(effective_at__lt=_midnight(until) + timedelta(days=1))
    if ref := chosen.get("ref"):
        rows = rows.filter(pk__in=_referring(ref))
    return rows


def _referring(ref: str) -> QuerySet[Entry, int]:
    """Entries of one invoice, grant or Stripe object: three indexed look-ups."""
    found = [Entry.objects.filter(**{name: ref}).values_list("pk", flat=True) for name in ("invoice_ref", "grant_ref")]
    return found[0].union(found[1], Entry.objects.filter(stripe_ref=ref).values_list("pk", flat=True))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
