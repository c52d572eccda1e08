"""What happened to a customer, newest first: acts of people and programs, and what the books say."""

from dataclasses import dataclass
from datetime import datetime

from billing_ops.models import AuditEntry
from ledger import journal
from ledger.models import Entry
from ledger.rules.movements import CREDIT_DRAWN, FEE_RECOGNISED, USAGE_ACCRUED

_EACH = 25


@dataclass(frozen=True)
class Happening:
    """One thing that happened: what, who, when and why."""

    at: datetime
    what: str
    who: str
    why: str
    lines: tuple[journal.JournalLine, ...] = ()


def happenings(customer_key: str) -> list[Happening]:
    """The latest acts and journal entries of a customer. Accruals and draws are left out: they are the usage itself."""
    # A credit given or taken back is in the journal with its reason, ticket and note: it is told once.
    acts = AuditEntry.objects.filter(customer_key=customer_key).exclude(subject_type="credit_grant")[:_EACH]
    entries = Entry.objects.filter(customer_key=customer_key)
    booked = journal.page_of(entries.exclude(event_type__in=[USAGE_ACCRUED, FEE_RECOGNISED, CREDIT_DRAWN]), limit=_EACH)
    found = [
        Happening(
            act.at,
            act.summary,
            act.actor_label or f"{act.actor_type} {act.actor_id}",
            _why(act.reason, act.ticket, act.note),
        )
        for act in acts
    ]
    found += [
        Happening(
            entry.effective_at,
            f"Booked: {entry.label}",
            entry.actor_id,
            _why("" if entry.reason_code == entry.event_type else entry.reason_code, entry.ticket, entry.reason_note),
            entry.lines,
        )
        for entry in booked.items
    ]
    return sorted(found, key=lambda one: one.at, reverse=True)[: 2 * _EACH]


def _why(reason: str, ticket: str, note: str) -> str:
    return " · ".join(part for part in (reason.replace("_", " "), ticket, note) if part)
