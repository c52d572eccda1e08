"""The journal as people read it: entries with their lines and account names, newest first, page by page."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from billing_ops.kit.errors import InvalidInput, NotFound
from billing_ops.kit.money import BadCurrency, plain, round_amount
from ledger.models import CreditGrant, Entry, Line
from ledger.rules.chart import BY_CODE
from ledger.rules.entries import LineSpec, Side
from ledger.rules.routes import BY_TYPE

MAX_PAGE = 500


class EntryNotFound(NotFound):
    """No entry has that id."""

    code = "ledger.entry_not_found"


@dataclass(frozen=True, slots=True)
class JournalLine:
    """One debit or credit with its account's name."""

    side: Side
    code: str
    name: str
    amount: Decimal
    unit: str
    customer_key: str = ""
    dimension: str = ""
    balance_after: Decimal | None = None
    account_id: int | None = field(default=None, compare=False)
    """None before it is posted."""


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One entry with its lines; ``label`` is its kind in words."""

    id: int
    public_id: UUID
    event_type: str
    label: str
    source: str
    key: str
    effective_at: datetime
    occurred_at: datetime | None
    recorded_at: datetime
    customer_key: str
    invoice_ref: str
    grant_ref: str
    stripe_ref: str
    actor_type: str
    actor_id: str
    reason_code: str
    reason_note: str
    ticket: str
    reverses_id: int | None
    metadata: dict[str, Any]
    lines: tuple[JournalLine, ...]


@dataclass(frozen=True, slots=True)
class JournalPage:
    """Entries, newest first; ``next_after`` fetches the next page, None ends it."""

    items: tuple[JournalEntry, ...]
    next_after: int | None


def entries_for(
    *,
    customer_key: str | None = None,
    invoice: str | None = None,
    grant: CreditGrant | UUID | str | None = None,
    stripe: str | None = None,
    after: int | None = None,
    limit: int = 50,
) -> JournalPage:
    """A page of the journal: of everyone, or one customer, invoice, grant or Stripe object. ``after`` is an entry's id.

    A grant's page has every entry that moved it: its issue, the invoices it paid, its expiry or void.
    """
    if not 1 <= limit <= MAX_PAGE:
        raise InvalidInput(f"limit: a page has 1 to {MAX_PAGE} entries.", field="limit")
    rows = Entry.objects.order_by("-id")
    if customer_key is not None:
        rows = rows.filter(customer_key=customer_key)
    if invoice is not None:
        rows = rows.filter(invoice_ref=invoice)
    if stripe is not None:
        rows = rows.filter(stripe_ref=stripe)
    if grant is not None:
        public_id = grant.public_id if isinstance(grant, CreditGrant) else grant
        moved = Line.objects.filter(account__creditgrant__public_id=public_id)
        rows = rows.filter(pk__in=moved.values("entry_id"))
    return page_of(rows, after=after, limit=limit)


def page_of(rows: QuerySet[Entry], *, after: int | None = None, limit: int = 50) -> JournalPage:
    """A page of any selection of entries, newest first; ``after`` is the id of the last entry of the page before."""
    rows = rows.order_by("-id")
    if after is not None:
        rows = rows.filter(pk__lt=after)
    found = list(rows[: limit + 1])
    page = found[:limit]
    return JournalPage(_with_lines(page), page[-1].pk if len(found) > limit else None)


def entry(*, public_id: UUID | str) -> JournalEntry:
    """One entry by its public id; raises :class:`EntryNotFound`."""
    found = Entry.objects.filter(public_id=public_id).first()
    if found is None:
        raise EntryNotFound(f"There is no entry {public_id}.")
    return _with_lines([found])[0]


def lines_of(specs: Iterable[LineSpec]) -> tuple[JournalLine, ...]:
    """Lines before they are posted, as the journal will show them."""
    return tuple(
        JournalLine(s.side, s.code, BY_CODE[s.code].name, s.amount, s.unit, s.customer_key, s.dimension) for s in specs
    )


def _with_lines(rows: Sequence[Entry]) -> tuple[JournalEntry, ...]:
    lines: dict[int, list[JournalLine]] = defaultdict(list)
    stored = Line.objects.filter(entry_id__in=[row.pk for row in rows]).select_related("account__code")
    for line in stored.order_by("entry_id", "line_no"):
        account = line.account
        lines[line.entry_id].append(
            JournalLine(
                "debit" if line.side > 0 else "credit",
                account.code_id,
                account.code.name,
                line.amount,
                line.unit,
                account.customer_key,
                account.dimension,
                line.balance_after,
                account.pk,
            )
        )
    return tuple(_entry(row, tuple(lines[row.pk])) for row in rows)


def _entry(row: Entry, lines: tuple[JournalLine, ...]) -> JournalEntry:
    return JournalEntry(
        id=row.pk,
        public_id=row.public_id,
        event_type=row.event_type_id,
        label=BY_TYPE[row.event_type_id].label,
        source=row.source,
        key=row.idempotency_key,
        effective_at=row.effective_at,
        occurred_at=row.occurred_at,
        recorded_at=row.recorded_at,
        customer_key=row.customer_key,
        invoice_ref=row.invoice_ref,
        grant_ref=row.grant_ref,
        stripe_ref=row.stripe_ref,
        actor_type=row.actor_type,
        actor_id=row.actor_id,
        reason_code=row.reason_code,
        reason_note=row.reason_note,
        ticket=row.ticket,
        reverses_id=row.reverses_id,
        metadata=row.metadata,
        lines=lines,
    )


def as_text(lines: Iterable[JournalLine]) -> str:
    """The lines as a plain text table: what the golden journals hold."""
    rows = []
    for line in lines:
        of = " / ".join(part for part in (line.customer_key, line.dimension) if part)
        account = f"{line.code} {line.name}" + (f" [{of}]" if of else "")
        amount = f"{_shown(line.amount, line.unit)} {line.unit}"
        rows.append((account, amount, "") if line.side == "debit" else ("    " + account, "", amount))
    widths = [max([len(row[column]) for row in rows] + [len(head)]) for column, head in enumerate(_HEADS)]
    table = [_HEADS, tuple("-" * width for width in widths), *rows]
    return "\n".join(f"{a:<{widths[0]}}  {d:>{widths[1]}}  {c:>{widths[2]}}".rstrip() for a, d, c in table)


def _shown(amount: Decimal, unit: str) -> str:
    """All its digits, and at least those of the currency's minor unit."""
    try:
        rounded = round_amount(amount, unit)
    except BadCurrency:  # a company's own credits
        return plain(amount)
    return format(rounded, "f") if rounded == amount else plain(amount)


_HEADS = ("Account", "Debit", "Credit")
