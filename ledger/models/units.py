"""What a company's own unit is worth in a currency, by versions."""

from typing import ClassVar

from django.db import models

from ledger.models.books import Unit
from ledger.models.columns import ClockTimestamp


class UnitRate(models.Model):
    """Money in a currency a unit, from an instant on. Another rate is another row; grants keep their own."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, db_column="unit", db_index=False, related_name="rates")
    currency = models.CharField(max_length=3)
    rate = models.DecimalField(max_digits=28, decimal_places=12)
    valid_from = models.DateTimeField()
    set_at = models.DateTimeField()
    set_by_type = models.CharField(max_length=8)
    set_by_id = models.CharField(max_length=120)
    reason = models.CharField(max_length=500)
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        db_table = "ledger_unit_rate"
        constraints = (
            models.UniqueConstraint(fields=["unit", "currency", "valid_from"], name="ledger_unit_rate_one_from"),
            models.CheckConstraint(name="ledger_unit_rate_positive", condition=models.Q(rate__gt=0)),
            models.CheckConstraint(
                name="ledger_unit_rate_not_backdated", condition=models.Q(valid_from__gte=models.F("set_at"))
            ),
            models.CheckConstraint(
                name="ledger_unit_rate_says_why", condition=~models.Q(set_by_id="") & ~models.Q(reason="")
            ),
        )

    def __str__(self) -> str:
        return f"{self.unit_id} = {self.rate} {self.currency} from {self.valid_from:%Y-%m-%d}"
