from typing import ClassVar

from django.db import models
from django.db.models import Q


class StripeEvent(models.Model):
    """The webhook inbox: a verified event as it came, and how its handling went.

    The body is the raw text that was signed (JSON columns refuse ``\\u0000``). Handled means that every effect of it is
    committed; the effects themselves have their own natural keys, so handling twice changes nothing.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    event_id = models.CharField(max_length=255, unique=True)  # Stripe: no id is longer
    type = models.CharField(max_length=100)
    object_id = models.CharField(max_length=255, blank=True)  # empty: it has none, or none that can be kept
    api_version = models.CharField(max_length=40, blank=True)
    livemode = models.BooleanField()
    body = models.TextField()
    created_at = models.DateTimeField()
    received_at = models.DateTimeField()
    handled_at = models.DateTimeField(null=True, blank=True)
    outcome = models.CharField(max_length=32, blank=True)  # applied, ignored, stale
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=1000, blank=True)
    parked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(
                fields=["next_try_at"],
                condition=Q(handled_at__isnull=True, parked_at__isnull=True),
                name="stripe_event_to_handle",
            ),
            models.Index(fields=["object_id"], name="stripe_event_object"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.event_id}"


class StripeObject(models.Model):
    """The order of our fetches of one Stripe object: an answer is applied only if no newer fetch was applied."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    object_id = models.CharField(max_length=255, primary_key=True)
    fetch_seq = models.BigIntegerField(default=0)
    applied_seq = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return self.object_id


class StripeSweep(models.Model):
    """Until when Stripe's list of events was read: the next sweep begins a little before."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    name = models.CharField(max_length=32, primary_key=True)
    swept_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.name} until {self.swept_until:%Y-%m-%d %H:%M}"
