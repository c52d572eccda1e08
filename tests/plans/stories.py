"""The smallest true beginnings that tests of the agreement share."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

from billing_ops.kit.actor import Actor
from metering import defining
from metering.models import Meter
from plans import enrolling, publishing, subscribing
from plans.models import Customer, PlanVersion, Subscription
from plans.rules.details import CustomerDetails
from plans.rules.prices import Tier
from plans.rules.specs import PriceSpec, VersionSpec

AT = datetime(2025, 1, 15, 9, 30, tzinfo=UTC)
ACTOR = Actor("user", "ada", "Ada")

FEE = PriceSpec("fee", "Monthly fee", "flat", unit_amount=Decimal(20))
CONTEXT = PriceSpec(
    "context",
    "Context tokens",
    "graduated",
    included_units=Decimal(100_000),
    tiers=(Tier(Decimal(400_000), Decimal("0.000003")), Tier(None, Decimal("0.0000024"))),
    meter="context",
)
OUTPUT = PriceSpec("output", "Output tokens", "per_unit", unit_amount=Decimal("0.000015"), meter="output")
SPEC = VersionSpec("USD", (FEE, CONTEXT, OUTPUT))


def utc(text: str) -> datetime:
    """An instant in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def meter(key: str) -> Meter:
    return defining.define(
        key=key,
        name=key,
        event_type="llm.request",
        aggregation="sum",
        value_path=key,
        unit="tokens",
        at=AT,
        actor=ACTOR,
    )


def drafted(plan_key: str = "pro", spec: VersionSpec = SPEC) -> PlanVersion:
    for price in spec.prices:
        if price.meter:
            meter(price.meter)
    plan = publishing.create_plan(key=plan_key, name=plan_key.title(), at=AT, actor=ACTOR)
    return publishing.draft_version(plan=plan, spec=spec, at=AT, actor=ACTOR)


def published(plan_key: str = "pro", spec: VersionSpec = SPEC) -> PlanVersion:
    return publishing.publish(version=drafted(plan_key, spec), at=AT, actor=ACTOR)


def customer(key: str = "cus-1", **details: str) -> Customer:
    known = replace(CustomerDetails(name=key.title(), currency="USD"), **details)
    return enrolling.enroll(key=key, details=known, at=AT, actor=ACTOR)


def subscribed(
    who: Customer, version: PlanVersion, *, starts_at: datetime = AT, anchor: datetime | None = None, key: str = "sub-1"
) -> Subscription:
    return subscribing.subscribe(
        customer=who, version=version, key=key, starts_at=starts_at, anchor=anchor, at=AT, actor=ACTOR
    )
