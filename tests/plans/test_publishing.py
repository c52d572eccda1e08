"""The catalogue: drafted, checked, published, and never changed after."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from billing_ops.models import AuditEntry
from metering.models import Meter
from plans import catalog, publishing
from plans.models import Plan, PlanVersion, Price
from plans.rules.prices import Tier
from plans.rules.specs import PriceSpec, VersionEmpty, VersionSpec
from plans.rules.terms import TiersInvalid, UnitAmountInvalid
from tests.plans import stories
from tests.plans.stories import ACTOR, AT, CONTEXT, FEE, OUTPUT, SPEC

pytestmark = pytest.mark.django_db

DEARER = VersionSpec("USD", (replace(FEE, unit_amount=Decimal(30)), CONTEXT, OUTPUT))


def _draft(plan: Plan, spec: VersionSpec, number: int | None = None) -> PlanVersion:
    return publishing.draft_version(plan=plan, spec=spec, number=number, at=AT, actor=ACTOR)


def test_what_is_drafted_is_what_is_read() -> None:
    version = stories.drafted()
    assert catalog.spec_of(catalog.version("pro", 1)) == SPEC
    assert version.published_at is None
    assert [price.position for price in version.prices.all()] == [0, 1, 2]


def test_terms_of_a_stored_price_are_its_spec() -> None:
    stories.published()
    for stored, spec in zip(catalog.version("pro").prices.all(), SPEC.prices, strict=True):
        assert catalog.terms_of(catalog.price(stored.pk)) == spec.terms("USD")


def test_twelve_decimals_survive_the_database() -> None:
    exact = Decimal("9999999999999999.000000000001")
    stories.drafted("exact", VersionSpec("USD", (replace(FEE, unit_amount=exact),)))
    assert Price.objects.get().unit_amount == exact


def test_publishing_twice_is_the_same_row() -> None:
    version = stories.published()
    again = publishing.publish(version=version, at=stories.utc("2026-01-01"), actor=ACTOR)
    assert (again.pk, again.published_at) == (version.pk, AT)
    actions = list(AuditEntry.objects.filter(subject_type="plan").order_by("id").values_list("action", flat=True))
    assert actions == ["plan.created", "plan.version_drafted", "plan.version_published"]


def test_a_set_up_script_run_twice_changes_nothing() -> None:
    first = stories.published()
    rows = AuditEntry.objects.count()
    assert stories.published().pk == first.pk
    assert PlanVersion.objects.count() == 1
    assert AuditEntry.objects.count() == rows


def test_a_plan_of_that_key_with_another_name_is_refused() -> None:
    stories.drafted()
    with pytest.raises(publishing.PlanDiffers) as refused:
        publishing.create_plan(key="pro", name="Professional", at=AT, actor=ACTOR)
    assert refused.value.details["differs"] == ["name"]


@pytest.mark.parametrize(("key", "name", "field"), [("Pro!", "Pro", "key"), ("", "Pro", "key"), ("pro", " ", "name")])
def test_a_plan_needs_a_key_and_a_name(key: str, name: str, field: str) -> None:
    with pytest.raises(publishing.PlanInvalid) as refused:
        publishing.create_plan(key=key, name=name, at=AT, actor=ACTOR)
    assert refused.value.details["field"] == field


def test_a_change_after_publishing_is_a_new_version() -> None:
    version = stories.published()
    with pytest.raises(publishing.VersionPublished, match=r"Draft a new version") as refused:
        publishing.revise_draft(version=version, spec=DEARER, at=AT, actor=ACTOR)
    assert refused.value.details["differs"] == ["prices.fee.unit_amount"]
    with pytest.raises(publishing.VersionPublished):
        _draft(version.plan, DEARER, number=1)
    with pytest.raises(publishing.VersionPublished):
        publishing.create_with_draft(key="pro", name="Pro", spec=DEARER, at=AT, actor=ACTOR)
    second = publishing.publish(version=_draft(version.plan, DEARER), at=AT, actor=ACTOR)
    assert second.number == 2
    assert catalog.version("pro").number == 2
    assert catalog.spec_of(catalog.version("pro", 1)) == SPEC
    assert _draft(version.plan, SPEC).number == 3  # back to the old prices: a version again


def test_a_draft_is_revised_in_place() -> None:
    version = stories.drafted()
    with pytest.raises(publishing.VersionDiffers) as refused:
        _draft(version.plan, DEARER)
    assert refused.value.details["differs"] == ["prices.fee.unit_amount"]
    revised = publishing.revise_draft(version=version, spec=DEARER, at=AT, actor=ACTOR)
    assert revised.pk == version.pk
    assert catalog.spec_of(catalog.version("pro", 1)) == DEARER
    assert Price.objects.count() == 3
    publishing.publish(version=revised, at=AT, actor=ACTOR)
    assert publishing.revise_draft(version=revised, spec=DEARER, at=AT, actor=ACTOR).pk == version.pk


def test_versions_are_numbered_in_order_with_one_open_draft() -> None:
    version = stories.drafted()
    with pytest.raises(publishing.VersionOutOfOrder, match="open draft"):
        _draft(version.plan, DEARER, number=2)
    with pytest.raises(publishing.VersionOutOfOrder, match="next version of pro is 2"):
        _draft(version.plan, DEARER, number=5)


def test_a_meter_must_exist_and_live() -> None:
    plan = publishing.create_plan(key="pro", name="Pro", at=AT, actor=ACTOR)
    with pytest.raises(publishing.MeterUnknown, match="does not exist"):
        _draft(plan, SPEC)
    version = stories.drafted()
    Meter.objects.filter(key="output").update(archived_at=AT)
    with pytest.raises(publishing.MeterUnknown, match="archived") as refused:
        publishing.publish(version=version, at=AT, actor=ACTOR)
    assert refused.value.details["field"] == "prices.output.meter"


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        (VersionSpec("USD", ()), VersionEmpty),
        (VersionSpec("USD", (replace(CONTEXT, tiers=(Tier(Decimal(1), Decimal(1)),)),)), TiersInvalid),
    ],
)
def test_what_cannot_be_billed_is_not_published(spec: VersionSpec, error: type[Exception]) -> None:
    version = stories.drafted("odd", spec)
    with pytest.raises(error):
        publishing.publish(version=version, at=AT, actor=ACTOR)
    version.refresh_from_db()
    assert version.published_at is None
    with pytest.raises(catalog.VersionNotFound):
        catalog.version("odd")


def test_a_price_finer_than_twelve_decimals_is_refused_and_not_rounded() -> None:
    with pytest.raises(UnitAmountInvalid, match="more than 12 decimals"):
        stories.drafted("fine", VersionSpec("USD", (replace(FEE, unit_amount=Decimal("1E-13")),)))
    assert not PlanVersion.objects.exists()


def test_reading_plans_takes_a_constant_number_of_queries(django_assert_num_queries: Any) -> None:
    stories.published("one")
    stories.published("two")
    with django_assert_num_queries(4):  # plans, versions, prices with their meters, tiers
        for plan in catalog.plans():
            for version in plan.versions.all():
                catalog.spec_of(version)
                assert version.plan.key == plan.key


def test_a_free_plan_in_yen() -> None:
    spec = PriceSpec("free", "Free", "flat", unit_amount=Decimal(0))
    version = stories.published("free", VersionSpec("JPY", (spec,)))
    assert catalog.terms_of(catalog.version("free").prices.get()).unit_amount == 0
    assert version.published_at == AT
