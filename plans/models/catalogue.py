from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q

from metering.models import Meter

# Above every value the columns hold, and below NaN: PostgreSQL sorts NaN last, so "less than this" refuses it.
_BEYOND = Decimal(10) ** 20


class Plan(models.Model):
    """A product that customers subscribe to; what it costs stands in its published versions."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    key = models.SlugField(max_length=64, unique=True)
    name = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["key"]

    def __str__(self) -> str:
        return self.name


class PlanVersion(models.Model):
    """One immutable edition of a plan: a draft until ``published_at``, then frozen by the database.

    A price change is a new version; subscriptions keep the version that they were sold. Triggers ``*_frozen`` refuse
    every change under a published version, and ``version_publishable`` refuses to publish prices that cannot be rated.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE, DELETE"

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="versions")
    number = models.PositiveIntegerField()
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["plan", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["plan", "number"], name="plan_version_number"),
            models.UniqueConstraint(
                fields=["plan"], condition=Q(published_at__isnull=True), name="plan_version_one_draft"
            ),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="plan_version_currency_iso"),
            models.CheckConstraint(condition=Q(number__gte=1), name="plan_version_counts_from_one"),
        ]

    def __str__(self) -> str:
        return f"{self.plan.key} v{self.number}"


class Price(models.Model):
    """What one charge of a plan version costs.

    * ``flat``: ``unit_amount`` a period, invoiced in advance.
    * ``per_unit``: ``unit_amount`` for each billable unit on a meter, in arrears.
    * ``graduated``: each tier its own rate, in arrears.

    ``included_units`` are free each period and come before the tiers: tiers count billable units. ``settlement`` says
    how usage is paid: ``arrears`` (rated into invoice lines at the period's end) or ``drawdown`` (taken from credits as
    it arrives). A flat price in advance is settled by its invoice, so it is ``arrears`` as well.
    """

    class Model(models.TextChoices):
        FLAT = "flat", "Flat"
        PER_UNIT = "per_unit", "Per unit"
        GRADUATED = "graduated", "Graduated"

    class Settlement(models.TextChoices):
        ARREARS = "arrears", "Arrears"
        DRAWDOWN = "drawdown", "Drawdown"

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE, DELETE"

    version = models.ForeignKey(PlanVersion, on_delete=models.CASCADE, related_name="prices")
    key = models.SlugField(max_length=64)
    name = models.CharField(max_length=200)
    position = models.PositiveSmallIntegerField(default=0)
    model = models.CharField(max_length=16, choices=Model.choices)
    settlement = models.CharField(max_length=16, choices=Settlement.choices, default=Settlement.ARREARS)
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    unit_amount = models.DecimalField(max_digits=28, decimal_places=12, null=True, blank=True)
    included_units = models.DecimalField(max_digits=32, decimal_places=12, default=0)

    class Meta:
        ordering: ClassVar = ["version", "position", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["version", "key"], name="price_key_in_version"),
            models.CheckConstraint(condition=Q(model__in=["flat", "per_unit", "graduated"]), name="price_model_known"),
            models.CheckConstraint(condition=Q(settlement__in=["arrears", "drawdown"]), name="price_settlement_known"),
            models.CheckConstraint(condition=Q(model="flat") ^ Q(meter__isnull=False), name="price_meter_iff_usage"),
            models.CheckConstraint(
                condition=Q(model="graduated", unit_amount__isnull=True)
                | Q(
                    model__in=["flat", "per_unit"],
                    unit_amount__isnull=False,
                    unit_amount__gte=0,
                    unit_amount__lt=_BEYOND,
                ),
                name="price_unit_amount_unless_tiered",
            ),
            models.CheckConstraint(
                condition=Q(included_units__gte=0, included_units__lt=_BEYOND)
                & (~Q(model="flat") | Q(included_units=0)),
                name="price_included_units",
            ),
            models.CheckConstraint(
                condition=~Q(model="flat") | Q(settlement="arrears"), name="price_flat_is_not_drawdown"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version}: {self.name}"


class PriceTier(models.Model):
    """One tier of a graduated price: units up to and including ``up_to`` (NULL: the open last tier)."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE, DELETE"

    price = models.ForeignKey(Price, on_delete=models.CASCADE, related_name="tiers")
    position = models.PositiveSmallIntegerField()
    up_to = models.DecimalField(max_digits=32, decimal_places=12, null=True, blank=True)
    unit_amount = models.DecimalField(max_digits=28, decimal_places=12)
    flat_amount = models.DecimalField(max_digits=28, decimal_places=12, default=0)

    class Meta:
        ordering: ClassVar = ["price", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["price", "position"], name="price_tier_position"),
            models.CheckConstraint(
                condition=Q(unit_amount__gte=0, unit_amount__lt=_BEYOND, flat_amount__gte=0, flat_amount__lt=_BEYOND),
                name="price_tier_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(up_to__isnull=True) | Q(up_to__gt=0, up_to__lt=_BEYOND), name="price_tier_bound_positive"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.price} tier {self.position}"
