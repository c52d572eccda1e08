from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from metering.models import Meter
from plans.models.catalogue import PlanVersion, Price
from plans.models.customers import Customer


class Subscription(models.Model):
    """A customer's agreement to a plan version from ``starts_at``; billed at the edges counted from ``anchor``.

    ``ends_at`` is set when the customer leaves; the status becomes *ended* when the edge at ``ends_at`` was billed.
    Trigger ``subscription_guard``: the version is published and in the customer's currency, what was agreed never
    changes, ``due_at`` only moves forward and an ended subscription stays ended.
    """

    class Status(models.TextChoices):
        ACTIVE = "active", "Active"
        ENDED = "ended", "Ended"

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    key = models.CharField(max_length=128, unique=True)
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="subscriptions")
    version = models.ForeignKey(PlanVersion, on_delete=models.PROTECT, related_name="subscriptions")
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    starts_at = models.DateTimeField()
    anchor = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    # The next edge at which something is to be invoiced; the billing run asks for it. NULL: nothing more to bill.
    due_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["customer", "id"]
        indexes: ClassVar = [
            models.Index(fields=["due_at", "id"], condition=Q(due_at__isnull=False), name="subscription_due"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="subscription_ends_after_start"
            ),
            models.CheckConstraint(
                condition=Q(status="active", due_at__isnull=False)
                | Q(status="ended", due_at__isnull=True, ends_at__isnull=False),
                name="subscription_due_iff_active",
            ),
            models.CheckConstraint(
                condition=Q(due_at__isnull=True)
                | Q(due_at__gte=F("starts_at"), ends_at__isnull=True)
                | Q(due_at__gte=F("starts_at"), due_at__lte=F("ends_at")),
                name="subscription_due_within",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class SubscriptionItem(models.Model):
    """One charge of a subscription over ``[starts_at, ends_at)``. A change closes the item and opens another.

    ``customer`` and ``meter`` repeat what the subscription and the price say (trigger ``item_guard`` keeps them equal),
    so that the database itself refuses to bill a customer's meter twice at any instant: exclusion constraint
    ``item_meter_billed_once``.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="items")
    price = models.ForeignKey(Price, on_delete=models.PROTECT, related_name="+")
    customer = models.ForeignKey(Customer, on_delete=models.PROTECT, related_name="+")
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    quantity = models.PositiveIntegerField(default=1)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["subscription", "price__position", "id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["subscription", "price"], condition=Q(ends_at__isnull=True), name="subscription_item_open_once"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="subscription_item_span"
            ),
            models.CheckConstraint(condition=Q(quantity__gte=1), name="subscription_item_quantity"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription}: {self.price.name}"


class BillingPeriod(models.Model):
    """A period of a subscription, computed once from the anchor and then stored: ``[starts_at, ends_at)``.

    Numbered from 0; a fact. Trigger ``period_follows``: each begins where the one before it ended, the first where the
    subscription starts.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    subscription = models.ForeignKey(Subscription, on_delete=models.PROTECT, related_name="periods")
    number = models.PositiveIntegerField()
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["subscription", "number"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["subscription", "number"], name="billing_period_number"),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="billing_period_span"),
        ]

    def __str__(self) -> str:
        return f"{self.subscription} #{self.number}"
