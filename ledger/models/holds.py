"""Holds: credit kept for a use that has begun. Nothing is posted until it is settled."""

import uuid
from typing import ClassVar

from django.db import models

from ledger.models.columns import ClockTimestamp, CurrentXid, Xid8Field
from ledger.models.credits import CreditDraw, CreditGrant, CreditWallet


class Hold(models.Model):
    """An amount of a wallet kept until it is settled, released or lapses. A fact: its end is a row of its own."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True)
    wallet = models.ForeignKey(CreditWallet, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    idempotency_key = models.CharField(max_length=200)
    feature = models.CharField(max_length=100, default="", blank=True)
    usage_ref = models.CharField(max_length=200, default="", blank=True)
    asked = models.DecimalField(max_digits=28, decimal_places=12)
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    """What is held: as much as was asked for, or with the policy ``partial`` what there was."""
    policy = models.CharField(max_length=8)
    used_at = models.DateTimeField()
    """When the use began: credit in force then may be held, and pays although it expires meanwhile."""
    expires_at = models.DateTimeField()
    actor_type = models.CharField(max_length=8)
    actor_id = models.CharField(max_length=120)
    created_xid = Xid8Field(db_default=CurrentXid())
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        db_table = "ledger_hold"
        constraints = (
            models.UniqueConstraint(fields=["wallet", "idempotency_key"], name="ledger_hold_one_per_key"),
            models.CheckConstraint(
                name="ledger_hold_amount", condition=models.Q(amount__gt=0, asked__gte=models.F("amount"))
            ),
            models.CheckConstraint(name="ledger_hold_policy", condition=models.Q(policy__in=["all", "partial"])),
            models.CheckConstraint(name="ledger_hold_window", condition=models.Q(expires_at__gt=models.F("used_at"))),
        )
        indexes = (models.Index(fields=["wallet", "id"], name="ledger_hold_wallet"),)

    def __str__(self) -> str:
        return f"{self.amount} until {self.expires_at:%Y-%m-%d %H:%M}"


class HoldAllocation(models.Model):
    """What one hold keeps of one grant."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    pk = models.CompositePrimaryKey("hold_id", "grant_id")
    hold = models.ForeignKey(Hold, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, db_constraint=False)
    amount = models.DecimalField(max_digits=28, decimal_places=12)

    class Meta:
        db_table = "ledger_hold_allocation"
        constraints = (
            models.CheckConstraint(name="ledger_hold_allocation_positive", condition=models.Q(amount__gt=0)),
        )

    def __str__(self) -> str:
        return f"{self.amount} of grant {self.grant_id}"


class HoldResolution(models.Model):
    """How a hold ended. Its key is the hold's, so a hold ends once."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    hold = models.OneToOneField(Hold, on_delete=models.PROTECT, primary_key=True, db_constraint=False)
    kind = models.CharField(max_length=8, choices=[(kind, kind) for kind in ("settled", "released", "lapsed")])
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    """How much of what was held was used."""
    draw = models.OneToOneField(CreditDraw, on_delete=models.PROTECT, null=True, db_constraint=False)
    actor_type = models.CharField(max_length=8)
    actor_id = models.CharField(max_length=120)
    resolved_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        db_table = "ledger_hold_resolution"
        constraints = (
            models.CheckConstraint(
                name="ledger_hold_resolution_kind",
                condition=models.Q(kind="settled", amount__gt=0, draw__isnull=False)
                | models.Q(kind="settled", amount=0, draw__isnull=True)
                | models.Q(kind__in=["released", "lapsed"], amount=0, draw__isnull=True),
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"


class OpenHold(models.Model):
    """The holds that have no end yet. Triggers on the facts keep it: the application may read it and no more."""

    app_privileges: ClassVar[str] = "SELECT"

    hold = models.OneToOneField(Hold, on_delete=models.PROTECT, primary_key=True, db_constraint=False)
    wallet = models.ForeignKey(CreditWallet, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    expires_at = models.DateTimeField()

    class Meta:
        db_table = "ledger_hold_open"
        indexes = (
            models.Index(fields=["wallet", "expires_at"], name="ledger_hold_open_wallet"),
            models.Index(fields=["expires_at"], name="ledger_hold_open_due"),
        )

    def __str__(self) -> str:
        return f"hold {self.hold_id}"
