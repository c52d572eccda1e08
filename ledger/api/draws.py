"""Draws over HTTP: use credit as it is used, one at a time or many; see where it went; give it back.

The hot path. A draw's own key is its idempotency: no record of the request is kept beside it, and authentication asks
the database at most once in ``auth.CACHE_SECONDS`` a key.
"""

from typing import Annotated
from uuid import UUID

from django.http import HttpResponse
from ninja import Query
from pydantic import Field, StringConstraints

from billing_ops.kit import clock
from billing_ops.kit.http import (
    AmountOut,
    ApiRequest,
    ApiRouter,
    Body,
    DecimalText,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
    idempotency,
)
from billing_ops.kit.http import body as bodies_kit
from billing_ops.kit.http.cursors import seal, unseal
from ledger import batching, drawing, draws, returning
from ledger.api import bodies
from ledger.api.fields import Reason, Text
from ledger.api.openapi import DRAW_BODY, DRAWS_BODY
from ledger.models import CreditReturn, CreditReturnAllocation

router = ApiRouter(tags=["Credits"])

_JSON = "application/json; charset=utf-8"
_MAX_BYTES = 10 * 1024 * 1024

Unit = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,23}$")]
DrawId = Annotated[int, Field(ge=1, le=2**63 - 1)]


class DrawPartOut(Out):
    """An amount of one credit."""

    credit: UUID
    amount: AmountOut


class DrawAnswerOut(Out):
    """A draw: what credit paid of it (`drawn`) and what not (`shortfall`)."""

    id: int
    key: str
    outcome: str = Field(description="accepted, partial, overage or refused; the same key gets the same answer")
    amount: AmountOut
    drawn: AmountOut
    shortfall: AmountOut = Field(description="Of a refusal: how much credit was missing.")
    overage: AmountOut | None = Field(description="What is owed for the shortfall, in `overage_currency`.")
    overage_currency: str
    used_at: InstantOut
    replayed: bool = Field(description="It had been drawn before under this key.")
    credits: list[DrawPartOut] = Field(description="The credits that paid, and how much each.")


class DrawOutcomeOut(Out):
    """What became of one draw of many."""

    key: str
    outcome: str = Field(description="accepted, partial, overage, refused, or failed: nothing was drawn or remembered")
    id: int | None = None
    drawn: AmountOut | None = None
    shortfall: AmountOut | None = None
    overage: AmountOut | None = None
    replayed: bool = False
    code: str | None = Field(None, description="Why it failed: stable, for programs.")
    message: str | None = Field(None, description="The same for people.")


class DrawOutcomesOut(Out):
    """The outcomes in the order of the draws, and how many of each; given after the commit."""

    counts: dict[str, int]
    outcomes: list[DrawOutcomeOut]


class DrawnOut(Out):
    """A draw as it is kept."""

    id: int
    customer: str
    unit: str
    key: str
    outcome: str
    policy: str
    amount: AmountOut
    drawn: AmountOut
    shortfall: AmountOut
    overage: AmountOut | None
    overage_currency: str
    returned: AmountOut = Field(description="What was given back of it since.")
    feature: str
    usage_ref: str
    used_at: InstantOut
    recorded_at: InstantOut
    credits: list[DrawPartOut]


class DrawsQuery(PageQuery):
    """Draws of a customer, from a credit, or for a use; newest first."""

    customer: Key | None = None
    unit: Unit | None = None
    credit: UUID | None = None
    usage_ref: Annotated[str, StringConstraints(max_length=200)] | None = None


class DrawReturnIn(Body):
    """How much of a draw is given back, and why."""

    amount: DecimalText
    reason_code: Reason
    ticket: Text = ""
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


class DrawReturnOut(Out):
    """What was given back, first of what was owed, then to the credits that expire last."""

    id: int
    draw: int
    amount: AmountOut
    overage: AmountOut = Field(description="How much of the amount had been overage.")
    overage_money: AmountOut = Field(description="What is no longer owed for it.")
    credits: list[DrawPartOut]
    reason_code: str
    returned_at: InstantOut


class AvailableCreditOut(Out):
    """Credit in one unit: `available` is what is settled less what is held and less what was used and not drawn yet."""

    unit: str
    settled: AmountOut
    held: AmountOut
    unbilled: AmountOut
    available: AmountOut


class FeatureCreditOut(Out):
    """What a customer's credit could pay of a feature now."""

    customer: str
    feature: str
    as_of: InstantOut
    credit: list[AvailableCreditOut]


class FeatureQuery(Body):
    """For which feature, in which unit."""

    feature: Annotated[str, StringConstraints(max_length=100)] = ""
    unit: Unit | None = None


@router.ask(
    "/draws", scope="draws:write", answer=DrawAnswerOut, problems=(409, 429), openapi={"requestBody": DRAW_BODY}
)
def draw_credit(request: ApiRequest) -> HttpResponse:
    """Draw credit for something that was used: now, and to the last digit.

    A refusal is an answer, not an error, and is remembered: the same key gets the same answer. Draws that wait at the
    same moment are written together, and answered after the commit.
    """
    bodies_kit.check_type(request)
    made = batching.draw(bodies.read_draw(request.body), actor=request.auth.actor)
    return HttpResponse(bodies.encode(bodies.draw_out(made)), content_type=_JSON)


@router.ask(
    "/draws/batch",
    scope="draws:write",
    answer=DrawOutcomesOut,
    max_bytes=_MAX_BYTES,
    problems=(409, 429),
    openapi={"requestBody": DRAWS_BODY},
)
def draw_credit_in_bulk(request: ApiRequest) -> HttpResponse:
    """Draw up to 10,000 times at once, for one customer or several; each draw has its own outcome.

    They are taken in their order. Draws of one customer and unit are posted as one entry a day.
    """
    bodies_kit.check_type(request)
    orders = bodies.read_draws(request.body)
    answers = drawing.draw_many(orders=orders, at=clock.now(), actor=request.auth.actor)
    return HttpResponse(bodies.encode(bodies.outcomes_out(orders, answers)), content_type=_JSON)


@router.read("/draws", scope="balances:read", answer=Page[DrawnOut])
def list_draws(request: ApiRequest, query: Query[DrawsQuery]) -> Page[DrawnOut]:
    """Where credit went: draws by customer, by credit or by the usage they paid for."""
    position = unseal("draws", query.filters(), query.cursor)
    page = draws.page(
        customer_key=query.customer,
        unit=query.unit,
        grant=query.credit,
        usage_ref=query.usage_ref,
        after=position[0] if position else None,
        limit=query.limit,
    )
    following = None if page.next_after is None else seal("draws", query.filters(), [page.next_after])
    return Page(items=[_drawn(row) for row in page.items], next_cursor=following)


@router.read("/draws/{draw_id}", scope="balances:read", answer=DrawnOut)
def get_draw(request: ApiRequest, draw_id: DrawId) -> DrawnOut:
    """One draw, with the credits it took from."""
    return _drawn(draws.get(draw_id=draw_id))


@router.make("/draws/{draw_id}/returns", scope="draws:write", answer=DrawReturnOut)
def return_drawn_credit(request: ApiRequest, draw_id: DrawId, body: DrawReturnIn) -> DrawReturnOut:
    """Give back a part of a draw, or all of it: in the reverse of the order in which it was drawn."""
    made = returning.give_back(
        draw_id=draw_id,
        amount=body.amount,
        key=idempotency.operation_key(request),
        at=clock.now(),
        actor=request.auth.actor,
        reason_code=body.reason_code,
        note=body.note,
        ticket=body.ticket,
    )
    return _returned(made)


@router.read("/customers/{key}/credit", scope="balances:read", answer=FeatureCreditOut)
def read_available_credit(request: ApiRequest, key: Key, query: Query[FeatureQuery]) -> FeatureCreditOut:
    """What credit could pay of a feature now: restricted credit counts only for its features."""
    at = clock.now()
    found = draws.available(customer_key=key, feature=query.feature, at=at, unit=query.unit)
    return FeatureCreditOut.model_validate(
        {
            "customer": key,
            "feature": query.feature,
            "as_of": at,
            "credit": [
                {
                    "unit": row.unit,
                    "settled": row.settled,
                    "held": row.held,
                    "unbilled": row.unbilled,
                    "available": row.available,
                }
                for row in found
            ],
        }
    )


def _drawn(row: draws.DrawRow) -> DrawnOut:
    draw = row.draw
    missing = draw.available or 0
    return DrawnOut.model_validate(
        {
            "id": draw.pk,
            "customer": draw.wallet.customer_key,
            "unit": draw.wallet.unit_id,
            "key": draw.idempotency_key,
            "outcome": draw.outcome,
            "policy": draw.policy,
            "amount": draw.amount,
            "drawn": draw.amount - draw.shortfall,
            "shortfall": draw.shortfall - missing,
            "overage": draw.overage,
            "overage_currency": draw.overage_currency,
            "returned": row.returned,
            "feature": draw.feature,
            "usage_ref": draw.usage_ref,
            "used_at": draw.used_at,
            "recorded_at": draw.recorded_at,
            "credits": [{"credit": credit, "amount": amount} for credit, amount in row.allocations],
        }
    )


def _returned(made: CreditReturn) -> DrawReturnOut:
    parts = CreditReturnAllocation.objects.filter(given=made).values_list("grant__public_id", "amount")
    return DrawReturnOut.model_validate(
        {
            "id": made.pk,
            "draw": made.draw_id,
            "amount": made.amount,
            "overage": made.overage,
            "overage_money": made.overage_money,
            "credits": [{"credit": credit, "amount": amount} for credit, amount in parts],
            "reason_code": made.reason_code,
            "returned_at": made.returned_at,
        }
    )
