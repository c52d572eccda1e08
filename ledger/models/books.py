"""What the ledger is kept in: books, units, periods, the chart of accounts and the kinds of entry."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models


class Book(models.Model):
    """The accounts of one legal entity. There is one, ``main``, until there are more; a migration makes it."""

    app_privileges: ClassVar[str] = "SELECT"

    key = models.SlugField(max_length=40, unique=True)
    legal_entity = models.CharField(max_length=200)
    functional_currency = models.CharField(max_length=3)
    timezone = models.CharField(max_length=64, default="UTC")
    """The zone in which this book's days begin: it dates every entry."""
    invoice_series = models.CharField(max_length=20, default="INV")

    class Meta:
        db_table = "ledger_book"

    def __str__(self) -> str:
        return self.legal_entity


class Unit(models.Model):
    """What amounts are counted in: a currency (code of ISO 4217) or a company's own credits."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    code = models.CharField(max_length=24, primary_key=True)
    kind = models.CharField(max_length=8, choices=[("fiat", "currency"), ("credit", "credits")])
    posting_scale = models.PositiveSmallIntegerField()
    """Decimals of an amount that meets the outside: USD 2, JPY 0."""

    class Meta:
        db_table = "ledger_unit"
        constraints = (
            models.CheckConstraint(name="ledger_unit_scale", condition=models.Q(posting_scale__lte=12)),
            models.CheckConstraint(name="ledger_unit_kind", condition=models.Q(kind__in=["fiat", "credit"])),
        )

    def __str__(self) -> str:
        return self.code


class Period(models.Model):
    """A half-open span of days of one book; nothing is posted into it once it is closed.

    Its status changes by a row of its history (:class:`ledger.models.PeriodChange`) and not by hand.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    book = models.ForeignKey(Book, on_delete=models.PROTECT)
    starts_on = models.DateField()
    ends_before = models.DateField()
    status = models.CharField(
        max_length=12, default="open", choices=[("open", "open"), ("soft_closed", "soft-closed"), ("closed", "closed")]
    )
    closed_by = models.CharField(max_length=120, default="", blank=True)
    closed_at = models.DateTimeField(null=True, blank=True)
    changed_at = models.DateTimeField(null=True, blank=True)
    """When its status last changed, by the clock of the writing."""

    class Meta:
        db_table = "ledger_period"
        constraints = (
            models.CheckConstraint(
                name="ledger_period_span", condition=models.Q(ends_before__gt=models.F("starts_on"))
            ),
            models.CheckConstraint(
                name="ledger_period_status",
                condition=models.Q(status="open", closed_at__isnull=True)
                | models.Q(status__in=["soft_closed", "closed"], closed_at__isnull=False),
            ),
        )

    def __str__(self) -> str:
        return f"{self.starts_on:%Y-%m-%d} to {self.ends_before:%Y-%m-%d} ({self.status})"


class AccountCode(models.Model):
    """A row of the chart of accounts; ``ledger.rules.chart`` is its source, a migration its only writer."""

    app_privileges: ClassVar[str] = "SELECT"

    code = models.CharField(max_length=8, primary_key=True)
    name = models.CharField(max_length=80)
    category = models.CharField(max_length=16)
    normal_side = models.SmallIntegerField()
    """+1 when a debit raises it, -1 when a credit does."""
    materialised = models.BooleanField()
    """Its accounts keep a stored balance and version."""
    exact = models.BooleanField()
    """Twelve decimals; otherwise whole minor units of the unit."""
    floor = models.DecimalField(max_digits=28, decimal_places=12, null=True)
    memo = models.BooleanField()
    """Off balance sheet: memo lines balance on their own."""
    takes_customer = models.BooleanField()
    dimension = models.CharField(max_length=16, blank=True)
    dimension_required = models.BooleanField()

    class Meta:
        db_table = "ledger_account_code"

    def __str__(self) -> str:
        return f"{self.code} {self.name}"


class EventType(models.Model):
    """A kind of entry and the accounts it may debit and credit; ``ledger.rules.routes`` is its source."""

    app_privileges: ClassVar[str] = "SELECT"

    code = models.CharField(max_length=40, primary_key=True)
    label = models.CharField(max_length=120)
    template_version = models.PositiveSmallIntegerField()
    allowed_debit = ArrayField(models.CharField(max_length=8))
    allowed_credit = ArrayField(models.CharField(max_length=8))
    draws_credit = models.BooleanField()
    """What it takes from a grant's account must be accounted for by draws, to the last digit."""
    returns_credit = models.BooleanField(db_default=False)
    """What it puts back into a grant's account must be accounted for by returns, to the last digit."""
    adjusts = models.BooleanField(db_default=False)
    """A person with a reason may post it into a soft-closed period."""
    needs_approval = models.BooleanField(db_default=False)
    """Its entry carries an approval that another person gave."""
    needs_approval_over = models.DecimalField(max_digits=28, decimal_places=12, null=True)

    class Meta:
        db_table = "ledger_event_type"

    def __str__(self) -> str:
        return self.label
