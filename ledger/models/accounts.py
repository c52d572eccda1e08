"""Accounts and their stored balances."""

import uuid
from decimal import Decimal
from typing import ClassVar

from django.db import models

from ledger.models.books import AccountCode, Book, Unit


class Account(models.Model):
    """An account: a code of the chart for one customer, dimension and unit.

    The posting door makes it on first use. What derives from the code (normal side, scale, floor …) is written by the
    database, whatever the writer says.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True)
    book = models.ForeignKey(Book, on_delete=models.PROTECT, db_index=False)
    code = models.ForeignKey(AccountCode, on_delete=models.PROTECT, db_column="code", db_index=False)
    customer_key = models.CharField(max_length=200, default="", blank=True)
    dimension = models.CharField(max_length=100, default="", blank=True)
    """The grant, dispute, jurisdiction or contract, where the code takes one."""
    unit = models.ForeignKey(Unit, on_delete=models.PROTECT, db_column="unit", db_index=False)
    normal_side = models.SmallIntegerField()
    materialised = models.BooleanField()
    memo = models.BooleanField()
    for_grant = models.BooleanField()
    decimals = models.PositiveSmallIntegerField()
    status = models.CharField(max_length=8, default="open")

    class Meta:
        db_table = "ledger_account"
        constraints = (
            models.UniqueConstraint(
                fields=["customer_key", "code", "dimension", "unit", "book"], name="ledger_account_one_per_key"
            ),
            models.CheckConstraint(
                name="ledger_account_status", condition=models.Q(status__in=["open", "frozen", "closed"])
            ),
        )
        indexes = (models.Index(fields=["code", "unit"], name="ledger_account_code_unit"),)

    def __str__(self) -> str:
        return " ".join(part for part in (self.code_id, self.customer_key, self.dimension, self.unit_id) if part)


class Balance(models.Model):
    """The stored balance of one customer-level account.

    Only the trigger on the lines moves it: the application's role may read it and no more. It has no secondary index,
    so that each update stays on its page.
    """

    app_privileges: ClassVar[str] = "SELECT"

    account = models.OneToOneField(Account, on_delete=models.PROTECT, primary_key=True)
    normal_side = models.SmallIntegerField()
    debits = models.DecimalField(max_digits=28, decimal_places=12, default=Decimal(0))
    credits = models.DecimalField(max_digits=28, decimal_places=12, default=Decimal(0))
    held = models.DecimalField(max_digits=28, decimal_places=12, default=Decimal(0))
    min_available = models.DecimalField(max_digits=28, decimal_places=12, null=True)
    """The floor; null is none."""
    version = models.BigIntegerField(default=0)
    """How many lines have moved it."""

    class Meta:
        db_table = "ledger_balance"

    def __str__(self) -> str:
        return f"{self.account_id}: {self.net} (version {self.version})"

    @property
    def net(self) -> Decimal:
        """The balance on the account's normal side, holds not counted."""
        return self.normal_side * (self.debits - self.credits)
