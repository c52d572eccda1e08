"""Credit that comes again every period."""

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from ledger.models.books import Unit
from ledger.models.columns import ClockTimestamp


class CreditSchedule(models.Model):
    """Credit of the same terms every period, counted from an anchor in a time zone.

    The terms never change: other terms are another schedule. It may be given an end. ``next_number`` is the period to
    be given next, ``reset_number`` the one whose remainder is rolled over next; both only go up, by one. The work is
    due at ``issue_due_at`` and ``reset_due_at``; NULL when there is none left.
    """

    app_privileges: ClassVar[str] = (
        "SELECT, INSERT, UPDATE (ends_at, ended_by, end_reason, next_number, reset_number, issue_due_at, reset_due_at)"
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True)
    customer_key = models.CharField(max_length=200)
    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, db_column="unit", db_index=False)
    currency = models.CharField(max_length=3, default="", blank=True)
    kind = models.CharField(max_length=12)
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    every = models.CharField(max_length=5)
    time_zone = models.CharField(max_length=64)
    anchor_at = models.DateTimeField()
    """The start of period 0; day 31 becomes a shorter month's last day and comes back."""
    ends_at = models.DateTimeField(null=True, blank=True)
    """Periods that would start then or later are not given."""
    priority = models.PositiveSmallIntegerField(default=50)
    scope = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    rolls_over = models.BooleanField(default=False)
    rollover_min = models.DecimalField(max_digits=28, decimal_places=12, default=0)
    rollover_max = models.DecimalField(max_digits=28, decimal_places=12, null=True, blank=True)
    """NULL: no ceiling."""
    reason_code = models.CharField(max_length=60)
    reason_note = models.TextField(default="", blank=True)
    ticket = models.CharField(max_length=120, default="", blank=True)
    idempotency_key = models.CharField(max_length=200, unique=True)
    request = models.JSONField()
    made_by_type = models.CharField(max_length=8)
    made_by_id = models.CharField(max_length=120)
    made_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())
    ended_by = models.CharField(max_length=120, default="", blank=True)
    end_reason = models.CharField(max_length=500, default="", blank=True)
    next_number = models.PositiveIntegerField(default=0)
    reset_number = models.PositiveIntegerField(default=0)
    issue_due_at = models.DateTimeField(null=True, blank=True)
    reset_due_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "ledger_credit_schedule"
        constraints = (
            models.CheckConstraint(name="ledger_schedule_amount", condition=Q(amount__gt=0)),
            models.CheckConstraint(
                name="ledger_schedule_every", condition=Q(every__in=["day", "week", "month", "year"])
            ),
            models.CheckConstraint(
                name="ledger_schedule_kind", condition=Q(kind__in=["promotional", "goodwill", "included"])
            ),
            models.CheckConstraint(name="ledger_schedule_priority", condition=Q(priority__lte=100)),
            models.CheckConstraint(
                name="ledger_schedule_rollover",
                condition=Q(rolls_over=False, rollover_min=0, rollover_max__isnull=True)
                | Q(rolls_over=True, rollover_min__gte=0)
                & (Q(rollover_max__isnull=True) | Q(rollover_max__gte=F("rollover_min"), rollover_max__gt=0)),
            ),
            models.CheckConstraint(name="ledger_schedule_reason", condition=~Q(reason_code="") & ~Q(made_by_id="")),
        )
        indexes = (
            models.Index(fields=["customer_key", "-id"], name="ledger_schedule_customer"),
            models.Index(
                fields=["issue_due_at"], name="ledger_schedule_issue", condition=Q(issue_due_at__isnull=False)
            ),
            models.Index(
                fields=["reset_due_at"], name="ledger_schedule_reset", condition=Q(reset_due_at__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return f"{self.amount} {self.unit_id} every {self.every} for {self.customer_key}"
