"""The journal: entries and their lines. Both are facts: a correction is another entry."""

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from ledger.models.accounts import Account
from ledger.models.books import Book, EventType, Period
from ledger.models.columns import ClockTimestamp, CurrentXid, Xid8Field


class Entry(models.Model):
    """One business event in the books.

    Its references are checked by statement triggers and not by foreign keys, whose row-by-row cost is half of a
    posting; see ``migrations/sql/0002_guards.sql``.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    public_id = models.UUIDField(unique=True)
    book = models.ForeignKey(Book, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    source = models.CharField(max_length=40)
    idempotency_key = models.CharField(max_length=200)
    event_type = models.ForeignKey(
        EventType, on_delete=models.PROTECT, db_column="event_type", db_constraint=False, db_index=False
    )
    effective_at = models.DateTimeField()
    """The accounting clock."""
    effective_on = models.DateField()
    """The day of ``effective_at`` in the book's time zone."""
    occurred_at = models.DateTimeField(null=True)
    """When it happened, if its own period was closed and the entry is dated to the first open day."""
    recorded_at = models.DateTimeField(db_default=ClockTimestamp())
    """The clock of the writing."""
    created_xid = Xid8Field(db_default=CurrentXid())
    period = models.ForeignKey(Period, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    line_count = models.PositiveSmallIntegerField()
    reverses = models.ForeignKey("self", on_delete=models.PROTECT, null=True, db_constraint=False, db_index=False)
    customer_key = models.CharField(max_length=200, default="", blank=True)
    invoice_ref = models.CharField(max_length=100, default="", blank=True)
    grant_ref = models.CharField(max_length=100, default="", blank=True)
    stripe_ref = models.CharField(max_length=100, default="", blank=True)
    batch_ref = models.CharField(max_length=100, default="", blank=True)
    actor_type = models.CharField(max_length=8)
    actor_id = models.CharField(max_length=120)
    reason_code = models.CharField(max_length=60, default="", blank=True)
    reason_note = models.TextField(default="", blank=True)
    ticket = models.CharField(max_length=120, default="", blank=True)
    approval_id = models.BigIntegerField(null=True)
    fx_rate = models.DecimalField(max_digits=28, decimal_places=12, null=True)
    """An entry across units carries its rate."""
    metadata = models.JSONField(default=dict)

    class Meta:
        db_table = "ledger_entry"
        verbose_name_plural = "entries"
        constraints = (
            models.UniqueConstraint(fields=["source", "idempotency_key"], name="ledger_entry_one_per_key"),
            models.UniqueConstraint(
                fields=["reverses"], name="ledger_entry_reversed_once", condition=models.Q(reverses__isnull=False)
            ),
            models.CheckConstraint(name="ledger_entry_two_lines", condition=models.Q(line_count__gte=2)),
            models.CheckConstraint(
                name="ledger_entry_actor", condition=models.Q(actor_type__in=["system", "user", "api_key", "stripe"])
            ),
            models.CheckConstraint(
                name="ledger_entry_user_gives_reason",
                condition=~models.Q(actor_type="user") | ~models.Q(reason_code=""),
            ),
            models.CheckConstraint(
                name="ledger_entry_reversal_type",
                condition=models.Q(event_type="entry.reversed", reverses__isnull=False)
                | (~models.Q(event_type="entry.reversed") & models.Q(reverses__isnull=True)),
            ),
        )
        indexes = (
            models.Index(fields=["customer_key", "id"], name="ledger_entry_customer"),
            models.Index(
                fields=["invoice_ref", "id"], name="ledger_entry_invoice", condition=~models.Q(invoice_ref="")
            ),
            models.Index(fields=["grant_ref", "id"], name="ledger_entry_grant", condition=~models.Q(grant_ref="")),
            models.Index(fields=["stripe_ref", "id"], name="ledger_entry_stripe", condition=~models.Q(stripe_ref="")),
            models.Index(fields=["batch_ref", "id"], name="ledger_entry_batch", condition=~models.Q(batch_ref="")),
            BrinIndex(fields=["recorded_at"], name="ledger_entry_recorded"),
            # What is not sealed or rolled up yet: the horizon is a transaction, and so is the way to what follows it.
            models.Index(fields=["created_xid"], name="ledger_entry_created_xid"),
        )

    def __str__(self) -> str:
        return f"{self.event_type_id} {self.idempotency_key}"


class Line(models.Model):
    """One debit (+1) or credit (-1) of an entry."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    pk = models.CompositePrimaryKey("entry_id", "line_no")
    entry = models.ForeignKey(Entry, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    line_no = models.PositiveSmallIntegerField()
    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    unit = models.CharField(max_length=24)
    side = models.SmallIntegerField()
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    account_version = models.BigIntegerField(null=True)
    """Order within an account that keeps a balance: 1, 2, 3 …"""
    balance_after = models.DecimalField(max_digits=28, decimal_places=12, null=True)
    effective_on = models.DateField()
    """The entry's, kept here for the index by account and day."""

    class Meta:
        db_table = "ledger_line"
        constraints = (
            models.UniqueConstraint(fields=["account", "account_version"], name="ledger_line_one_per_version"),
            models.CheckConstraint(name="ledger_line_side", condition=models.Q(side__in=[-1, 1])),
            models.CheckConstraint(name="ledger_line_positive", condition=models.Q(amount__gt=0)),
        )
        indexes = (models.Index(fields=["account", "effective_on", "entry"], name="ledger_line_account_day"),)

    def __str__(self) -> str:
        return f"{'Dr' if self.side > 0 else 'Cr'} {self.account_id} {self.amount} {self.unit}"
