"""Where a grant went, down to the usage it paid for, and what stands under an entry."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from django.db import connection
from django.db.models import Count, F, Window
from django.db.models.functions import RowNumber

from billing_ops.kit.errors import InvalidInput
from ledger.models import CreditDrawAllocation, CreditGrant, Entry, Line, Seal
from ledger.rules.routes import BY_TYPE

MAX_PAGE: Final = 200
SHOWN_DRAWS: Final = 20
"""A batch's entry may stand for thousands of draws: a line of history shows so many; the entry has all, by page."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What one draw took from one grant, and what it paid for."""

    id: int
    grant_id: UUID
    grant_kind: str
    ref: str
    """What asked: the invoice line, the usage event or the batch."""
    feature: str
    used_at: datetime
    amount: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class GrantStep:
    """One entry that moved a grant. ``amount`` is what it added (negative: took); ``remaining`` what it left."""

    version: int
    entry_id: UUID
    event_type: str
    label: str
    effective_at: datetime
    recorded_at: datetime
    invoice_ref: str
    actor_id: str
    reason_code: str
    ticket: str
    reverses: UUID | None
    reversed_by: UUID | None
    amount: Decimal
    remaining: Decimal
    draws: tuple[Drawn, ...]
    draw_count: int


@dataclass(frozen=True, slots=True)
class GrantHistory:
    """Everything that moved a grant, in the order in which it was written; ``next_after`` is the last version."""

    steps: tuple[GrantStep, ...]
    next_after: int | None


@dataclass(frozen=True, slots=True)
class DrawPage:
    """Draws under an entry, by id; ``next_after`` is the last (draw, grant) of the page."""

    items: tuple[Drawn, ...]
    next_after: tuple[int, int] | None


def of_grant(*, grant: CreditGrant, after: int = 0, limit: int = 50) -> GrantHistory:
    """A page of a grant's history, its issue first: each entry with the draws it posts and what remained."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit: a page has 1 to {MAX_PAGE} entries.", field="limit")
    rows = Line.objects.filter(account_id=grant.account_id, account_version__gt=after)
    found = list(rows.select_related("entry__reverses", "account").order_by("account_version")[: limit + 1])
    page = found[:limit]
    entries = [line.entry_id for line in page]
    undone = dict(Entry.objects.filter(reverses__in=entries).values_list("reverses_id", "public_id"))
    drawn, counts = _draws_of(grant, entries)
    steps = []
    for line in page:
        entry = line.entry
        assert line.account_version is not None  # a grant's account keeps a balance
        assert line.balance_after is not None
        steps.append(
            GrantStep(
                version=line.account_version,
                entry_id=entry.public_id,
                event_type=entry.event_type_id,
                label=BY_TYPE[entry.event_type_id].label,
                effective_at=entry.effective_at,
                recorded_at=entry.recorded_at,
                invoice_ref=entry.invoice_ref,
                actor_id=entry.actor_id,
                reason_code=entry.reason_code,
                ticket=entry.ticket,
                reverses=entry.reverses.public_id if entry.reverses else None,
                reversed_by=undone.get(entry.pk),
                amount=line.account.normal_side * line.side * line.amount,
                remaining=line.balance_after,
                draws=tuple(drawn[entry.pk]),
                draw_count=counts.get(entry.pk, 0),
            )
        )
    return GrantHistory(tuple(steps), page[-1].account_version if len(found) > limit else None)


def under_entry(*, entry: Entry | int, after: tuple[int, int] | None = None, limit: int = 50) -> DrawPage:
    """A page of what an entry's draws took, each with its grant and the usage it paid for."""
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit: a page has 1 to {MAX_PAGE} draws.", field="limit")
    rows = CreditDrawAllocation.objects.filter(draw__entry_id=entry if isinstance(entry, int) else entry.pk)
    if after is not None:
        draw, grant = after
        rows = rows.filter(draw_id__gte=draw).exclude(draw_id=draw, grant_id__lte=grant)
    found = list(rows.select_related("draw", "grant").order_by("draw_id", "grant_id")[: limit + 1])
    page = found[:limit]
    following = (page[-1].draw_id, page[-1].grant_id) if len(found) > limit else None
    return DrawPage(tuple(_drawn(row) for row in page), following)


def seal_of(*, entry: int) -> Seal | None:
    """The seal in which an entry stands; None while it waits for one."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT seq FROM ledger_seal WHERE entries @> %s::bigint", [entry])
        found = cursor.fetchone()
    return Seal.objects.defer("leaves", "entries", "changes").get(pk=found[0]) if found else None


def _draws_of(grant: CreditGrant, entries: Sequence[int]) -> tuple[dict[int, list[Drawn]], dict[int, int]]:
    """By entry: the first draws from that grant, and how many there are."""
    rows = CreditDrawAllocation.objects.filter(grant=grant, draw__entry__in=entries)
    counts = dict(rows.values_list("draw__entry_id").annotate(count=Count("draw_id")))
    numbered = rows.annotate(
        place=Window(RowNumber(), partition_by=F("draw__entry_id"), order_by=F("draw_id").asc())
    ).filter(place__lte=SHOWN_DRAWS)
    drawn: dict[int, list[Drawn]] = defaultdict(list)
    for row in numbered.select_related("draw", "grant").order_by("draw_id"):
        if row.draw.entry_id is not None:
            drawn[row.draw.entry_id].append(_drawn(row))
    return drawn, counts


def _drawn(row: CreditDrawAllocation) -> Drawn:
    draw, grant = row.draw, row.grant
    ref = draw.ref or draw.usage_ref
    return Drawn(draw.pk, grant.public_id, grant.kind, ref, draw.feature, draw.used_at, row.amount, grant.unit_id)
