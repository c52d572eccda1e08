"""Holds over HTTP: keep credit for a use that has begun, and settle it with what was really used."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field, StringConstraints

from billing_ops.kit import clock
from billing_ops.kit.http import AmountOut, ApiRequest, ApiRouter, Body, DecimalText, InstantOut, Key, Out, idempotency
from ledger import holding
from ledger.api.draws import Unit
from ledger.models import Hold, HoldResolution

router = ApiRouter(tags=["Credits"])


class HoldIn(Body):
    """Credit to keep for a while."""

    customer: Key
    unit: Unit
    amount: DecimalText
    feature: Annotated[str, StringConstraints(max_length=100)] = ""
    ttl_seconds: Annotated[int, Field(ge=1, le=7 * 86_400, description="After this it lapses by itself.")] = 900
    usage_ref: Annotated[str, StringConstraints(max_length=200)] = ""
    policy: Literal["all", "partial"] = "all"


class HoldOut(Out):
    """A hold, and how it ended."""

    id: UUID
    customer: str
    unit: str
    asked: AmountOut
    held: AmountOut = Field(description="What is kept, or was until it ended.")
    feature: str
    usage_ref: str
    status: str = Field(description="open, settled, released or lapsed")
    settled: AmountOut = Field(description="How much of it was used.")
    draw: int | None = Field(description="The draw that settled it.")
    expires_at: InstantOut


class SettleIn(Body):
    """What was really used; zero is possible."""

    actual: DecimalText
    rest: Annotated[
        Literal["refuse", "draw", "overage"],
        Field(description="More than is held: refuse it, draw the rest, or draw it and owe what no credit covers."),
    ] = "refuse"
    usage_ref: Annotated[str, StringConstraints(max_length=200)] = ""


@router.make("/holds", scope="draws:write", answer=HoldOut)
def hold_credit(request: ApiRequest, body: HoldIn) -> HoldOut:
    """Keep credit for a use that begins now. It counts as spent until it is settled, released or lapses."""
    at = clock.now()
    hold = holding.reserve(
        customer_key=body.customer,
        unit=body.unit,
        amount=body.amount,
        feature=body.feature,
        key=idempotency.operation_key(request),
        at=at,
        expires_at=at + timedelta(seconds=body.ttl_seconds),
        actor=request.auth.actor,
        usage_ref=body.usage_ref,
        policy=body.policy,
    )
    return _hold(hold)


@router.read("/holds/{hold_id}", scope="balances:read", answer=HoldOut)
def get_hold(request: ApiRequest, hold_id: UUID) -> HoldOut:
    """One hold, and how it ended."""
    return _hold(holding.get(public_id=hold_id))


@router.make("/holds/{hold_id}/settle", scope="draws:write", answer=HoldOut, status=200)
def settle_hold(request: ApiRequest, hold_id: UUID, body: SettleIn) -> HoldOut:
    """End a hold with what was really used: that is drawn, the rest is free again."""
    hold = holding.get(public_id=hold_id)
    holding.settle(
        hold=hold,
        actual=body.actual,
        rest=body.rest,
        usage_ref=body.usage_ref,
        at=clock.now(),
        actor=request.auth.actor,
    )
    return _hold(hold)


@router.make("/holds/{hold_id}/release", scope="draws:write", answer=HoldOut, status=200)
def release_hold(request: ApiRequest, hold_id: UUID) -> HoldOut:
    """End a hold of which nothing was used."""
    hold = holding.get(public_id=hold_id)
    holding.release(hold=hold, at=clock.now(), actor=request.auth.actor)
    return _hold(hold)


def _hold(hold: Hold) -> HoldOut:
    ended = HoldResolution.objects.filter(hold=hold).first()
    return HoldOut.model_validate(
        {
            "id": hold.public_id,
            "customer": hold.wallet.customer_key,
            "unit": hold.wallet.unit_id,
            "asked": hold.asked,
            "held": hold.amount,
            "feature": hold.feature,
            "usage_ref": hold.usage_ref,
            "status": ended.kind if ended else "open",
            "settled": ended.amount if ended else Decimal(0),
            "draw": ended.draw_id if ended else None,
            "expires_at": hold.expires_at,
        }
    )
