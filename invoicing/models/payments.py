from typing import ClassVar

from django.db import models
from django.db.models import Q

from billing_ops.kit.fields import AmountField
from invoicing.models.invoices import Invoice


class PaymentAttempt(models.Model):
    """One try to collect an invoice. The row is committed before Stripe is called, and its key is what Stripe sees.

    *pending*: about to call, or the call's outcome is unknown; a retry reuses the key, so it cannot charge twice.
    *succeeded* and *failed* are answers. At most one attempt of an invoice is pending.
    """

    class Status(models.TextChoices):
        PENDING = "pending", "Pending"
        SUCCEEDED = "succeeded", "Succeeded"
        FAILED = "failed", "Failed"

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="attempts")
    number = models.PositiveIntegerField()
    idempotency_key = models.CharField(max_length=128, unique=True)
    # What the caller calls this try (an API's Idempotency-Key, a form's key); NULL: nobody named it.
    request_key = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001
    currency = models.CharField(max_length=3)
    amount = AmountField()
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.PENDING)
    failure_code = models.CharField(max_length=64, blank=True)
    failure_message = models.CharField(max_length=500, blank=True)
    payment_method = models.CharField(max_length=255, blank=True)
    requested_by = models.CharField(max_length=150)
    created_at = models.DateTimeField()
    next_try_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["invoice", "number"]
        indexes: ClassVar = [
            models.Index(fields=["next_try_at"], condition=Q(status="pending"), name="payment_attempt_pending"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["invoice", "number"], name="payment_attempt_number"),
            models.UniqueConstraint(fields=["invoice", "request_key"], name="payment_attempt_request"),
            models.UniqueConstraint(
                fields=["invoice"], condition=Q(status="pending"), name="payment_attempt_one_pending"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.invoice} attempt {self.number}"


class Payment(models.Model):
    """Money that Stripe says it took: one row a charge, written with its ledger entry (key ``payment:<charge>``).

    A payment for which Stripe names no charge has its payment intent's id in that place, or the invoice payment's.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    stripe_charge_id = models.CharField(max_length=255, unique=True)
    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="payments")
    currency = models.CharField(max_length=3)
    amount = AmountField()
    applied = AmountField()  # what settled the invoice; the rest went to the customer balance
    entry = models.OneToOneField("ledger.Entry", on_delete=models.PROTECT, related_name="+")
    paid_at = models.DateTimeField()
    recorded_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(stripe_charge_id=""), name="payment_has_its_charge"),
        ]

    def __str__(self) -> str:
        return self.stripe_charge_id
