"""What engineers look at: raw events and their stories, the batches they came in, and what no meter counts."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode

from billing_ops.console.cursors import read_cursor, write_cursor
from billing_ops.console.days import DayField
from billing_ops.console.frame import crumb, show
from billing_ops.kit import clock
from billing_ops.kit.periods import Period
from metering import events, unresolved, usage
from plans import unbilled_usage

PAGE = 100
_FIRST, _LAST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)


class EventFilter(forms.Form):
    """What narrows events down. An id is enough by itself; a source only goes with one."""

    subject = forms.CharField(label="Customer key", max_length=200, required=False)
    id = forms.CharField(label="Event id", max_length=300, required=False)
    source = forms.CharField(label="Source of the id", max_length=300, required=False)
    type = forms.CharField(max_length=255, required=False)
    since = DayField(label="From day (UTC)", required=False)
    until = DayField(label="To day (UTC)", required=False)

    def clean(self) -> dict[str, Any]:
        """A span that ends before it begins holds nothing: say so."""
        since, until = self.cleaned_data.get("since"), self.cleaned_data.get("until")
        if since and until and until < since:
            self.add_error("until", "It is before the first day.")
        return self.cleaned_data


def events_page(request: HttpRequest) -> HttpResponse:
    """Raw events by customer, id, type and time, newest first. Without a filter: the last 24 hours."""
    form = EventFilter(request.GET)
    valid = form.is_valid()
    kept = {name: request.GET[name] for name in form.fields if request.GET.get(name)}
    before = read_cursor(request.GET.get("after", ""), parts=2)
    position = (datetime.fromisoformat(before[0]), UUID(before[1])) if before else None
    found = _found(form.cleaned_data, position) if valid else []
    page = found[:PAGE]
    more = len(found) > PAGE
    after = write_cursor(page[-1].occurred_at.isoformat(), str(page[-1].key)) if more else ""
    context = {
        "title": "Events",
        "header_note": "" if kept else "Those of the last 24 hours. Filter to look further back.",
        "form": form,
        "filtered": bool(kept),
        "rows": [{"event": event, "url": story_url(event)} for event in page],
        "first_url": f"?{urlencode(kept)}" if before else "",
        "next_url": f"?{urlencode({**kept, 'after': after})}" if more else "",
    }
    return show(request, "console/events.html", context)


def _found(chosen: dict[str, Any], before: tuple[datetime, UUID] | None) -> list[events.StoredEvent]:
    subject, kind = chosen.get("subject") or None, chosen.get("type") or None
    if event_id := chosen.get("id"):
        rows = events.find_by_id(event_id=event_id, source=chosen.get("source") or None)
        return [row for row in rows if subject in (None, row.subject) and kind in (None, row.type)]
    period = _period(chosen.get("since"), chosen.get("until"))
    if subject is None and period is None:
        # All events of all time in order would read every partition: start with a day.
        now = clock.now()
        period = Period(now - timedelta(days=1), now + timedelta(days=1))
    return events.find(subject=subject, type=kind, period=period, before=before, limit=PAGE + 1)


def _period(since: date | None, until: date | None) -> Period | None:
    if since is None and until is None:
        return None
    start = _midnight(since) if since else _FIRST
    end = _midnight(until) + timedelta(days=1) if until else _LAST
    return Period(start, end)


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def story_url(event: events.StoredEvent) -> str:
    """The page of one event."""
    return f"{reverse('admin:console_event')}?{urlencode({'source': event.source, 'id': event.event_id})}"


def event_page(request: HttpRequest) -> HttpResponse:
    """What became of one event: its batch, what each meter made of it, and what was refused under its identity."""
    source, event_id = request.GET.get("source", ""), request.GET.get("id", "")
    found = events.find_by_id(event_id=event_id, source=source) if source and event_id else []
    if not found:
        raise Http404("No such event")
    context = {
        "title": event_id,
        "header_note": f"{source} · {found[0].subject}",
        "breadcrumbs": [crumb("Events", reverse("admin:console_events"))],
        "story": events.story(found[0]),
    }
    return show(request, "console/event.html", context)


def batches_page(request: HttpRequest) -> HttpResponse:
    """What came in lately, and how far folding is behind."""
    after = request.GET.get("after", "")
    rows = events.batches()
    if after.isascii() and after.isdigit() and len(after) < 19:
        rows = rows.filter(pk__lt=int(after))
    found = list(rows[: PAGE + 1])
    batches = found[:PAGE]
    context = {
        "title": "Batches",
        "header_note": "The events that one request brought. Figures count them from the moment they are accepted.",
        "lag": usage.lag(at=clock.now()),
        "batches": batches,
        "first_url": "?" if after else "",
        "next_url": f"?after={batches[-1].pk}" if len(found) > PAGE else "",
    }
    return show(request, "console/batches.html", context)


def uncounted_page(request: HttpRequest) -> HttpResponse:
    """What is accepted and counted by nothing or on no bill, by its cause; and what was kept out as a contradiction."""
    unbilled = unbilled_usage.find(limit=PAGE)
    conflicts = list(events.conflicts()[:PAGE])
    context = {
        "title": "Not counted",
        "header_note": "Nothing here is lost: it takes effect once its cause is gone.",
        "groups": unresolved.unresolved(),
        "unbilled": unbilled,
        "unbilled_capped": len(unbilled) == PAGE,
        "conflicts": conflicts,
        "capped": len(conflicts) == PAGE,
    }
    return show(request, "console/uncounted.html", context)
