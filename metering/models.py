"""What was used: events, the batches they came in, meters and the hourly buckets that cache them.

Events, their keys and conflicts are facts: the application may only insert them, and triggers refuse a change whoever
makes it. Buckets and streams are caches that the aggregator keeps; they can be rebuilt from events.
"""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q


class Meter(models.Model):
    """How events of one type become a quantity. Immutable, except for ``name`` and ``archived_at``."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    class Aggregation(models.TextChoices):
        SUM = "sum", "Sum of a property"
        COUNT = "count", "Number of events"

    key = models.CharField(max_length=100, unique=True)
    name = models.CharField(max_length=200)
    event_type = models.CharField(max_length=255, db_index=True)
    aggregation = models.CharField(max_length=20, choices=Aggregation)
    value_path = models.CharField(max_length=400, blank=True, default="", help_text="e.g. tokens.input; empty: count")
    filters = models.JSONField(default=list, blank=True)
    unit = models.CharField(max_length=40, blank=True, default="")
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=200)
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["key"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(aggregation__in=["sum", "count"]), name="meter_aggregation_known"),
            models.CheckConstraint(
                condition=Q(aggregation="count", value_path="") | (Q(aggregation="sum") & ~Q(value_path="")),
                name="meter_value_path_goes_with_sum",
            ),
        ]

    def __str__(self) -> str:
        return self.key


class Fold(models.Model):
    """One transaction of the aggregator. Ids grow with time: see ``aggregating`` for the lock that says so."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    folded_at = models.DateTimeField()
    batches = models.PositiveIntegerField()
    events = models.PositiveBigIntegerField()

    def __str__(self) -> str:
        return f"fold {self.pk}"


class MeterProgress(models.Model):
    """How far a meter that was defined late has folded the batches that older folds had already taken.

    Those batches are the ones with ``fold_id <= after_fold``; the ones up to ``cursor`` (a batch id) are done.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    meter = models.OneToOneField(Meter, on_delete=models.PROTECT, primary_key=True, related_name="progress")
    after_fold = models.BigIntegerField()
    cursor = models.BigIntegerField(default=0)
    caught_up_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name_plural = "meter progress"
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(cursor__gte=0, after_fold__gte=0), name="progress_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id}: {self.cursor}"


class Batch(models.Model):
    """The events that one transaction accepted. ``fold`` is set once, by the transaction that folds it."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE (fold_id)"

    class Origin(models.TextChoices):
        LIVE = "live", "Sent as it happened"
        BACKFILL = "backfill", "Backfill"

    recorded_at = models.DateTimeField()
    events = models.PositiveIntegerField()
    first_occurred_at = models.DateTimeField()
    last_occurred_at = models.DateTimeField()
    origin = models.CharField(max_length=10, choices=Origin, default=Origin.LIVE)
    label = models.CharField(max_length=200, blank=True, default="", help_text="the name of a backfill")
    actor_type = models.CharField(max_length=20)
    actor_id = models.CharField(max_length=200)
    fold = models.ForeignKey(Fold, on_delete=models.PROTECT, null=True, blank=True, db_index=False, related_name="+")

    class Meta:
        verbose_name_plural = "batches"
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(condition=Q(events__gt=0), name="batch_has_events"),
            models.CheckConstraint(
                condition=Q(last_occurred_at__gte=F("first_occurred_at")), name="batch_times_in_order"
            ),
        ]
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["id"], condition=Q(fold=None), name="batch_unfolded"),
        ]

    def __str__(self) -> str:
        return f"batch {self.pk}"


class BackfilledSpan(models.Model):
    """From when to when a backfill brought usage of one subject; written with its batch.

    Live usage is never older than the window in which it is accepted. This is how whoever billed a period of any age
    learns, without reading its events again, that there may be more to it.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    batch = models.ForeignKey(Batch, on_delete=models.PROTECT, related_name="+")
    subject = models.TextField()
    first_occurred_at = models.DateTimeField()
    last_occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["subject", "batch"], name="backfilled_once"),
            models.CheckConstraint(
                condition=Q(last_occurred_at__gte=F("first_occurred_at")), name="backfilled_times_in_order"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} in batch {self.batch_id}"


class Event(models.Model):
    """One accepted usage event. The table is partitioned by the month of ``occurred_at`` (see migration 0002).

    ``key`` is the hash of (source, event_id); the primary key that keeps it unique stands in :class:`EventKey`, because
    a unique index on a partitioned table must contain the partition column and identity must not depend on time.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    key = models.UUIDField(primary_key=True)
    batch = models.ForeignKey(Batch, on_delete=models.DO_NOTHING, db_constraint=False, related_name="+")
    occurred_at = models.DateTimeField()
    subject = models.TextField()
    type = models.TextField()
    source = models.TextField()
    event_id = models.TextField()
    data = models.JSONField()
    extensions = models.JSONField(null=True)

    class Meta:
        managed = False
        db_table = "metering_event"

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class Measured(models.Model):
    """What one meter makes of one event: a view of every event of the meter's type, whether it is folded or not."""

    app_privileges: ClassVar[str] = "SELECT"

    pk = models.CompositePrimaryKey("meter_id", "key")
    meter = models.ForeignKey(Meter, on_delete=models.DO_NOTHING, related_name="+")
    key = models.UUIDField()
    batch = models.ForeignKey(Batch, on_delete=models.DO_NOTHING, related_name="+")
    occurred_at = models.DateTimeField()
    subject = models.TextField()
    type = models.TextField()
    source = models.TextField()
    event_id = models.TextField()
    data = models.JSONField()
    matched = models.BooleanField()
    value = models.DecimalField(max_digits=32, decimal_places=12, null=True)
    missing = models.BooleanField()

    class Meta:
        managed = False
        db_table = "metering_measured"

    def __str__(self) -> str:
        return f"{self.meter_id} {self.source} {self.event_id}"


class EventKey(models.Model):
    """The identity of an event: 128-bit hash of (source, id), and the hash of what it said."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    key = models.UUIDField(primary_key=True)
    content = models.UUIDField()
    occurred_at = models.DateTimeField()
    batch = models.ForeignKey(Batch, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, related_name="+")

    class Meta:
        db_table = "metering_event_key"

    def __str__(self) -> str:
        return str(self.key)


class Conflict(models.Model):
    """An event that was kept out because its (source, id) was already taken by another content."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    key = models.UUIDField()
    content = models.UUIDField()
    recorded_at = models.DateTimeField()
    source = models.TextField()
    event_id = models.TextField()
    subject = models.TextField(db_index=True)
    type = models.TextField()
    occurred_at = models.DateTimeField()
    data = models.JSONField()
    extensions = models.JSONField(null=True)

    class Meta:
        ordering: ClassVar[list[str]] = ["-id"]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.UniqueConstraint(fields=["key", "content"], name="conflict_once"),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.event_id}"


class Bucket(models.Model):
    """What one meter counted for one subject in one UTC hour, of the batches that are folded.

    A cache: ``checking`` compares it with the events and rebuilds it.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE (quantity, events, missing, not_numeric)"

    pk = models.CompositePrimaryKey("meter_id", "subject", "hour_start")
    # No constraint: checked for every new row it would cost more than the row, and a meter cannot be deleted anyway.
    meter = models.ForeignKey(Meter, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+")
    subject = models.TextField()
    hour_start = models.DateTimeField()
    quantity = models.DecimalField(max_digits=60, decimal_places=12)
    events = models.BigIntegerField(help_text="counted")
    missing = models.BigIntegerField(help_text="matched, but without the property")
    not_numeric = models.BigIntegerField(help_text="matched, but the property is not a number")

    class Meta:
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["meter", "hour_start"], name="bucket_of_all_subjects"),
            models.Index(fields=["meter"], condition=Q(missing__gt=0) | Q(not_numeric__gt=0), name="bucket_unresolved"),
        ]

    def __str__(self) -> str:
        return f"{self.meter_id} {self.subject} {self.hour_start:%Y-%m-%dT%H}"


class Source(models.Model):
    """Where folded events came from. Few, so that an event is found by its id alone: one key a source to look up."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    source = models.TextField(primary_key=True)

    def __str__(self) -> str:
        return self.source


class Stream(models.Model):
    """One subject's events of one type, of the batches that are folded: how many, from when to when. A cache."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    pk = models.CompositePrimaryKey("type", "subject")
    type = models.TextField()
    subject = models.TextField(db_index=True)
    events = models.BigIntegerField()
    first_occurred_at = models.DateTimeField()
    last_occurred_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.type} {self.subject}"
