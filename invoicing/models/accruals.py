from typing import ClassVar

from django.db import models
from django.db.models import F, Q


class Accrual(models.Model):
    """Usage revenue booked before its invoice: one step of an item's period, ledger row 1 (Dr 1110 / Cr 4000).

    ``cumulative_amount`` is the exact rated amount of the period so far and ``amount`` what this step added to the
    ledger (negative when usage was taken back), so the sum of a period's steps is its cumulative amount.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    item = models.ForeignKey("plans.SubscriptionItem", on_delete=models.PROTECT, related_name="+")
    service_start = models.DateTimeField()
    service_end = models.DateTimeField()
    step = models.PositiveIntegerField()
    quantity = models.DecimalField(max_digits=38, decimal_places=12)
    cumulative_amount = models.DecimalField(max_digits=28, decimal_places=12)
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    watermark = models.BigIntegerField(null=True, blank=True)
    entry = models.OneToOneField("ledger.Entry", on_delete=models.PROTECT, related_name="+")
    accrued_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["item", "service_start", "step"], name="accrual_step"),
            models.CheckConstraint(condition=Q(service_end__gt=F("service_start")), name="accrual_span"),
            models.CheckConstraint(condition=~Q(amount=0), name="accrual_moves_something"),
        ]

    def __str__(self) -> str:
        return f"{self.item} {self.service_start:%Y-%m-%d} step {self.step}"


class Recognition(models.Model):
    """Revenue of a prepaid fee earned so far: one step of an invoice line, ledger row 24 (Dr 2100 / Cr 4010).

    By the second: ``cumulative_amount`` = line amount × elapsed ÷ length of its service period, exact to twelve
    decimals; at the period's end it is the line's amount to the last digit.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    line = models.ForeignKey("invoicing.InvoiceLine", on_delete=models.PROTECT, related_name="recognitions")
    step = models.PositiveIntegerField()
    cumulative_amount = models.DecimalField(max_digits=28, decimal_places=12)
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    entry = models.OneToOneField("ledger.Entry", on_delete=models.PROTECT, related_name="+")
    recognized_until = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["line", "step"], name="recognition_step"),
            models.CheckConstraint(condition=Q(amount__gt=0), name="recognition_forward"),
        ]

    def __str__(self) -> str:
        return f"{self.line} step {self.step}"
