"""The history of periods: what moves a period from one state to the next, by whom and why."""

from typing import ClassVar

from django.db import models

from ledger.models.books import Period
from ledger.models.columns import ClockTimestamp
from ledger.rules.lifecycle import STATUSES, TRANSITIONS


class PeriodChange(models.Model):
    """One change of a period's status. Writing it changes the period; nothing else can, and it never changes itself."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    period = models.ForeignKey(Period, on_delete=models.PROTECT, related_name="changes")
    from_status = models.CharField(max_length=12, choices=[(one, one) for one in STATUSES])
    to_status = models.CharField(max_length=12, choices=[(one, one) for one in STATUSES])
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())
    """Written by the database while no posting is in flight: entries recorded later were refused."""
    actor_type = models.CharField(max_length=8)
    actor_id = models.CharField(max_length=150)
    actor_label = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=64, blank=True)
    note = models.TextField(max_length=2000, blank=True)
    approval_id = models.BigIntegerField(null=True, unique=True)

    class Meta:
        db_table = "ledger_period_change"
        indexes = (models.Index(fields=["period", "-id"], name="ledger_period_change_latest"),)
        constraints = (
            models.CheckConstraint(
                name="ledger_period_change_allowed",
                condition=models.Q(
                    *(models.Q(from_status=before, to_status=after) for before, after in TRANSITIONS),
                    _connector=models.Q.OR,
                ),
            ),
            models.CheckConstraint(
                name="ledger_period_change_approved",
                condition=models.Q(to_status="open", approval_id__isnull=False)
                | (~models.Q(to_status="open") & models.Q(approval_id__isnull=True)),
            ),
            models.CheckConstraint(
                name="ledger_period_change_reason", condition=~models.Q(to_status="open") | ~models.Q(reason="")
            ),
            models.CheckConstraint(name="ledger_period_change_actor", condition=~models.Q(actor_id="")),
        )

    def __str__(self) -> str:
        return f"{self.from_status} to {self.to_status}"
