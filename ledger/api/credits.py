"""Credits over HTTP: give, list, void."""

from typing import Annotated, Any, Literal
from uuid import UUID

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
    Instant,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
    idempotency,
    paginate,
)
from ledger import balances, crediting, holders, limiting, policies, voiding
from ledger.api.fields import Feature, Reason, Text, UnitCode, amount_out, quantity_of
from ledger.models import CreditGrant
from ledger.rules.limits import Authority

router = ApiRouter(tags=["Credits"])

_AUTHORITY = Authority(roles=(limiting.API_KEY,))
"""An API key gives on a role of its own, and belongs to no customer."""


class CreditNotFound(NotFound):
    """No credit has that id."""

    code = "credit.not_found"


class CreditIn(Body):
    """A credit to give."""

    customer: Key
    kind: Literal["promotional", "goodwill", "included"]
    amount: AmountText
    currency: UnitCode
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
    voided: AmountOut = Field(description="All that left in another way; the next three are parts of it.")
    refunded: AmountOut
    transferred: AmountOut
    rolled_over: AmountOut
    came_from: UUID | None = Field(description="The credit that it was moved from.")
    went_to: list[UUID] = Field(description="Credits that parts of it became.")
    rate: AmountOut | None = Field(description="Money a unit when it was made, for a unit of the company's own.")
    cost: AmountOut | None = Field(description="Money received or promised for all of it, for such a unit.")
    priority: int
    effective_at: InstantOut
    expires_at: InstantOut | None
    scope: list[str]
    reason_code: str
    ticket: str
    note: str
    created_at: InstantOut


class VoidIn(Body):
    """Why a credit is taken back."""

    reason_code: Reason
    ticket: Text = ""
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


class CreditsQuery(PageQuery):
    """Whose credits."""

    customer: Key
    currency: UnitCode | None = None


@router.make("/credits", scope="credits:write", answer=CreditOut)
def grant_credit(request: ApiRequest, body: CreditIn) -> CreditOut:
    """Give a customer credit, within the limits of API keys. Paid credit is bought, not given.

    Above a limit the answer is 422 `credit.above_limit`; its `details` name the `limit` and what is `left`. A larger
    credit is asked for in the console, where a second person approves it: no key can.
    """
    at = clock.now()
    grant = crediting.grant(
        key=idempotency.operation_key(request),
        at=at,
        actor=request.auth.actor,
        authority=_AUTHORITY,
        promo_policy=policies.promo(),
        holder_check=holders.check,
        **_terms(body),
    )
    return _credit(balances.with_balances([grant], at=at)[0])


@router.read("/credits", scope="balances:read", answer=Page[CreditOut])
def list_credits(request: ApiRequest, query: Query[CreditsQuery]) -> Page[CreditOut]:
    """A customer's credits, newest first, each with what is left of it."""
    rows = CreditGrant.objects.filter(customer_key=query.customer).select_related("from_grant")
    rows = rows.prefetch_related("led_to")
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


def _terms(body: CreditIn) -> dict[str, Any]:
    amount = quantity_of(body.amount, body.currency)
    return {
        "customer_key": body.customer,
        "amount": amount,
        "unit": body.currency,
        **body.model_dump(exclude={"customer", "amount", "currency"}),
    }


def _grant(credit_id: UUID) -> CreditGrant:
    found = CreditGrant.objects.filter(public_id=credit_id).first()
    if found is None:
        raise CreditNotFound(f"There is no credit {credit_id}.")
    return found


def _credit(found: balances.GrantBalance) -> CreditOut:
    grant = found.grant
    return CreditOut.model_validate(
        {
            "id": grant.public_id,
            "customer": grant.customer_key,
            "kind": grant.kind,
            "status": found.status,
            "amount": amount_out(grant.amount, grant.unit_id),
            "currency": grant.unit_id,
            "remaining": amount_out(found.remaining, grant.unit_id),
            "used": amount_out(found.used, grant.unit_id),
            "expired": amount_out(found.expired, grant.unit_id),
            "voided": amount_out(found.voided, grant.unit_id),
            "refunded": amount_out(found.refunded, grant.unit_id),
            "transferred": amount_out(found.transferred, grant.unit_id),
            "rolled_over": amount_out(found.rolled_over, grant.unit_id),
            "came_from": grant.from_grant.public_id if grant.from_grant else None,
            "went_to": [one.public_id for one in grant.led_to.all()],
            "rate": grant.rate,
            "cost": grant.cost_basis,
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
