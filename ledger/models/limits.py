"""How much credit a role may give on its own authority, and what was given within that."""

from typing import ClassVar

from django.db import models

from ledger.models.columns import ClockTimestamp
from ledger.models.credits import CreditGrant


class CreditLimit(models.Model):
    """What a member of a role may give in a unit without a second person; the newest row in force counts.

    Rows are never changed: another limit is another row. A unit in which a role has no row is one in which it gives
    nothing on its own; nothing is converted.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    role = models.CharField(max_length=40)
    unit = models.CharField(max_length=24)
    per_credit = models.DecimalField(max_digits=28, decimal_places=12)
    per_agent_day = models.DecimalField(max_digits=28, decimal_places=12)
    """Of one agent, over the last 24 hours, so that midnight gives nobody a second allowance."""
    per_customer_30_days = models.DecimalField(max_digits=28, decimal_places=12)
    """To one customer, by anybody, over the last 30 times 24 hours."""
    valid_from = models.DateTimeField()
    set_at = models.DateTimeField()
    set_by = models.CharField(max_length=150)
    reason = models.CharField(max_length=500)
    approval_id = models.BigIntegerField(null=True)
    """Set where somebody raised the limit of a role of their own: another person approved."""
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        db_table = "ledger_credit_limit"
        constraints = (
            models.CheckConstraint(
                name="ledger_limit_amounts",
                condition=models.Q(per_credit__gte=0, per_agent_day__gte=0, per_customer_30_days__gte=0),
            ),
            models.CheckConstraint(
                name="ledger_limit_not_backdated", condition=models.Q(valid_from__gte=models.F("set_at"))
            ),
            models.CheckConstraint(name="ledger_limit_says_why", condition=~models.Q(set_by="") & ~models.Q(reason="")),
        )
        indexes = (models.Index(fields=["role", "unit", "-valid_from", "-id"], name="ledger_limit_newest"),)

    def __str__(self) -> str:
        return f"{self.role} {self.unit} from {self.valid_from:%Y-%m-%d}"


class LimitUse(models.Model):
    """A credit that an agent gave on a role's authority, without a second person. A trigger holds the sums."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    grant = models.OneToOneField(CreditGrant, on_delete=models.PROTECT)
    role = models.CharField(max_length=40)
    agent_type = models.CharField(max_length=8)
    agent_id = models.CharField(max_length=120)
    customer_key = models.CharField(max_length=200)
    unit = models.CharField(max_length=24)
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    given_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_limit_use"
        indexes = (
            models.Index(fields=["agent_type", "agent_id", "unit", "given_at"], name="ledger_limit_use_agent"),
            models.Index(fields=["customer_key", "unit", "given_at"], name="ledger_limit_use_customer"),
        )

    def __str__(self) -> str:
        return f"{self.amount} {self.unit} by {self.agent_id}"
