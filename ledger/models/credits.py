"""Credits: what was granted, and where it went. Voiding and expiring are entries; the grant row never changes."""

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from ledger.models.accounts import Account
from ledger.models.books import Unit
from ledger.models.columns import ClockTimestamp
from ledger.models.journal import Entry

KINDS = ("paid", "promotional", "goodwill", "included")
OUTCOMES = ("accepted", "partial", "refused", "overage")


class CreditWallet(models.Model):
    """A customer's credits in one unit: the one row that everyone who changes them locks."""

    app_privileges: ClassVar[str] = "SELECT"

    customer_key = models.CharField(max_length=200)
    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, db_column="unit", db_index=False)

    class Meta:
        db_table = "ledger_credit_wallet"
        constraints = (models.UniqueConstraint(fields=["customer_key", "unit"], name="ledger_wallet_one_per_unit"),)

    def __str__(self) -> str:
        return f"{self.customer_key} {self.unit_id}"


class CreditGrant(models.Model):
    """An amount of credit with its terms. Its remaining amount is the balance of its account."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True)
    wallet = models.ForeignKey(CreditWallet, on_delete=models.PROTECT, db_index=False)
    account = models.OneToOneField(Account, on_delete=models.PROTECT)
    customer_key = models.CharField(max_length=200)
    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, db_column="unit", db_index=False)
    kind = models.CharField(max_length=12, choices=[(kind, kind) for kind in KINDS])
    kind_rank = models.PositiveSmallIntegerField()
    """0 for what was given, 1 for what was paid: given credit burns first."""
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    priority = models.PositiveSmallIntegerField(default=50)
    effective_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    scope = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    """The features it may pay for; empty is all."""
    scope_rank = models.PositiveSmallIntegerField()
    """0 for restricted to features, 1 for unrestricted: restricted credit burns first."""
    cost_basis = models.DecimalField(max_digits=28, decimal_places=12, null=True)
    """Money received or promised for a grant in a unit that is not money; it stands on ``money_code``."""
    currency = models.CharField(max_length=3, db_default="", default="", blank=True)
    """The currency of the worth of a grant in a company's own unit."""
    rate = models.DecimalField(max_digits=28, decimal_places=12, null=True)
    """Money in that currency a unit, as it was when the grant was made."""
    money_code = models.CharField(max_length=8, db_default="", default="", blank=True)
    """The account code that keeps its money; empty for a quantity only."""
    from_grant = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="led_to")
    """The grant that it was moved from: rolled over, or transferred from another customer."""
    schedule = models.ForeignKey(
        "ledger.CreditSchedule", on_delete=models.PROTECT, null=True, blank=True, related_name="grants"
    )
    schedule_period = models.PositiveIntegerField(null=True, blank=True)
    schedule_part = models.CharField(max_length=8, db_default="", default="", blank=True)
    """``base`` what the period gives, ``rolled`` what came from the period before, ``minimum`` what filled that up."""
    rolls_over = models.BooleanField(db_default=False, default=False)
    """At its expiry its schedule decides what is kept; it does not simply expire."""
    source_invoice = models.CharField(max_length=100, default="", blank=True)
    reason_code = models.CharField(max_length=60)
    reason_note = models.TextField(default="", blank=True)
    ticket = models.CharField(max_length=120, default="", blank=True)
    requested_by_type = models.CharField(max_length=8)
    requested_by_id = models.CharField(max_length=120)
    approval_id = models.BigIntegerField(null=True)
    idempotency_key = models.CharField(max_length=200, unique=True)
    request = models.JSONField()
    """The terms as they were asked for: a replay is compared with them field by field."""
    created_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        db_table = "ledger_credit_grant"
        constraints = (
            models.CheckConstraint(name="ledger_grant_amount", condition=models.Q(amount__gt=0)),
            models.CheckConstraint(name="ledger_grant_priority", condition=models.Q(priority__lte=100)),
            models.CheckConstraint(
                name="ledger_grant_window",
                condition=models.Q(expires_at__isnull=True) | models.Q(expires_at__gt=models.F("effective_at")),
            ),
            models.CheckConstraint(
                name="ledger_grant_kind_rank",
                condition=models.Q(kind="paid", kind_rank=1)
                | models.Q(kind__in=["promotional", "goodwill", "included"], kind_rank=0),
            ),
            models.CheckConstraint(
                name="ledger_grant_scope_rank",
                condition=models.Q(scope=[], scope_rank=1) | (~models.Q(scope=[]) & models.Q(scope_rank=0)),
            ),
            models.CheckConstraint(name="ledger_grant_reason", condition=~models.Q(reason_code="")),
            models.CheckConstraint(
                name="ledger_grant_worth",
                condition=models.Q(currency="", rate__isnull=True, money_code="")
                | models.Q(rate__gt=0, money_code="", cost_basis__isnull=True) & ~models.Q(currency="")
                | models.Q(
                    rate__gt=0, money_code__in=["2005", "2015", "2025"], cost_basis__isnull=False, cost_basis__gte=0
                )
                & ~models.Q(currency=""),
            ),
            models.CheckConstraint(
                name="ledger_grant_schedule",
                condition=models.Q(
                    schedule__isnull=True, schedule_period__isnull=True, schedule_part="", rolls_over=False
                )
                | models.Q(
                    schedule__isnull=False,
                    schedule_period__isnull=False,
                    schedule_part__in=["base", "rolled", "minimum"],
                ),
            ),
            models.UniqueConstraint(
                fields=["schedule", "schedule_period", "schedule_part"],
                name="ledger_grant_once_a_period",
                condition=models.Q(schedule_part__in=["base", "minimum"]),
            ),
        )
        indexes = (
            models.Index(
                "wallet",
                "priority",
                models.F("expires_at").asc(nulls_last=True),
                "kind_rank",
                "scope_rank",
                "effective_at",
                "id",
                name="ledger_grant_burn_order",
            ),
            models.Index(
                fields=["expires_at"], name="ledger_grant_expiry", condition=models.Q(expires_at__isnull=False)
            ),
        )

    def __str__(self) -> str:
        return f"{self.kind} {self.amount} {self.unit_id} for {self.customer_key}"


class CreditDraw(models.Model):
    """What asked for credit and what it got; a refusal is remembered too.

    ``entry`` is the entry that posts it. The draw is written first, under the entry's reserved id, and the lines'
    trigger compares the two: nobody can add a draw to an entry that is already there. What foreign keys would check,
    one statement trigger checks: their row-by-row cost is a third of a draw.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    wallet = models.ForeignKey(CreditWallet, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    idempotency_key = models.CharField(max_length=200)
    ref = models.CharField(max_length=200)
    """Which of several needs under one key: the invoice line. Empty for a draw of its own, one a key."""
    policy = models.CharField(max_length=8, db_default="", default="", blank=True)
    """``all``, ``partial`` or ``overage``; empty for the needs of an invoice."""
    feature = models.CharField(max_length=100, default="", blank=True)
    usage_ref = models.CharField(max_length=200, db_default="", default="", blank=True)
    """The usage it paid for: an event's id, or a batch's."""
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    shortfall = models.DecimalField(max_digits=28, decimal_places=12)
    """What credit did not pay."""
    available = models.DecimalField(max_digits=28, decimal_places=12, null=True)
    """What it could have taken when it was refused."""
    overage = models.DecimalField(max_digits=28, decimal_places=12, null=True)
    """The money that the shortfall is owed as."""
    overage_currency = models.CharField(max_length=3, db_default="", default="", blank=True)
    outcome = models.CharField(max_length=8, choices=[(o, o) for o in OUTCOMES])
    used_at = models.DateTimeField()
    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, null=True, db_constraint=False)
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())

    class Meta:
        db_table = "ledger_credit_draw"
        constraints = (
            models.UniqueConstraint(fields=["wallet", "idempotency_key", "ref"], name="ledger_draw_one_per_key"),
            models.CheckConstraint(name="ledger_draw_amount", condition=models.Q(amount__gt=0)),
            models.CheckConstraint(
                name="ledger_draw_outcomes",
                condition=models.Q(outcome="accepted", shortfall=0, entry__isnull=False)
                | models.Q(outcome="partial", shortfall__gt=0, shortfall__lt=models.F("amount"), entry__isnull=False)
                | models.Q(
                    outcome="overage",
                    shortfall__gt=0,
                    shortfall__lte=models.F("amount"),
                    entry__isnull=False,
                    overage__isnull=False,
                )
                | models.Q(outcome="refused", shortfall=models.F("amount"), entry__isnull=True),
            ),
            models.CheckConstraint(
                name="ledger_draw_overage",
                condition=models.Q(overage__isnull=True, overage_currency="")
                | (models.Q(outcome="overage", overage__gt=0) & ~models.Q(overage_currency="")),
            ),
            models.CheckConstraint(
                name="ledger_draw_policy",
                condition=models.Q(policy="") | models.Q(policy__in=["all", "partial", "overage"], ref=""),
            ),
        )
        indexes = (
            # Of no use to a look-up by key, which no index but the unique one may serve, however stale the statistics.
            models.Index(fields=["wallet", "id"], name="ledger_draw_wallet", condition=~models.Q(policy="")),
            models.Index(fields=["usage_ref", "id"], name="ledger_draw_usage", condition=~models.Q(usage_ref="")),
        )

    def __str__(self) -> str:
        return f"{self.ref or self.idempotency_key}: {self.amount - self.shortfall} of {self.amount}"


class CreditDrawAllocation(models.Model):
    """What one draw took from one grant."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    pk = models.CompositePrimaryKey("draw_id", "grant_id")
    draw = models.ForeignKey(CreditDraw, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    grant = models.ForeignKey(CreditGrant, on_delete=models.PROTECT, db_index=False, db_constraint=False)
    amount = models.DecimalField(max_digits=28, decimal_places=12)

    class Meta:
        db_table = "ledger_credit_draw_allocation"
        constraints = (models.CheckConstraint(name="ledger_allocation_positive", condition=models.Q(amount__gt=0)),)
        indexes = (models.Index(fields=["grant", "draw"], name="ledger_allocation_grant"),)

    def __str__(self) -> str:
        return f"{self.amount} of grant {self.grant_id}"
