"""Making the catalogue: plans, drafts of versions, and publishing, after which a version never changes.

Writing the same again is the old row; writing something else under the same name is refused, with the fields that
differ. So a set-up script can be run twice.
"""

from collections.abc import Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Max

from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.errors import Conflict, IdempotencyMismatch, InvalidInput
from metering.models import Meter
from plans import catalog
from plans.models import Plan, PlanVersion, Price, PriceTier
from plans.rules.specs import SLUG, PriceSpec, VersionSpec, check_draft, check_publishable, differences


class PlanInvalid(InvalidInput):
    """A plan's key or name that cannot be used."""

    code = "plan.invalid"


class PlanDiffers(IdempotencyMismatch):
    """A plan of that key exists with another name."""

    code = "plan.differs"
    remedy = "Use another key for another plan."


class VersionDiffers(IdempotencyMismatch):
    """A draft of that number exists with other content; ``details["differs"]`` names the fields."""

    code = "version.differs"
    remedy = "Revise the draft, or publish it and draft the next version."


class VersionPublished(Conflict):
    """A published version was to be changed; ``details["differs"]`` names the fields."""

    code = "version.published"
    remedy = "Draft a new version with the change and publish it: subscriptions keep the version that they were sold."


class VersionOutOfOrder(Conflict):
    """A version number other than the next one."""

    code = "version.out_of_order"


class MeterUnknown(InvalidInput):
    """A price on a meter that does not exist or that was archived."""

    code = "price.meter_unknown"


def create_plan(*, key: str, name: str, at: datetime, actor: Actor) -> Plan:
    """Create a plan, still without a version. Raises :class:`PlanInvalid` or :class:`PlanDiffers`."""
    if not SLUG.fullmatch(key):
        raise PlanInvalid(
            f"“{key[:40]}” cannot be a plan's key.",
            remedy="Use lower-case letters, digits, - and _, at most 64 characters.",
            field="key",
        )
    if not name.strip() or len(name) > 200:
        raise PlanInvalid("A plan needs a name of at most 200 characters.", field="name")
    with transaction.atomic():
        plan, created = Plan.objects.get_or_create(key=key, defaults={"name": name, "created_at": at})
        if not created and plan.name != name:
            raise PlanDiffers(f"The plan “{key}” exists under the name “{plan.name}”.", differs=["name"])
        if created:
            _audit(plan, at, actor, "plan.created", f"Plan {name} ({key}) created")
    return plan


def create_with_draft(*, key: str, name: str, spec: VersionSpec, at: datetime, actor: Actor) -> Plan:
    """Create a plan and draft its first version, both or neither; the same again is the old row.

    Raises what :func:`create_plan` and :func:`draft_version` raise: :class:`VersionPublished` when the first version
    was published and says something else.
    """
    with transaction.atomic():
        plan = create_plan(key=key, name=name, at=at, actor=actor)
        draft_version(plan=plan, spec=spec, number=1, at=at, actor=actor)
    return plan


def draft_version(
    *, plan: Plan, spec: VersionSpec, at: datetime, actor: Actor, number: int | None = None
) -> PlanVersion:
    """Draft a version of a plan: the next one, or ``number``.

    A version of that number that says the same is returned, published or not; without a number that is the open draft,
    or the newest published version. Raises :class:`VersionDiffers` or :class:`VersionPublished` when it says something
    else, :class:`VersionOutOfOrder`, :class:`MeterUnknown`, and what
    :func:`plans.rules.specs.check_draft` raises.
    """
    check_draft(spec)
    meters = _meters(spec)
    with transaction.atomic():
        Plan.objects.select_for_update(no_key=True).get(pk=plan.pk)  # one numbering at a time
        versions = PlanVersion.objects.filter(plan=plan)
        last = versions.aggregate(last=Max("number"))["last"] or 0
        known = versions.filter(number=last if number is None else number).first()
        if known is not None:
            differing = differences(catalog.spec_of(known), spec)
            if not differing:
                return known
            if known.published_at is None:
                raise VersionDiffers(
                    f"{known} is a draft that differs in {', '.join(differing)}.", differs=differing, field=differing[0]
                )
            if number is not None:
                raise _published(known, differing)
        if number not in (None, last + 1):
            raise VersionOutOfOrder(f"The next version of {plan.key} is {last + 1}, not {number}.", field="number")
        if versions.filter(published_at__isnull=True).exists():
            raise VersionOutOfOrder(
                f"{plan.key} has an open draft, version {last}.", remedy="Publish it first.", field="number"
            )
        version = PlanVersion.objects.create(plan=plan, number=last + 1, currency=spec.currency, created_at=at)
        _write_prices(version, spec, meters)
        _audit(plan, at, actor, "plan.version_drafted", f"{version} drafted")
    return version


def revise_draft(*, version: PlanVersion, spec: VersionSpec, at: datetime, actor: Actor) -> PlanVersion:
    """Make a draft say something else. A published version raises :class:`VersionPublished`, unless nothing differs."""
    check_draft(spec)
    meters = _meters(spec)
    with transaction.atomic():
        locked = _lock(version)
        differing = differences(catalog.spec_of(locked), spec)
        if not differing:
            return locked
        if locked.published_at is not None:
            raise _published(locked, differing)
        locked.prices.all().delete()
        locked.currency = spec.currency
        locked.save(update_fields=["currency"])
        _write_prices(locked, spec, meters)
        _audit(locked.plan, at, actor, "plan.version_revised", f"{locked} revised: {', '.join(differing)}")
    return locked


def publish(*, version: PlanVersion, at: datetime, actor: Actor) -> PlanVersion:
    """Publish a draft: from now on it can be subscribed to, and never changes. Published again it is the same row.

    Raises what :func:`plans.rules.specs.check_publishable` raises, and :class:`MeterUnknown` for an archived meter.
    """
    with transaction.atomic():
        locked = _lock(version)
        if locked.published_at is not None:
            return locked
        spec = catalog.spec_of(locked)
        check_publishable(spec)
        _meters(spec)
        locked.published_at = at
        locked.save(update_fields=["published_at"])
        _audit(locked.plan, at, actor, "plan.version_published", f"{locked} published")
    return locked


def _lock(version: PlanVersion) -> PlanVersion:
    rows = PlanVersion.objects.select_for_update(no_key=True, of=("self",)).select_related("plan")
    return rows.get(pk=version.pk)


def _meters(spec: VersionSpec) -> Mapping[str, Meter]:
    """The meters that the prices name, by key; raises :class:`MeterUnknown`."""
    wanted = {price.meter: price for price in spec.prices if price.meter}
    found = {meter.key: meter for meter in Meter.objects.filter(key__in=wanted)}
    for key, price in wanted.items():
        if key not in found:
            raise MeterUnknown(
                f"The price “{price.key}” names the meter “{key[:80]}”, which does not exist.",
                remedy="Define the meter first.",
                field=f"prices.{price.key}.meter",
            )
        if found[key].archived_at is not None:
            raise MeterUnknown(
                f"The price “{price.key}” names the meter “{key}”, which was archived.",
                remedy="Name a meter that is in use.",
                field=f"prices.{price.key}.meter",
            )
    return found


def _write_prices(version: PlanVersion, spec: VersionSpec, meters: Mapping[str, Meter]) -> None:
    for position, price in enumerate(spec.prices):
        row = Price.objects.create(
            version=version,
            key=price.key,
            name=price.name,
            position=position,
            model=price.model,
            settlement=price.settlement,
            meter=meters[price.meter] if price.meter else None,
            unit_amount=price.unit_amount,
            included_units=price.included_units,
        )
        _write_tiers(row, price)


def _write_tiers(row: Price, price: PriceSpec) -> None:
    PriceTier.objects.bulk_create(
        PriceTier(
            price=row, position=position, up_to=tier.up_to, unit_amount=tier.unit_amount, flat_amount=tier.flat_amount
        )
        for position, tier in enumerate(price.tiers)
    )


def _published(version: PlanVersion, differing: list[str]) -> VersionPublished:
    return VersionPublished(
        f"{version} was published on {version.published_at:%Y-%m-%d} and cannot change: {', '.join(differing)}.",
        differs=differing,
        field=differing[0],
    )


def _audit(plan: Plan, at: datetime, actor: Actor, action: str, summary: str) -> None:
    record(
        at=at,
        actor=actor,
        action=action,
        subject_type="plan",
        subject_key=plan.key,
        summary=summary[:300],
    )
