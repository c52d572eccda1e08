"""Entries that are already there under a key, and in what a new request differs from them.

The entry and its lines are the canonical request: nothing else needs to be stored to name the difference.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from ledger.models import Entry, Line
from ledger.rules.entries import EntryDraft, LineSpec

_FIELDS = (
    "movement",
    "effective_at",
    "customer_key",
    "refs",
    "reason_code",
    "reason_note",
    "ticket",
    "metadata",
    "fx_rate",
    "reverses_id",
    "lines",
)


@dataclass(frozen=True, slots=True)
class Earlier:
    """An entry of the journal and its lines as they were asked for."""

    entry: Entry
    lines: Sequence[LineSpec]


Identity = tuple[str, str]
"""source and key"""

_FIND = """
SELECT e.id
  FROM ROWS FROM (json_array_elements_text(%s::json), json_array_elements_text(%s::json)) AS k (source, key)
 CROSS JOIN LATERAL (
    SELECT id FROM ledger_entry WHERE source = k.source AND idempotency_key = k.key OFFSET 0) e
"""


def find(drafts: Sequence[EntryDraft]) -> dict[Identity, Earlier]:
    """The entries that already have the drafts' keys."""
    columns = [json.dumps([draft.source for draft in drafts]), json.dumps([draft.key for draft in drafts])]
    with connection.cursor() as cursor:
        cursor.execute(_FIND, columns)
        ids = [row[0] for row in cursor.fetchall()]
    if not ids:
        return {}
    lines: dict[int, list[LineSpec]] = {}
    for line in Line.objects.filter(entry_id__in=ids).select_related("account").order_by("entry_id", "line_no"):
        lines.setdefault(line.entry_id, []).append(spec_of(line))
    return {
        (entry.source, entry.idempotency_key): Earlier(entry, lines.get(entry.pk, []))
        for entry in Entry.objects.filter(pk__in=ids)
    }


def spec_of(line: Line) -> LineSpec:
    """A line of the journal as it was asked for."""
    account = line.account
    return LineSpec(
        "debit" if line.side > 0 else "credit",
        account.code_id,
        line.amount,
        line.unit,
        account.customer_key,
        account.dimension,
    )


def differences(draft: EntryDraft, earlier: Earlier) -> list[str]:
    """The names of the fields in which a draft differs from the entry that has its key."""
    entry = earlier.entry
    stored = {
        "movement": entry.event_type_id,
        "effective_at": entry.occurred_at or entry.effective_at,
        "customer_key": entry.customer_key,
        "refs": {
            name: value for name in ("invoice", "grant", "stripe", "batch") if (value := getattr(entry, f"{name}_ref"))
        },
        "reason_code": entry.reason_code,
        "reason_note": entry.reason_note,
        "ticket": entry.ticket,
        "metadata": entry.metadata,
        "fx_rate": entry.fx_rate,
        "reverses_id": entry.reverses_id,
        "lines": list(earlier.lines),
    }
    asked = _content(draft)
    return [name for name in _FIELDS if asked[name] != stored[name]]


def differing_fields(draft: EntryDraft, other: EntryDraft) -> list[str]:
    """The names of the fields in which two drafts with one key differ."""
    one, two = _content(draft), _content(other)
    return [name for name in _FIELDS if one[name] != two[name]]


def _content(draft: EntryDraft) -> Mapping[str, Any]:
    return {
        "movement": draft.movement,
        "effective_at": draft.effective_at,
        "customer_key": draft.customer_key,
        "refs": {name: value for name, value in draft.refs.items() if value},
        "reason_code": draft.reason_code,
        "reason_note": draft.reason_note,
        "ticket": draft.ticket,
        "metadata": dict(draft.metadata),
        "fx_rate": draft.fx_rate,
        "reverses_id": draft.reverses_id,
        "lines": list(draft.lines),
    }
