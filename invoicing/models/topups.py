from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q

from billing_ops.kit.fields import AmountField
from invoicing.models.invoices import Invoice, InvoiceLine


class AutoTopUp(models.Model):
    """A version of a customer's rule for topping up by itself; of a customer and unit the newest counts.

    Below ``threshold`` available credits it buys ``quantity`` of the unit, for at most ``monthly_cap`` (without tax) a
    calendar month in the customer's time zone. Rows never change: who switched it when is their history.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    customer = models.ForeignKey("plans.Customer", on_delete=models.PROTECT, related_name="auto_top_ups")
    unit = models.CharField(max_length=24)
    currency = models.CharField(max_length=3)
    enabled = models.BooleanField()
    threshold = models.DecimalField(max_digits=28, decimal_places=12)
    quantity = models.DecimalField(max_digits=28, decimal_places=12)
    monthly_cap = AmountField()
    reason = models.CharField(max_length=500)
    set_by_type = models.CharField(max_length=8)
    set_by_id = models.CharField(max_length=150)
    set_at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["customer", "unit", "-id"], name="auto_top_up_newest")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(threshold__gte=0, quantity__gt=0, monthly_cap__gte=0), name="auto_top_up_amounts"
            ),
            models.CheckConstraint(condition=~Q(reason="") & ~Q(set_by_id=""), name="auto_top_up_says_why"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.unit} below {self.threshold}"


class AutoTopUpWork(models.Model):
    """Where the evaluation of a rule stands: what it looked at last, and when to look again after a failure."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    customer = models.ForeignKey("plans.Customer", on_delete=models.PROTECT, related_name="+")
    unit = models.CharField(max_length=24)
    rule = models.ForeignKey(AutoTopUp, on_delete=models.PROTECT, related_name="+")
    enabled = models.BooleanField()
    seen_entry = models.BigIntegerField(default=0)
    """The newest entry of the customer when it was looked at: nothing newer, nothing to look at."""
    looked_at = models.DateTimeField(null=True, blank=True)
    tries = models.PositiveIntegerField(default=0)
    """Failures in a row."""
    next_try_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer", "unit"], name="auto_top_up_work_one"),
        ]

    def __str__(self) -> str:
        return f"{self.customer_id} {self.unit}"


class TopUp(models.Model):
    """Credit that is ordered: owed by an invoice of its own, and spendable once that is paid.

    ``price`` without tax buys ``quantity`` of ``unit``; in a currency they are the same. *open*: invoiced. *paid*: its
    credit (``grant_id`` in the ledger) was issued in the transaction that settled the invoice. *void*: given up unpaid.
    """

    class Status(models.TextChoices):
        OPEN = "open", "Open"
        PAID = "paid", "Paid"
        VOID = "void", "Void"

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE (status, grant_id, settled_at, void_entry_id)"

    public_id = models.CharField(max_length=32, unique=True)
    customer = models.ForeignKey("plans.Customer", on_delete=models.PROTECT, related_name="top_ups")
    idempotency_key = models.CharField(max_length=200, unique=True)
    request = models.JSONField()
    currency = models.CharField(max_length=3)
    price = AmountField()
    unit = models.CharField(max_length=24)
    quantity = models.DecimalField(max_digits=28, decimal_places=12)
    rate = models.DecimalField(max_digits=28, decimal_places=12, null=True, blank=True)
    priority = models.PositiveSmallIntegerField(default=50)
    scope = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    valid_days = models.PositiveIntegerField(null=True, blank=True)
    """The credit expires so many days after it was paid; NULL: never."""
    rule = models.ForeignKey(AutoTopUp, on_delete=models.PROTECT, null=True, blank=True, related_name="top_ups")
    invoice = models.OneToOneField(Invoice, on_delete=models.PROTECT, related_name="top_up")
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.OPEN)
    grant = models.OneToOneField(
        "ledger.CreditGrant", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    void_entry = models.OneToOneField("ledger.Entry", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    settled_at = models.DateTimeField(null=True, blank=True)
    ordered_by_type = models.CharField(max_length=8)
    ordered_by_id = models.CharField(max_length=150)
    ordered_at = models.DateTimeField()
    reason_code = models.CharField(max_length=60)
    ticket = models.CharField(max_length=120, blank=True)
    note = models.TextField(blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["customer", "-id"], name="top_up_customer")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status="open", grant__isnull=True, settled_at__isnull=True, void_entry__isnull=True)
                | Q(status="paid", grant__isnull=False, settled_at__isnull=False, void_entry__isnull=True)
                | Q(status="void", grant__isnull=True, settled_at__isnull=False, void_entry__isnull=False),
                name="top_up_status",
            ),
            models.CheckConstraint(condition=Q(price__gt=0, quantity__gt=0), name="top_up_amounts"),
            models.UniqueConstraint(
                fields=["customer", "unit"],
                condition=Q(status="open", rule__isnull=False),
                name="top_up_one_open_by_rule",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.unit} for {self.price}"

    @property
    def is_open(self) -> bool:
        """Whether it waits to be paid."""
        return self.status == self.Status.OPEN


class OverageBill(models.Model):
    """What one overage line bills of a customer's unbilled use (1110): the lines of that account after one version, up
    to another, that no accrual of an item explains.

    ``cumulative`` is all overage up to ``through_version``, so what is billed next is the difference: exact, and
    rounded once over all bills.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    line = models.OneToOneField(InvoiceLine, on_delete=models.PROTECT, related_name="overage")
    account = models.ForeignKey("ledger.Account", on_delete=models.PROTECT, related_name="+")
    after_version = models.BigIntegerField()
    through_version = models.BigIntegerField()
    cumulative = models.DecimalField(max_digits=28, decimal_places=12)
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    billed_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["account", "after_version"], name="overage_billed_once"),
            models.CheckConstraint(condition=Q(through_version__gt=F("after_version")), name="overage_forward"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of account {self.account_id} up to version {self.through_version}"
