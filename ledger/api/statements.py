"""Statements over HTTP: balances as of an instant, lines with a running balance, where a credit went."""

from datetime import date
from typing import Annotated, Any
from uuid import UUID

from ninja import Query
from pydantic import Field

from billing_ops.kit.http import (
    AmountOut,
    ApiRequest,
    ApiRouter,
    Body,
    CurrencyCode,
    Instant,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
)
from billing_ops.kit.http.cursors import seal, unseal
from ledger import balances, histories, journal, statements
from ledger.api.credits import CreditNotFound
from ledger.api.fields import amount_out
from ledger.models import CreditGrant

router = ApiRouter(tags=["Balances"])

Day = Annotated[date, Field(ge=date(2000, 1, 1), lt=date(2200, 1, 1))]
_KNOWN = "Only what was recorded before this instant: the books as they were known then. Default: all."


class BalancesAsOfOut(Out):
    """A customer's balances in one currency as of two instants."""

    customer: str
    currency: str
    until: InstantOut | None
    recorded_until: InstantOut | None
    receivable: AmountOut
    unbilled: AmountOut
    deferred: AmountOut
    customer_balance: AmountOut
    paid_credits: AmountOut
    goodwill_credits: AmountOut
    promotional_credits: AmountOut
    credits_total: AmountOut


class AsOfQuery(Body):
    """Whose balances, and as of when."""

    customer: Key
    currency: CurrencyCode
    until: Instant | None = Field(None, description="What counts before this instant. Default: all.")
    recorded_until: Instant | None = Field(None, description=_KNOWN)


class StatementLineOut(Out):
    """One line with the balance that it left."""

    entry: UUID
    event: str
    type: str
    code: str
    dimension: str
    effective_on: date
    effective_at: InstantOut
    occurred_at: InstantOut | None = Field(description="Its own date, if it was told after its period had closed.")
    recorded_at: InstantOut
    refs: dict[str, str]
    debit: AmountOut | None
    credit: AmountOut | None
    balance: AmountOut
    reverses: UUID | None
    reversed_by: UUID | None


class StatementOut(Out):
    """A page of a statement; `opening` and `closing` are of the whole range."""

    customer: str
    currency: str
    scope: str
    opening: AmountOut
    brought_forward: AmountOut = Field(description="What stands before the first line of this page.")
    lines: list[StatementLineOut]
    closing: AmountOut
    next_cursor: str | None = Field(description="Pass it as `cursor` to get the next page; null: there is none.")


class StatementQuery(PageQuery):
    """Whose statement, and which days; their zone is the books'."""

    customer: Key
    currency: CurrencyCode
    scope: statements.Scope = Field(
        "due",
        description="`due`: invoiced and not paid, less the customer's own money. `credits`: what remains of them. "
        "`all`: every account but memo ones.",
    )
    since: Day | None = Field(None, description="The first day that counts.")
    until: Day | None = Field(None, description="The day after the last one.")
    recorded_until: Instant | None = Field(None, description=_KNOWN)


class DrawOut(Out):
    """What one draw took from one credit, and what it paid for."""

    credit: UUID
    ref: str = Field(description="What asked: the invoice line, the usage event or the batch.")
    feature: str
    used_at: InstantOut
    amount: AmountOut


class HistoryOut(Out):
    """One entry that moved a credit: what it added (negative: took) and what it left."""

    entry: UUID
    event: str
    type: str
    effective_at: InstantOut
    recorded_at: InstantOut
    invoice: str
    amount: AmountOut
    remaining: AmountOut
    draws: list[DrawOut] = Field(description="The first 20 draws; an entry has them all.")
    draw_count: int
    reverses: UUID | None
    reversed_by: UUID | None


@router.read("/balances/as-of", scope="balances:read", answer=BalancesAsOfOut)
def get_balances_as_of(request: ApiRequest, query: Query[AsOfQuery]) -> BalancesAsOfOut:
    """A customer's balances on both clocks: what counted before one instant, as it was known before another."""
    found = balances.customer_as_of(
        customer_key=query.customer, unit=query.currency, until=query.until, known=query.recorded_until
    )
    names = BalancesAsOfOut.model_fields.keys() - {"customer", "currency", "until", "recorded_until"}
    return BalancesAsOfOut.model_validate(
        {**query.model_dump(), **{name: amount_out(getattr(found, name), query.currency) for name in names}}
    )


@router.read("/statement", scope="balances:read", answer=StatementOut)
def get_statement(request: ApiRequest, query: Query[StatementQuery]) -> StatementOut:
    """A customer's lines in the order of the days for which they count, each with the balance that it left."""
    filters = query.filters()
    position = unseal("statement", filters, query.cursor)
    found = statements.of_customer(
        customer_key=query.customer,
        unit=query.currency,
        scope=query.scope,
        within=statements.Range(query.since, query.until, query.recorded_until),
        after=None if position is None else statements.Position(date.fromisoformat(position[0]), *position[1:]),
        limit=query.limit,
    )
    last = found.next_after
    return StatementOut.model_validate(
        {
            "customer": query.customer,
            "currency": query.currency,
            "scope": query.scope,
            **{
                name: amount_out(getattr(found, name), found.unit) for name in ("opening", "brought_forward", "closing")
            },
            "lines": [_line(line, found.unit) for line in found.lines],
            "next_cursor": last and seal("statement", filters, [last.day.isoformat(), last.entry, last.line]),
        }
    )


@router.read("/credits/{credit_id}/history", scope="balances:read", answer=Page[HistoryOut])
def get_credit_history(request: ApiRequest, credit_id: UUID, query: Query[PageQuery]) -> Page[HistoryOut]:
    """Everything that moved a credit, in the order in which it was written, and what it paid for."""
    grant = CreditGrant.objects.filter(public_id=credit_id).first()
    if grant is None:
        raise CreditNotFound(f"There is no credit {credit_id}.")
    listing = f"credit history {credit_id}"
    position = unseal(listing, {}, query.cursor)
    found = histories.of_grant(
        grant=grant, after=position[0] if position else 0, limit=min(query.limit, histories.MAX_PAGE)
    )
    following = None if found.next_after is None else seal(listing, {}, [found.next_after])
    return Page(items=[_step(step, grant.unit_id) for step in found.steps], next_cursor=following)


@router.read("/entries/{entry_id}/draws", scope="balances:read", answer=Page[DrawOut])
def list_draws_of_entry(request: ApiRequest, entry_id: UUID, query: Query[PageQuery]) -> Page[DrawOut]:
    """What an entry took from credits, draw by draw, and what each paid for."""
    entry = journal.entry(public_id=entry_id)
    listing = f"draws of {entry_id}"
    position = unseal(listing, {}, query.cursor)
    found = histories.under_entry(
        entry=entry.id,
        after=(position[0], position[1]) if position else None,
        limit=min(query.limit, histories.MAX_PAGE),
    )
    following = None if found.next_after is None else seal(listing, {}, found.next_after)
    return Page(items=[_draw(draw) for draw in found.items], next_cursor=following)


def _line(line: statements.StatementLine, unit: str) -> dict[str, Any]:
    return {
        "entry": line.entry_id,
        "event": line.label,
        "type": line.event_type,
        "code": line.account.code_id,
        "dimension": line.account.dimension,
        "effective_on": line.position.day,
        "effective_at": line.effective_at,
        "occurred_at": line.occurred_at,
        "recorded_at": line.recorded_at,
        "refs": dict(line.refs),
        "debit": None if line.debit is None else amount_out(line.debit, unit),
        "credit": None if line.credit is None else amount_out(line.credit, unit),
        "balance": amount_out(line.balance, unit),
        "reverses": line.reverses,
        "reversed_by": line.reversed_by,
    }


def _step(step: histories.GrantStep, unit: str) -> HistoryOut:
    return HistoryOut.model_validate(
        {
            "entry": step.entry_id,
            "event": step.label,
            "type": step.event_type,
            "effective_at": step.effective_at,
            "recorded_at": step.recorded_at,
            "invoice": step.invoice_ref,
            "amount": amount_out(step.amount, unit),
            "remaining": amount_out(step.remaining, unit),
            "draws": [_draw(draw) for draw in step.draws],
            "draw_count": step.draw_count,
            "reverses": step.reverses,
            "reversed_by": step.reversed_by,
        }
    )


def _draw(draw: histories.Drawn) -> DrawOut:
    return DrawOut.model_validate(
        {
            "credit": draw.grant_id,
            "ref": draw.ref,
            "feature": draw.feature,
            "used_at": draw.used_at,
            "amount": amount_out(draw.amount, draw.unit),
        }
    )
