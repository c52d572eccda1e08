"""What the database itself refuses about the catalogue, by raw SQL as the application role."""

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction

from plans import catalog, publishing
from plans.models import PlanVersion
from plans.rules.prices import Tier
from plans.rules.specs import VersionSpec
from tests.plans import stories
from tests.plans.stories import ACTOR, AT, CONTEXT, FEE, SPEC

pytestmark = pytest.mark.django_db

STATEMENTS = [
    "UPDATE plans_planversion SET currency = 'EUR'",
    "UPDATE plans_planversion SET published_at = NULL",
    "UPDATE plans_planversion SET published_at = now()",
    "DELETE FROM plans_planversion",
    "UPDATE plans_price SET unit_amount = 1 WHERE key = 'fee'",
    "UPDATE plans_price SET settlement = 'drawdown' WHERE key = 'output'",
    "UPDATE plans_price SET name = 'Free'",
    "DELETE FROM plans_price WHERE key = 'fee'",
    """INSERT INTO plans_price (version_id, key, name, position, model, settlement, unit_amount, included_units)
       SELECT id, 'more', 'More', 9, 'flat', 'arrears', 1, 0 FROM plans_planversion""",
    "UPDATE plans_pricetier SET unit_amount = 0",
    "DELETE FROM plans_pricetier",
    """INSERT INTO plans_pricetier (price_id, position, unit_amount, flat_amount)
       SELECT id, 9, 0, 0 FROM plans_price WHERE key = 'context'""",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_published_version_is_frozen_by_the_database(statement: str) -> None:
    stories.published()
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
        assert cursor.fetchone() == ("billing_app",)
        with pytest.raises(IntegrityError, match="published"), transaction.atomic():
            cursor.execute(statement)
    assert catalog.spec_of(catalog.version("pro", 1)) == SPEC


def test_a_price_cannot_be_moved_under_or_out_of_a_published_version() -> None:
    stories.published()
    stories.drafted("other", VersionSpec("USD", (replace(FEE, key="other"),)))
    move = """UPDATE plans_price SET version_id = (
                  SELECT v.id FROM plans_planversion v JOIN plans_plan p ON p.id = plan_id WHERE p.key = %s
              ) WHERE key = %s"""
    for plan, price in (("pro", "other"), ("other", "fee")):
        with pytest.raises(IntegrityError, match="published"), transaction.atomic():
            connection.cursor().execute(move, [plan, price])


PUBLISH = "UPDATE plans_planversion SET published_at = now()"


@pytest.mark.parametrize(
    ("spec", "spoil"),
    [
        (VersionSpec("USD", ()), ""),
        (SPEC, "DELETE FROM plans_pricetier"),
        (SPEC, "DELETE FROM plans_pricetier WHERE up_to IS NULL"),
        (SPEC, "UPDATE plans_pricetier SET position = 9 - position"),
        (SPEC, "UPDATE plans_pricetier SET up_to = NULL"),
        (
            VersionSpec(
                "USD",
                (
                    replace(
                        CONTEXT, tiers=(*tuple(Tier(Decimal(n), Decimal(1)) for n in (1, 2)), Tier(None, Decimal(1)))
                    ),
                ),
            ),
            "UPDATE plans_pricetier SET up_to = 1 WHERE up_to = 2",
        ),
        (
            SPEC,
            "INSERT INTO plans_pricetier (price_id, position, unit_amount, flat_amount) "
            "SELECT id, 0, 0, 0 FROM plans_price WHERE key = 'output'",
        ),
        (SPEC, "UPDATE plans_price SET meter_id = (SELECT min(meter_id) FROM plans_price) WHERE model <> 'flat'"),
    ],
)
def test_the_database_publishes_only_what_can_be_rated(spec: VersionSpec, spoil: str) -> None:
    stories.drafted("odd", spec)
    with connection.cursor() as cursor:
        if spoil:
            cursor.execute(spoil)
        with pytest.raises(IntegrityError, match=r"not published|cannot be rated|same meter"), transaction.atomic():
            cursor.execute(PUBLISH)


def test_a_version_is_not_born_published() -> None:
    version = stories.drafted()
    publishing.publish(version=version, at=AT, actor=ACTOR)
    with pytest.raises(IntegrityError, match="born as a draft"), transaction.atomic():
        PlanVersion.objects.create(plan=version.plan, number=2, currency="USD", created_at=AT, published_at=AT)


@pytest.mark.parametrize(
    "change",
    [
        "unit_amount = 'NaN'",
        "unit_amount = NULL",
        "unit_amount = -1",
        "model = 'volume'",
        "settlement = 'later'",
        "settlement = 'drawdown'",
        "included_units = 1",
        "model = 'per_unit'",
        "meter_id = (SELECT min(id) FROM metering_meter)",
    ],
)
def test_the_database_refuses_what_no_fee_can_be(change: str) -> None:
    stories.drafted()
    with pytest.raises(IntegrityError, match="violates check"), transaction.atomic():
        connection.cursor().execute(f"UPDATE plans_price SET {change} WHERE key = 'fee'")


@pytest.mark.parametrize("change", ["unit_amount = 'NaN'", "flat_amount = -1", "up_to = 0", "up_to = 'NaN'"])
def test_the_database_refuses_what_no_tier_can_be(change: str) -> None:
    stories.drafted()
    with pytest.raises(IntegrityError, match="violates check"), transaction.atomic():
        connection.cursor().execute(f"UPDATE plans_pricetier SET {change}")
