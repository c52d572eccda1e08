"""Routes of the ledger: balances, credits and the entries behind them."""

from decimal import Decimal
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from moneyed import Money
from ninja import Query
from pydantic import Field, StringConstraints

from billing_ops.kit import clock
from billing_ops.kit.errors import NotFound
from billing_ops.kit.http import (
    AmountOut,
    AmountText,
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
    idempotency,
    paginate,
)
from billing_ops.kit.http.cursors import seal, unseal
from billing_ops.kit.money import BadCurrency, currency, parse_money
from ledger import balances, crediting, holders, journal, voiding
from ledger.models import CreditGrant

router = ApiRouter(tags=["Credits"])
_BALANCES: Final = {"tags": ["Balances"]}

Text = Annotated[str, StringConstraints(max_length=120)]
Reason = Annotated[str, StringConstraints(min_length=1, max_length=60), Field(examples=["outage"])]
Feature = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class CreditNotFound(NotFound):
    """No credit has that id."""

    code = "credit.not_found"


class BalancesOut(Out):
    """A customer's balances in one currency."""

    currency: str
    receivable: AmountOut = Field(description="Invoiced and not yet paid.")
    unbilled: AmountOut = Field(description="Used, rated and not yet invoiced.")
    deferred: AmountOut = Field(description="Paid or invoiced in advance and not yet earned.")
    customer_balance: AmountOut = Field(description="Money of the customer that pays the next invoice.")
    paid_credits: AmountOut
    goodwill_credits: AmountOut
    promotional_credits: AmountOut = Field(description="Promotional and included.")
    credits_total: AmountOut
    held: AmountOut = Field(description="What open holds keep of the credits.")
    version: int = Field(description="Grows with every change; the same version is the same state.")


class CustomerBalancesOut(Out):
    """A customer's balances, one item a currency."""

    customer: str
    as_of: InstantOut
    balances: list[BalancesOut]


class CreditIn(Body):
    """A credit to give."""

    customer: Key
    kind: Literal["promotional", "goodwill", "included"]
    amount: AmountText
    currency: CurrencyCode
    reason_code: Reason
    priority: Annotated[int, Field(ge=0, le=100, description="Lower burns first.")] = 50
    effective_at: Instant | None = None
    expires_at: Instant | None = None
    scope: list[Feature] = Field(default=[], max_length=50, description="Features it pays for; empty: all.")
    ticket: Text = ""
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


class CreditOut(Out):
    """A credit and where its amount is: remaining, used, expired and voided add up to it exactly."""

    id: UUID
    customer: str
    kind: str
    status: str
    amount: AmountOut
    currency: str
    remaining: AmountOut
    used: AmountOut
    expired: AmountOut
    voided: AmountOut
    priority: int
    effective_at: InstantOut
    expires_at: InstantOut | None
    scope: list[str]
    reason_code: str
    ticket: str
    note: str
    created_at: InstantOut


class JournalLineOut(Out):
    """One debit or credit."""

    side: str
    code: str
    name: str
    amount: AmountOut
    unit: str
    customer_key: str
    dimension: str


class VoidIn(Body):
    """Why a credit is taken back."""

    reason_code: Reason
    ticket: Text = ""
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


class JournalEntryOut(Out):
    """One entry of the journal with its lines."""

    id: UUID
    type: str
    label: str
    effective_at: InstantOut
    recorded_at: InstantOut
    customer: str
    invoice: str
    credit: str
    stripe: str
    reason_code: str
    lines: list[JournalLineOut]


class BalancesQuery(Body):
    """Whose balances, and in which currency (default: each that the customer has)."""

    customer: Key
    currency: CurrencyCode | None = None


class CreditsQuery(PageQuery):
    """Whose credits."""

    customer: Key
    currency: CurrencyCode | None = None


class EntriesQuery(PageQuery):
    """Entries about a customer, an invoice or a credit; newest first."""

    customer: Key | None = None
    invoice: Text | None = None
    credit: UUID | None = None


@router.read("/balances", scope="balances:read", answer=CustomerBalancesOut, openapi=_BALANCES)
def get_balances(request: ApiRequest, query: Query[BalancesQuery]) -> CustomerBalancesOut:
    """What a customer owes, has paid in advance, and has left in credits."""
    units = [query.currency] if query.currency else balances.units_of(customer_key=query.customer)
    return CustomerBalancesOut.model_validate(
        {
            "customer": query.customer,
            "as_of": clock.now(),
            "balances": [_balances(unit, balances.of(customer_key=query.customer, unit=unit)) for unit in units],
        }
    )


@router.make("/credits", scope="credits:write", answer=CreditOut)
def grant_credit(request: ApiRequest, body: CreditIn) -> CreditOut:
    """Give a customer credit. Paid credit is bought, not given."""
    at = clock.now()
    grant = crediting.grant(key=idempotency.operation_key(request), at=at, actor=request.auth.actor, **_terms(body))
    return _credit(balances.with_balances([grant], at=at)[0])


@router.read("/credits", scope="balances:read", answer=Page[CreditOut])
def list_credits(request: ApiRequest, query: Query[CreditsQuery]) -> Page[CreditOut]:
    """A customer's credits, newest first, each with what is left of it."""
    rows = CreditGrant.objects.filter(customer_key=query.customer)
    if query.currency is not None:
        rows = rows.filter(unit=query.currency)
    found = paginate(rows, page=query, order=["-id"], listing="credits")
    items = balances.with_balances(found.items, at=clock.now())
    return Page(items=[_credit(item) for item in items], next_cursor=found.next_cursor)


@router.read("/credits/{credit_id}", scope="balances:read", answer=CreditOut)
def get_credit(request: ApiRequest, credit_id: UUID) -> CreditOut:
    """One credit, with what is left of it."""
    return _credit(balances.with_balances([_grant(credit_id)], at=clock.now())[0])


@router.make("/credits/{credit_id}/void", scope="credits:write", answer=CreditOut, status=200)
def void_credit(request: ApiRequest, credit_id: UUID, body: VoidIn) -> CreditOut:
    """Take back what is left of a credit."""
    at, grant = clock.now(), _grant(credit_id)
    key = idempotency.operation_key(request)
    voiding.void(grant=grant, key=key, at=at, actor=request.auth.actor, **body.model_dump())
    return _credit(balances.with_balances([grant], at=at)[0])


@router.read("/entries", scope="balances:read", answer=Page[JournalEntryOut], openapi=_BALANCES)
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


@router.read("/entries/{entry_id}", scope="balances:read", answer=JournalEntryOut, openapi=_BALANCES)
def get_entry(request: ApiRequest, entry_id: UUID) -> JournalEntryOut:
    """One entry of the journal."""
    return _entry(journal.entry(public_id=entry_id))


def _terms(body: CreditIn) -> dict[str, Any]:
    amount = parse_money(body.amount, body.currency)
    holders.check(customer_key=body.customer, unit=body.currency)
    return {
        "customer_key": body.customer,
        "amount": amount,
        **body.model_dump(exclude={"customer", "amount", "currency"}),
    }


def _grant(credit_id: UUID) -> CreditGrant:
    found = CreditGrant.objects.filter(public_id=credit_id).first()
    if found is None:
        raise CreditNotFound(f"There is no credit {credit_id}.")
    return found


def _balances(unit: str, found: balances.CustomerBalances) -> BalancesOut:
    names = BalancesOut.model_fields.keys() - {"currency", "version"}
    amounts = {name: _amount(getattr(found, name), unit) for name in names}
    return BalancesOut(currency=unit, version=found.version, **amounts)


def _amount(amount: Decimal, unit: str) -> Any:
    """Money shows its minor units; a company's own credits are plain numbers."""
    try:
        return Money(amount, currency(unit))
    except BadCurrency:
        return amount


def _line(line: journal.JournalLine) -> JournalLineOut:
    return JournalLineOut.model_validate(
        {
            "side": line.side,
            "code": line.code,
            "name": line.name,
            "amount": _amount(line.amount, line.unit),
            "unit": line.unit,
            "customer_key": line.customer_key,
            "dimension": line.dimension,
        }
    )


def _credit(found: balances.GrantBalance) -> CreditOut:
    grant = found.grant
    return CreditOut.model_validate(
        {
            "id": grant.public_id,
            "customer": grant.customer_key,
            "kind": grant.kind,
            "status": found.status,
            "amount": _amount(grant.amount, grant.unit_id),
            "currency": grant.unit_id,
            "remaining": _amount(found.remaining, grant.unit_id),
            "used": _amount(found.used, grant.unit_id),
            "expired": _amount(found.expired, grant.unit_id),
            "voided": _amount(found.voided, grant.unit_id),
            "priority": grant.priority,
            "effective_at": grant.effective_at,
            "expires_at": grant.expires_at,
            "scope": grant.scope,
            "reason_code": grant.reason_code,
            "ticket": grant.ticket,
            "note": grant.reason_note,
            "created_at": grant.created_at,
        }
    )


def _entry(found: journal.JournalEntry) -> JournalEntryOut:
    return JournalEntryOut.model_validate(
        {
            "id": found.public_id,
            "type": found.event_type,
            "label": found.label,
            "effective_at": found.effective_at,
            "recorded_at": found.recorded_at,
            "customer": found.customer_key,
            "invoice": found.invoice_ref,
            "credit": found.grant_ref,
            "stripe": found.stripe_ref,
            "reason_code": found.reason_code,
            "lines": [_line(line) for line in found.lines],
        }
    )
