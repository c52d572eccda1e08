from typing import ClassVar

from django.db import models
from django.db.models import F, Q


class Drawdown(models.Model):
    """How far the usage of an item's service period was drawn from credits: of a price that settles by drawdown.

    ``rated`` is what the period's ``quantity`` costs, as seen at ``watermark``; ``accounted`` what the steps
    (:class:`UsageDraw`) drew of it: the same, unless a correction is still being given back, which takes several
    transactions when it undoes very many draws. The row is where the next look goes on; the steps explain it.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    item = models.ForeignKey("plans.SubscriptionItem", on_delete=models.PROTECT, related_name="+")
    service_start = models.DateTimeField()
    service_end = models.DateTimeField()
    quantity = models.DecimalField(max_digits=38, decimal_places=12, default=0)
    rated = models.DecimalField(max_digits=28, decimal_places=12, default=0)
    accounted = models.DecimalField(max_digits=28, decimal_places=12, default=0)
    steps = models.PositiveIntegerField(default=0)
    watermark = models.BigIntegerField(default=0)
    """The highest batch that the rating saw."""
    rated_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["item", "service_start"], name="drawdown_one_a_period"),
            models.CheckConstraint(condition=Q(service_end__gt=F("service_start")), name="drawdown_span"),
            models.CheckConstraint(
                condition=Q(rated__gte=0, accounted__gte=F("rated")), name="drawdown_never_draws_less"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.item} {self.service_start:%Y-%m-%d}"


class UsageDraw(models.Model):
    """One step of a drawdown: a draw for usage that arrived, or a part of a draw that a correction gave back.

    ``amount`` = ``drawn`` from credits + ``overage`` that is owed, all below zero when given back. The sum of a
    period's steps is ``cumulative_amount``, and ``quantity`` the period's usage as the step knew it: a fact each.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    drawdown = models.ForeignKey(Drawdown, on_delete=models.PROTECT, related_name="draws", db_index=False)
    step = models.PositiveIntegerField()
    quantity = models.DecimalField(max_digits=38, decimal_places=12)
    cumulative_amount = models.DecimalField(max_digits=28, decimal_places=12)
    amount = models.DecimalField(max_digits=28, decimal_places=12)
    drawn = models.DecimalField(max_digits=28, decimal_places=12)
    overage = models.DecimalField(max_digits=28, decimal_places=12)
    watermark = models.BigIntegerField()
    used_at = models.DateTimeField(null=True, blank=True)
    """The instant whose credit paid: the latest use in the step. Empty when something was given back."""
    draw = models.OneToOneField("ledger.CreditDraw", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    returned = models.OneToOneField(
        "ledger.CreditReturn", on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )
    entry = models.ForeignKey("ledger.Entry", on_delete=models.PROTECT, related_name="+")
    drawn_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["drawdown", "step"], name="usage_draw_step"),
            models.CheckConstraint(condition=Q(amount=F("drawn") + F("overage")), name="usage_draw_adds_up"),
            models.CheckConstraint(
                condition=Q(
                    draw__isnull=False, returned__isnull=True, used_at__isnull=False,
                    amount__gt=0, drawn__gte=0, overage__gte=0,
                )
                | Q(
                    draw__isnull=True, returned__isnull=False, used_at__isnull=True,
                    amount__lt=0, drawn__lte=0, overage__lte=0,
                ),
                name="usage_draw_takes_or_gives_back",
            ),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"{self.drawdown} step {self.step}"


class DrawdownWork(models.Model):
    """Where the look at an item stands: how many events of its customer and type were counted when it was looked at."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    item = models.OneToOneField("plans.SubscriptionItem", on_delete=models.PROTECT, primary_key=True, related_name="+")
    seen_events = models.BigIntegerField()
    looked_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.item}, {self.seen_events} events"
