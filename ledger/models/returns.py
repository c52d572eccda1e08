"""What corrections gave back of draws."""

from typing import ClassVar

from django.db import models

from ledger.models.columns import ClockTimestamp
from ledger.models.credits import CreditDraw, CreditGrant, CreditWallet
from ledger.models.journal import Entry


class CreditReturn(models.Model):
    """A part of a draw that is given back, and why: first what was owed as overage, then credit."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    wallet = models.ForeignKey(CreditWallet, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    idempotency_key = models.CharField(max_length=200)
    draw = models.ForeignKey(CreditDraw, on_delete=models.PROTECT, db_constraint=False)
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    """In the wallet's unit, overage included."""
    overage = models.DecimalField(max_digits=28, decimal_places=12, default=0)
    """How much of the amount had been overage, in the wallet's unit."""
    overage_money = models.DecimalField(max_digits=28, decimal_places=12, default=0)
    """What is no longer owed for it, in the draw's overage currency."""
    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, db_constraint=False)
    reason_code = models.CharField(max_length=60)
    reason_note = models.TextField(default="", blank=True)
    ticket = models.CharField(max_length=120, default="", blank=True)
    actor_type = models.CharField(max_length=8)
    actor_id = models.CharField(max_length=120)
    returned_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        db_table = "ledger_credit_return"
        constraints = (
            models.UniqueConstraint(fields=["wallet", "idempotency_key"], name="ledger_return_one_per_key"),
            models.CheckConstraint(
                name="ledger_return_amount",
                condition=models.Q(amount__gt=0, overage__gte=0, overage__lte=models.F("amount"), overage_money__gte=0),
            ),
            models.CheckConstraint(name="ledger_return_reason", condition=~models.Q(reason_code="")),
        )

    def __str__(self) -> str:
        return f"{self.amount} of draw {self.draw_id}"


class CreditReturnAllocation(models.Model):
    """What one return put back into one grant."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    pk = models.CompositePrimaryKey("given_id", "grant_id")
    given = models.ForeignKey(
        CreditReturn, on_delete=models.PROTECT, db_column="return_id", db_index=False, db_constraint=False
    )
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, db_constraint=False)
    amount = models.DecimalField(max_digits=28, decimal_places=12)

    class Meta:
        db_table = "ledger_credit_return_allocation"
        constraints = (
            models.CheckConstraint(name="ledger_return_allocation_positive", condition=models.Q(amount__gt=0)),
        )

    def __str__(self) -> str:
        return f"{self.amount} to grant {self.grant_id}"
