"""What engineers look at: raw events, the batches they came in, and events that no meter counts."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

from django import forms
from django.db import OperationalError, connection, transaction
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode

from billing_ops.console.cursors import read_position, write_position
from billing_ops.console.frame import show
from billing_ops.kit import clock
from metering import usage
from metering.models import Batch, Event

PAGE = 100
_LIMIT_MS = 5_000


class EventFilter(forms.Form):
    """What narrows events down."""

    subject = forms.CharField(label="Customer key", max_length=200, required=False)
    id = forms.CharField(label="Event id", max_length=300, required=False)
    source = forms.CharField(max_length=300, required=False)
    type = forms.CharField(max_length=255, required=False)
    since = forms.DateField(label="From day (UTC)", required=False, widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(label="To day (UTC)", required=False, widget=forms.DateInput(attrs={"type": "date"}))


def events_page(request: HttpRequest) -> HttpResponse:
    """Raw events by customer, id, source, type and time, newest first. Without a filter: the last 24 hours."""
    form = EventFilter(request.GET)
    chosen = form.cleaned_data if form.is_valid() else {}
    kept = {name: request.GET[name] for name in form.fields if request.GET.get(name)}
    rows = _chosen(chosen)
    position = read_position(request.GET.get("after", ""))
    if position is not None:
        rows = rows.filter(
            Q(occurred_at__lt=position.occurred_at)
            | Q(occurred_at=position.occurred_at, source__gt=position.source)
            | Q(occurred_at=position.occurred_at, source=position.source, event_id__gt=position.event_id)
        )
    found, slow = _bounded(rows)
    events = found[:PAGE]
    more = len(found) > PAGE
    last = usage.Position(events[-1].occurred_at, events[-1].source, events[-1].event_id) if more else None
    context = {
        "title": "Events",
        "header_note": "" if kept else "Those of the last 24 hours. Filter to look further back.",
        "form": form,
        "filtered": bool(kept),
        "events": events,
        "slow": slow,
        "first_url": f"?{urlencode(kept)}" if position else "",
        "next_url": f"?{urlencode({**kept, 'after': write_position(last)})}" if last else "",
    }
    return show(request, "console/events.html", context)


def _chosen(chosen: dict[str, Any]) -> QuerySet[Event]:
    rows = Event.objects.order_by("-occurred_at", "source", "event_id")
    columns = {"subject": "subject", "id": "event_id", "source": "source", "type": "type"}
    named = {columns[name]: value for name, value in chosen.items() if name in columns and value}
    rows = rows.filter(**named)
    if since := chosen.get("since"):
        rows = rows.filter(occurred_at__gte=_midnight(since))
    if until := chosen.get("until"):
        rows = rows.filter(occurred_at__lt=_midnight(until) + timedelta(days=1))
    if not named and not chosen.get("since"):
        # All events of all time in order would read every partition: start with a day.
        rows = rows.filter(occurred_at__gte=clock.now() - timedelta(days=1))
    return rows


def _bounded(rows: QuerySet[Event]) -> tuple[list[Event], bool]:
    """At most a page and one more, within the time that a page may take; the flag says that it was too slow."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(_LIMIT_MS)])
            return list(rows[: PAGE + 1]), False
    except OperationalError as error:
        if "statement timeout" not in str(error):
            raise
        return [], True


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def batches_page(request: HttpRequest) -> HttpResponse:
    """What came in lately, and how far folding is behind."""
    at = clock.now()
    after = request.GET.get("after", "")
    rows = Batch.objects.select_related("fold").order_by("-id")
    if after.isascii() and after.isdigit() and len(after) < 19:
        rows = rows.filter(pk__lt=int(after))
    found = list(rows[: PAGE + 1])
    batches = found[:PAGE]
    context = {
        "title": "Batches",
        "header_note": "The events that one request brought. Figures count them from the moment they are accepted.",
        "lag": usage.lag(at=at),
        "batches": batches,
        "first_url": "?" if after else "",
        "next_url": f"?after={batches[-1].pk}" if len(found) > PAGE else "",
    }
    return show(request, "console/batches.html", context)
