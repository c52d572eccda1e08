"""The journal over HTTP."""

from uuid import UUID

from ninja import Query
from pydantic import Field

from billing_ops.kit.http import AmountOut, ApiRequest, ApiRouter, InstantOut, Key, Out, Page, PageQuery
from billing_ops.kit.http.cursors import seal, unseal
from ledger import journal
from ledger.api.fields import Text, amount_out

router = ApiRouter(tags=["Balances"])


class JournalLineOut(Out):
    """One debit or credit."""

    side: str
    code: str
    name: str
    amount: AmountOut
    unit: str
    customer_key: str
    dimension: str


class JournalEntryOut(Out):
    """One entry of the journal with its lines."""

    id: UUID
    type: str
    label: str
    effective_at: InstantOut
    occurred_at: InstantOut | None = Field(description="Its own date, if it was told after its period had closed.")
    recorded_at: InstantOut
    customer: str
    invoice: str
    credit: str
    stripe: str
    reason_code: str
    ticket: str
    actor: str = Field(description="Who posted it: a kind (`user`, `api_key`, `system`, `stripe`) and a name.")
    lines: list[JournalLineOut]


class EntriesQuery(PageQuery):
    """Entries about a customer, an invoice or a credit; newest first."""

    customer: Key | None = None
    invoice: Text | None = None
    credit: UUID | None = None


@router.read("/entries", scope="balances:read", answer=Page[JournalEntryOut])
def list_entries(request: ApiRequest, query: Query[EntriesQuery]) -> Page[JournalEntryOut]:
    """The journal, newest first."""
    position = unseal("entries", query.filters(), query.cursor)
    page = journal.entries_for(
        customer_key=query.customer,
        invoice=query.invoice,
        grant=query.credit,
        after=position[0] if position else None,
        limit=query.limit,
    )
    following = None if page.next_after is None else seal("entries", query.filters(), [page.next_after])
    return Page(items=[_entry(entry) for entry in page.items], next_cursor=following)


@router.read("/entries/{entry_id}", scope="balances:read", answer=JournalEntryOut)
def get_entry(request: ApiRequest, entry_id: UUID) -> JournalEntryOut:
    """One entry of the journal."""
    return _entry(journal.entry(public_id=entry_id))


def _line(line: journal.JournalLine) -> JournalLineOut:
    return JournalLineOut.model_validate(
        {
            "side": line.side,
            "code": line.code,
            "name": line.name,
            "amount": amount_out(line.amount, line.unit),
            "unit": line.unit,
            "customer_key": line.customer_key,
            "dimension": line.dimension,
        }
    )


def _entry(found: journal.JournalEntry) -> JournalEntryOut:
    return JournalEntryOut.model_validate(
        {
            "id": found.public_id,
            "type": found.event_type,
            "label": found.label,
            "effective_at": found.effective_at,
            "occurred_at": found.occurred_at,
            "recorded_at": found.recorded_at,
            "customer": found.customer_key,
            "invoice": found.invoice_ref,
            "credit": found.grant_ref,
            "stripe": found.stripe_ref,
            "reason_code": found.reason_code,
            "ticket": found.ticket,
            "actor": f"{found.actor_type}:{found.actor_id}",
            "lines": [_line(line) for line in found.lines],
        }
    )
