"""Roll-ups: what the lines add up to by day, on both clocks. Derived from the journal, never read without its tail."""

from typing import ClassVar

from django.db import models

from ledger.models.accounts import Account
from ledger.models.books import AccountCode, Unit
from ledger.models.columns import Xid8Field


class AccountDay(models.Model):
    """The lines of one account that count for one day and were written on one day.

    Both days are of the book's time zone. Two days a row, because books are asked for "as of this day, as we knew it on
    that day": at the edges of days the answer then needs no line. Most rows have twice the same day.
    """

    app_privileges: ClassVar[str] = "SELECT"

    pk = models.CompositePrimaryKey("account_id", "effective_on", "recorded_on")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    effective_on = models.DateField()
    recorded_on = models.DateField()
    debits = models.DecimalField(max_digits=34, decimal_places=12)
    credits = models.DecimalField(max_digits=34, decimal_places=12)
    lines = models.BigIntegerField()

    class Meta:
        db_table = "ledger_account_day"

    def __str__(self) -> str:
        return f"{self.account_id} {self.effective_on}"


class CodeDay(models.Model):
    """The same for all accounts of a code in one unit: a trial balance reads a few thousand of these rows."""

    app_privileges: ClassVar[str] = "SELECT"

    pk = models.CompositePrimaryKey("unit_id", "code_id", "effective_on", "recorded_on")
    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, db_column="unit", db_constraint=False, db_index=False)
    code = models.ForeignKey(
        AccountCode, on_delete=models.PROTECT, db_column="code", db_constraint=False, db_index=False
    )
    effective_on = models.DateField()
    recorded_on = models.DateField()
    debits = models.DecimalField(max_digits=34, decimal_places=12)
    credits = models.DecimalField(max_digits=34, decimal_places=12)
    lines = models.BigIntegerField()

    class Meta:
        db_table = "ledger_code_day"

    def __str__(self) -> str:
        return f"{self.code_id} {self.unit_id} {self.effective_on}"


class RollupState(models.Model):
    """How far the roll-ups reach: every entry of a transaction before ``horizon`` is in them, and no other.

    When it was set, no transaction before it could still commit (``ledger_complete_before``). It means something
    in the cluster of ``system_identifier`` only; elsewhere the roll-ups are not read until they are made anew.
    """

    app_privileges: ClassVar[str] = "SELECT"

    id = models.PositiveSmallIntegerField(primary_key=True)
    system_identifier = models.BigIntegerField()
    horizon = Xid8Field()
    adopted = models.TextField(default="{}")
    """Ids (an int8multirange) of entries that came from another cluster and whose transactions here are yet to come."""
    adopted_until = models.BigIntegerField(default=0)
    """Adopted entries are rolled up in the order of their ids: up to this one."""
    rolled_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "ledger_rollup_state"
        constraints = (models.CheckConstraint(name="ledger_rollup_one_state", condition=models.Q(id=1)),)

    def __str__(self) -> str:
        return f"up to transaction {self.horizon}"
