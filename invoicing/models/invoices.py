from typing import TYPE_CHECKING, ClassVar

from django.db import models
from django.db.models import F, Q
from moneyed import Money

from billing_ops.kit.fields import AmountField

if TYPE_CHECKING:
    from plans.models import Price, SubscriptionItem


class Invoice(models.Model):
    """The bill. Ours is the invoice; Stripe holds a mirror (``stripe_id``) that collects.

    Born as a draft under its key (customer, currency, trigger), so a billing run can be resumed; numbered, frozen and
    posted in one transaction at finalisation. Amounts are in the invoice's currency, in whole minor units:
    ``subtotal`` Σ lines · ``credits_applied`` from grants · ``tax_total`` · ``total`` = subtotal − credits + tax ·
    ``balance_applied`` from the customer balance (negative: moved to it) · ``amount_due`` = total − balance_applied ·
    ``amount_paid`` what settled it so far.
    """

    class Status(models.TextChoices):
        DRAFT = "draft", "Draft"
        OPEN = "open", "Open"
        PAID = "paid", "Paid"
        VOID = "void", "Void"
        UNCOLLECTIBLE = "uncollectible", "Uncollectible"

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    public_id = models.CharField(max_length=32, unique=True)
    customer = models.ForeignKey("plans.Customer", on_delete=models.PROTECT, related_name="invoices")
    currency = models.CharField(max_length=3)
    # What made it: "edge:<instant>" for a period's edge. With customer and currency it is the draft's natural key.
    trigger = models.CharField(max_length=64)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.DRAFT)
    number = models.CharField(max_length=32, unique=True, null=True, blank=True)
    subtotal = AmountField()
    credits_applied = AmountField()
    tax_total = AmountField()
    total = AmountField()
    balance_applied = AmountField()
    amount_due = AmountField()
    amount_paid = AmountField()
    drafted_at = models.DateTimeField()
    # When the run may finalise it by itself; NULL: a person does.
    auto_finalize_at = models.DateTimeField(null=True, blank=True)
    finalized_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    paid_at = models.DateTimeField(null=True, blank=True)
    # Frozen at finalisation: identities as printed, and the ledger entry that posted it.
    seller = models.JSONField(null=True, blank=True)
    bill_to = models.JSONField(null=True, blank=True)
    tax_note = models.CharField(max_length=200, blank=True)
    entry = models.OneToOneField("ledger.Entry", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    stripe_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    # An invoice below the processor's minimum charge is collected on the mirror of a later one.
    collected_with = models.ForeignKey("self", on_delete=models.PROTECT, null=True, blank=True, related_name="carried")

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["customer", "-id"], name="invoice_customer"),
            models.Index(fields=["status", "due_at"], name="invoice_status_due"),
            models.Index(
                fields=["auto_finalize_at"],
                condition=Q(status="draft", auto_finalize_at__isnull=False),
                name="invoice_to_finalize",
            ),
            models.Index(fields=["finalized_at"], name="invoice_finalized"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["customer", "currency", "trigger"], name="invoice_trigger"),
            models.CheckConstraint(
                condition=Q(status="draft", number__isnull=True, finalized_at__isnull=True)
                | (~Q(status="draft") & Q(number__isnull=False, finalized_at__isnull=False, seller__isnull=False)),
                name="invoice_numbered_iff_final",
            ),
            models.CheckConstraint(
                condition=Q(total=F("subtotal") - F("credits_applied") + F("tax_total")), name="invoice_total_adds_up"
            ),
            models.CheckConstraint(
                condition=Q(amount_due=F("total") - F("balance_applied")), name="invoice_due_adds_up"
            ),
            models.CheckConstraint(condition=Q(status="draft") | Q(amount_due__gte=0), name="invoice_never_below_zero"),
            models.CheckConstraint(
                condition=~Q(status="paid") | Q(amount_paid__gte=F("amount_due")), name="invoice_paid_is_paid"
            ),
            models.CheckConstraint(
                condition=Q(status__in=["draft", "open", "paid", "void", "uncollectible"]), name="invoice_status_known"
            ),
        ]

    def __str__(self) -> str:
        return self.number or f"draft {self.public_id}"

    @property
    def open_amount(self) -> Money:
        """What is still to be paid of it."""
        return self.amount_due - self.amount_paid


class InvoiceLine(models.Model):
    """One amount on an invoice, unique by (item, price, service period, revision).

    ``kind`` *advance*: the flat fee of a period to come. *usage*: a metered charge of a period that ended; revision 1
    is the first bill of that period, a later revision bills only the difference that late usage made. *topup*: credit
    that is bought. *overage*: use beyond credits, or credit that covered such use later (then it is negative). The last
    two come from no subscription: they have neither item nor price. ``quantity`` is
    the cumulative quantity of the service period, ``cumulative_amount`` its exact rated amount and
    ``unrounded_amount`` this line's exact share; ``amount`` is rounded once. ``rule`` names the rule, ``working`` the
    rating steps, ``watermark`` the last folded or visible batch and ``rated_at`` the instant that it was rated.
    """

    class Kind(models.TextChoices):
        ADVANCE = "advance", "In advance"
        USAGE = "usage", "Usage"
        TOPUP = "topup", "Top-up"
        OVERAGE = "overage", "Overage"

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    invoice = models.ForeignKey(Invoice, on_delete=models.PROTECT, related_name="lines")
    position = models.PositiveIntegerField()
    item = models.ForeignKey(
        "plans.SubscriptionItem", on_delete=models.PROTECT, related_name="+", null=True, blank=True
    )
    price = models.ForeignKey("plans.Price", on_delete=models.PROTECT, related_name="+", null=True, blank=True)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    description = models.CharField(max_length=300)
    service_start = models.DateTimeField()
    service_end = models.DateTimeField()
    revision = models.PositiveIntegerField(default=1)
    currency = models.CharField(max_length=3)
    quantity = models.DecimalField(max_digits=38, decimal_places=12)
    cumulative_amount = models.DecimalField(max_digits=28, decimal_places=12)
    unrounded_amount = models.DecimalField(max_digits=28, decimal_places=12)
    amount = AmountField()
    credits_applied = AmountField()
    tax_jurisdiction = models.CharField(max_length=64, blank=True)
    tax_base = AmountField()
    tax_rate = models.DecimalField(max_digits=9, decimal_places=6, default=0)
    tax_amount = AmountField()
    rule = models.CharField(max_length=64)
    working = models.JSONField(default=list)
    watermark = models.BigIntegerField(null=True, blank=True)
    rated_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["invoice", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["item", "price", "service_start", "service_end", "revision"], name="invoice_line_billed_once"
            ),
            models.UniqueConstraint(fields=["invoice", "position"], name="invoice_line_position"),
            models.CheckConstraint(condition=Q(service_end__gt=F("service_start")), name="invoice_line_span"),
            models.CheckConstraint(
                condition=Q(kind__in=["advance", "usage"], item__isnull=False, price__isnull=False)
                | Q(kind__in=["topup", "overage"], item__isnull=True, price__isnull=True),
                name="invoice_line_comes_from",
            ),
        ]

    def __str__(self) -> str:
        return self.description

    @property
    def agreed_item(self) -> "SubscriptionItem":
        """The subscription's item that made it; ``ValueError`` for a line that no subscription made."""
        if self.item is None:
            raise ValueError(f"no subscription made line {self.pk}")
        return self.item

    @property
    def agreed_price(self) -> "Price":
        """The price of the item that made it; ``ValueError`` for a line that no subscription made."""
        if self.price is None:
            raise ValueError(f"no subscription made line {self.pk}")
        return self.price


class NumberSeries(models.Model):
    """A gapless series of invoice numbers, ``<prefix>-<000001>``. Its row is locked last in a finalisation."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    prefix = models.CharField(max_length=16, primary_key=True)
    next_number = models.PositiveIntegerField(default=1)

    def __str__(self) -> str:
        return f"{self.prefix}-{self.next_number:06d}"
