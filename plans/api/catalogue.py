"""Plans and their versions over HTTP."""

from typing import Any, Literal

from ninja import Query
from pydantic import Field

from billing_ops.kit import clock
from billing_ops.kit.http import (
    AmountOut,
    ApiRequest,
    ApiRouter,
    Body,
    CurrencyCode,
    InstantOut,
    Out,
    Page,
    PageQuery,
    Slug,
    paginate,
)
from plans import catalog, publishing
from plans.api.prices import ModelName, TermsIn, tiers_of
from plans.models import Plan, PlanVersion, Price
from plans.rules.specs import PriceSpec, VersionSpec

router = ApiRouter(tags=["Plans"])

SettlementName = Literal["arrears", "drawdown"]


class PriceIn(TermsIn):
    """One charge of a plan."""

    key: Slug
    name: str = Field(min_length=1, max_length=200)
    meter: str = Field("", max_length=100, description="The key of the meter whose usage it prices; empty: flat.")
    settlement: SettlementName = Field("arrears", description="`drawdown`: drawn from credits as usage arrives.")


class VersionIn(Body):
    """What a plan version says."""

    currency: CurrencyCode
    prices: list[PriceIn] = Field(max_length=100)
    number: int | None = Field(None, ge=1, le=10**6, description="Left out: the next one.")


class VersionChange(Body):
    """What a draft is to say instead."""

    currency: CurrencyCode
    prices: list[PriceIn] = Field(max_length=100)


class PlanIn(Body):
    """A new plan with the draft of its first version."""

    key: Slug
    name: str = Field(min_length=1, max_length=200)
    currency: CurrencyCode
    prices: list[PriceIn] = Field(max_length=100)


class TierOut(Out):
    """One tier."""

    up_to: AmountOut | None
    unit_amount: AmountOut
    flat_amount: AmountOut


class PriceOut(Out):
    """One charge of a plan version."""

    id: int
    key: str
    name: str
    model: ModelName
    meter: str = Field(description="Empty: a flat price.")
    settlement: SettlementName
    unit_amount: AmountOut | None
    included_units: AmountOut
    tiers: list[TierOut]


class VersionOut(Out):
    """One version of a plan. Published, it never changes."""

    plan: str
    number: int
    currency: CurrencyCode
    status: Literal["draft", "published"]
    created_at: InstantOut
    published_at: InstantOut | None
    prices: list[PriceOut]


class PlanOut(Out):
    """A plan with all its versions."""

    key: str
    name: str
    created_at: InstantOut
    versions: list[VersionOut]


@router.make("/plans", scope="plans:write", answer=PlanOut)
def create_plan(request: ApiRequest, body: PlanIn) -> PlanOut:
    """Create a plan with the draft of its first version. A plan that was published is changed by a new version."""
    plan = publishing.create_with_draft(
        key=body.key, name=body.name, spec=_spec(body), at=clock.now(), actor=request.auth.actor
    )
    return _plan_out(catalog.plan(plan.key))


@router.read("/plans", scope="plans:read", answer=Page[PlanOut])
def list_plans(request: ApiRequest, query: Query[PageQuery]) -> Page[PlanOut]:
    """Plans by key, with all their versions."""
    found = paginate(catalog.plans(), page=query, order=["key"], listing="plans")
    return Page(items=[_plan_out(row) for row in found.items], next_cursor=found.next_cursor)


@router.read("/plans/{plan_key}", scope="plans:read", answer=PlanOut)
def get_plan(request: ApiRequest, plan_key: str) -> PlanOut:
    """One plan with all its versions."""
    return _plan_out(catalog.plan(plan_key))


@router.make("/plans/{plan_key}/versions", scope="plans:write", answer=VersionOut)
def draft_plan_version(request: ApiRequest, plan_key: str, body: VersionIn) -> VersionOut:
    """Draft the next version of a plan. What says the same as the newest version is that version."""
    version = publishing.draft_version(
        plan=catalog.plan(plan_key),
        spec=_spec(body),
        number=body.number,
        at=clock.now(),
        actor=request.auth.actor,
    )
    return _version_out(catalog.version(plan_key, version.number))


@router.change("/plans/{plan_key}/versions/{number}", scope="plans:write", answer=VersionOut, method="PUT")
def revise_plan_version(request: ApiRequest, plan_key: str, number: int, body: VersionChange) -> VersionOut:
    """Make a draft say something else. A published version is refused: 409, draft a new one."""
    version = catalog.version(plan_key, number)
    publishing.revise_draft(version=version, spec=_spec(body), at=clock.now(), actor=request.auth.actor)
    return _version_out(catalog.version(plan_key, number))


@router.make("/plans/{plan_key}/versions/{number}/publish", scope="plans:write", answer=VersionOut, status=200)
def publish_plan_version(request: ApiRequest, plan_key: str, number: int) -> VersionOut:
    """Publish a draft: customers can subscribe to it, and it never changes again."""
    version = catalog.version(plan_key, number)
    publishing.publish(version=version, at=clock.now(), actor=request.auth.actor)
    return _version_out(catalog.version(plan_key, number))


def _spec(body: PlanIn | VersionIn | VersionChange) -> VersionSpec:
    return VersionSpec(
        currency=body.currency,
        prices=tuple(
            PriceSpec(
                key=price.key,
                name=price.name,
                model=price.model,
                unit_amount=price.unit_amount,
                included_units=price.included_units,
                tiers=tiers_of(price.tiers),
                meter=price.meter,
                settlement=price.settlement,
            )
            for price in body.prices
        ),
    )


def _plan_out(plan: Plan) -> PlanOut:
    return PlanOut(
        key=plan.key,
        name=plan.name,
        created_at=plan.created_at,  # type: ignore[arg-type]  # InstantOut takes an instant
        versions=[_version_out(version) for version in plan.versions.all()],
    )


def _version_out(version: PlanVersion) -> VersionOut:
    return VersionOut.model_validate(
        {
            "plan": version.plan.key,
            "number": version.number,
            "currency": version.currency,
            "status": "draft" if version.published_at is None else "published",
            "created_at": version.created_at,
            "published_at": version.published_at,
            "prices": [_price(price) for price in version.prices.all()],
        }
    )


def _price(price: Price) -> dict[str, Any]:
    names = ("id", "key", "name", "model", "settlement", "unit_amount", "included_units")
    return {name: getattr(price, name) for name in names} | {
        "meter": price.meter.key if price.meter else "",
        "tiers": list(price.tiers.all()),
    }
