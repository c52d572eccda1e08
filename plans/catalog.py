"""Reading the catalogue: plans, their versions, and what a price costs."""

from collections.abc import Sequence

from django.db.models import Prefetch, QuerySet

from billing_ops.kit.errors import NotFound
from plans.models import Plan, PlanVersion, Price, PriceTier
from plans.rules.prices import PriceTerms, Tier
from plans.rules.specs import PriceSpec, VersionSpec


class PlanNotFound(NotFound):
    """No plan has that key."""

    code = "plan.not_found"


class VersionNotFound(NotFound):
    """The plan has no version of that number, or none that is published."""

    code = "version.not_found"


class PriceNotFound(NotFound):
    """No price has that id."""

    code = "price.not_found"


def terms_of(price: Price) -> PriceTerms:
    """What rating needs of a stored price. Reads ``price.version`` and ``price.tiers``: prefetch them in a loop."""
    return PriceTerms(
        model=price.model,  # type: ignore[arg-type]  # constraint price_model_known
        currency=price.version.currency,
        unit_amount=price.unit_amount,
        included_units=price.included_units,
        tiers=_tiers_of(price),
    )


def spec_of(version: PlanVersion) -> VersionSpec:
    """What a stored version says, as a value. Reads its prices, tiers and meters."""
    return VersionSpec(
        currency=version.currency,
        prices=tuple(
            PriceSpec(
                key=price.key,
                name=price.name,
                model=price.model,  # type: ignore[arg-type]  # constraint price_model_known
                unit_amount=price.unit_amount,
                included_units=price.included_units,
                tiers=_tiers_of(price),
                meter=price.meter.key if price.meter else "",
                settlement=price.settlement,
            )
            for price in version.prices.all()
        ),
    )


def plan(key: str) -> Plan:
    """The plan of that key with its versions, prices, tiers and meters; raises :class:`PlanNotFound`."""
    found = plans().filter(key=key).first()
    if found is None:
        raise PlanNotFound(f"There is no plan “{key[:80]}”.", field="plan")
    return found


def plans() -> QuerySet[Plan]:
    """Every plan in the order of its key, with versions, prices, tiers and meters, in a constant number of queries."""
    return Plan.objects.order_by("key").prefetch_related(
        Prefetch("versions", PlanVersion.objects.order_by("number")), *_prefetches("versions__")
    )


def version(plan_key: str, number: int | None = None) -> PlanVersion:
    """That version of a plan, or without a number the newest published one, with all it says.

    Raises :class:`PlanNotFound` or :class:`VersionNotFound`.
    """
    versions = PlanVersion.objects.filter(plan__key=plan_key).select_related("plan").prefetch_related(*_prefetches(""))
    if number is None:
        found = versions.filter(published_at__isnull=False).order_by("-number").first()
        wanted = "published version"
    else:
        found = versions.filter(number=number).first()
        wanted = f"version {number}"
    if found is None:
        plan(plan_key)  # a plan that does not exist is said first
        raise VersionNotFound(f"The plan “{plan_key}” has no {wanted}.", field="version")
    return found


def price(price_id: int) -> Price:
    """The stored price of that id, with its version, tiers and meter; raises :class:`PriceNotFound`."""
    found = Price.objects.select_related("version__plan", "meter").prefetch_related("tiers").filter(pk=price_id).first()
    if found is None:
        raise PriceNotFound(f"There is no price {price_id}.", field="price_id")
    return found


def _tiers_of(price: Price) -> tuple[Tier, ...]:
    rows: Sequence[PriceTier] = sorted(price.tiers.all(), key=lambda tier: tier.position)
    return tuple(Tier(row.up_to, row.unit_amount, row.flat_amount) for row in rows)


def _prefetches(prefix: str) -> "list[Prefetch[str]]":
    prices = Price.objects.order_by("position", "id").select_related("meter")
    return [
        Prefetch(f"{prefix}prices", prices),
        Prefetch(f"{prefix}prices__tiers", PriceTier.objects.order_by("position")),
    ]
