"""Which part of a statement a page shows: days, what was known, and where the page begins."""

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.http import HttpRequest
from django.utils.http import urlencode

from billing_ops.console.days import DayField
from ledger.statements import Position, Range

_POSITION = re.compile(r"(\d{4}-\d{2}-\d{2})\.(\d{1,18})\.(\d{1,5})", re.ASCII)


class StatementForm(forms.Form):
    """Days of a statement; every field may stay empty."""

    since = DayField(label="From day", required=False)
    until = DayField(label="To day", required=False)
    known = DayField(label="As known at the end of (UTC)", required=False)

    def clean(self) -> dict[str, Any]:
        """The days in their order."""
        data: dict[str, Any] = super().clean() or {}
        since, until = data.get("since"), data.get("until")
        if since and until and until < since:
            self.add_error("until", "This day is before the first one.")
        return data

    @property
    def within(self) -> Range:
        """What was asked for; the whole statement if that cannot be."""
        if not self.is_valid():
            return Range()
        data = self.cleaned_data
        until = data["until"] + timedelta(days=1) if data["until"] else None
        return Range(data["since"], until, end_of(data["known"]))


def end_of(day: date | None) -> datetime | None:
    """The instant at which a day ends in UTC."""
    return None if day is None else datetime.combine(day, time(), UTC) + timedelta(days=1)


def position(request: HttpRequest) -> Position | None:
    """Where the page before ended; None for the first page and for an address that is not ours."""
    found = _POSITION.fullmatch(request.GET.get("after", ""))
    try:
        return Position(date.fromisoformat(found[1]), int(found[2]), int(found[3])) if found else None
    except ValueError:
        return None


def pages(request: HttpRequest, fields: list[str], following: Position | None) -> dict[str, str]:
    """The addresses of the first and of the next page."""
    kept = {name: request.GET[name] for name in fields if request.GET.get(name)}
    after = f"{following.day}.{following.entry}.{following.line}" if following else ""
    return {
        "first_url": f"?{urlencode(kept)}" if request.GET.get("after") else "",
        "next_url": f"?{urlencode({**kept, 'after': after})}" if after else "",
    }
