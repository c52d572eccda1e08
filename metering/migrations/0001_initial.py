import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="Event",
            fields=[
                ("key", models.UUIDField(primary_key=True, serialize=False)),
                ("occurred_at", models.DateTimeField()),
                ("subject", models.TextField()),
                ("type", models.TextField()),
                ("source", models.TextField()),
                ("event_id", models.TextField()),
                ("data", models.JSONField()),
                ("extensions", models.JSONField(null=True)),
            ],
            options={
                "db_table": "metering_event",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Measured",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "meter_id", "key", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("key", models.UUIDField()),
                ("occurred_at", models.DateTimeField()),
                ("subject", models.TextField()),
                ("type", models.TextField()),
                ("source", models.TextField()),
                ("event_id", models.TextField()),
                ("data", models.JSONField()),
                ("matched", models.BooleanField()),
                ("value", models.DecimalField(decimal_places=12, max_digits=32, null=True)),
                ("missing", models.BooleanField()),
            ],
            options={
                "db_table": "metering_measured",
                "managed": False,
            },
        ),
        migrations.CreateModel(
            name="Batch",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("recorded_at", models.DateTimeField()),
                ("events", models.PositiveIntegerField()),
                ("first_occurred_at", models.DateTimeField()),
                ("last_occurred_at", models.DateTimeField()),
                (
                    "origin",
                    models.CharField(
                        choices=[("live", "Sent as it happened"), ("backfill", "Backfill")],
                        default="live",
                        max_length=10,
                    ),
                ),
                ("label", models.CharField(blank=True, default="", help_text="the name of a backfill", max_length=200)),
                ("actor_type", models.CharField(max_length=20)),
                ("actor_id", models.CharField(max_length=200)),
            ],
            options={
                "verbose_name_plural": "batches",
                "ordering": ["-id"],
            },
        ),
        migrations.CreateModel(
            name="Fold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("folded_at", models.DateTimeField()),
                ("batches", models.PositiveIntegerField()),
                ("events", models.PositiveBigIntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Meter",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=100, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("event_type", models.CharField(db_index=True, max_length=255)),
                (
                    "aggregation",
                    models.CharField(
                        choices=[("sum", "Sum of a property"), ("count", "Number of events")], max_length=20
                    ),
                ),
                (
                    "value_path",
                    models.CharField(
                        blank=True, default="", help_text="e.g. tokens.input; empty: count", max_length=400
                    ),
                ),
                ("filters", models.JSONField(blank=True, default=list)),
                ("unit", models.CharField(blank=True, default="", max_length=40)),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=200)),
                ("archived_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "ordering": ["key"],
            },
        ),
        migrations.CreateModel(
            name="Bucket",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "meter_id",
                        "subject",
                        "hour_start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                ("subject", models.TextField()),
                ("hour_start", models.DateTimeField()),
                ("quantity", models.DecimalField(decimal_places=12, max_digits=60)),
                ("events", models.BigIntegerField(help_text="counted")),
                ("missing", models.BigIntegerField(help_text="matched, but without the property")),
                ("not_numeric", models.BigIntegerField(help_text="matched, but the property is not a number")),
            ],
        ),
        migrations.CreateModel(
            name="Source",
            fields=[
                ("source", models.TextField(primary_key=True, serialize=False)),
            ],
        ),
        migrations.CreateModel(
            name="Stream",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "type", "subject", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("type", models.TextField()),
                ("subject", models.TextField(db_index=True)),
                ("events", models.BigIntegerField()),
                ("first_occurred_at", models.DateTimeField()),
                ("last_occurred_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Conflict",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.UUIDField()),
                ("content", models.UUIDField()),
                ("recorded_at", models.DateTimeField()),
                ("source", models.TextField()),
                ("event_id", models.TextField()),
                ("subject", models.TextField(db_index=True)),
                ("type", models.TextField()),
                ("occurred_at", models.DateTimeField()),
                ("data", models.JSONField()),
                ("extensions", models.JSONField(null=True)),
            ],
            options={
                "ordering": ["-id"],
                "constraints": [models.UniqueConstraint(fields=("key", "content"), name="conflict_once")],
            },
        ),
        migrations.CreateModel(
            name="EventKey",
            fields=[
                ("key", models.UUIDField(primary_key=True, serialize=False)),
                ("content", models.UUIDField()),
                ("occurred_at", models.DateTimeField()),
                (
                    "batch",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="+",
                        to="metering.batch",
                    ),
                ),
            ],
            options={
                "db_table": "metering_event_key",
            },
        ),
        migrations.AddField(
            model_name="batch",
            name="fold",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="metering.fold",
            ),
        ),
        migrations.CreateModel(
            name="MeterProgress",
            fields=[
                (
                    "meter",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="progress",
                        serialize=False,
                        to="metering.meter",
                    ),
                ),
                ("after_fold", models.BigIntegerField()),
                ("cursor", models.BigIntegerField(default=0)),
                ("caught_up_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name_plural": "meter progress",
            },
        ),
        migrations.AddConstraint(
            model_name="meter",
            constraint=models.CheckConstraint(
                condition=models.Q(("aggregation__in", ["sum", "count"])), name="meter_aggregation_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="meter",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("aggregation", "count"), ("value_path", "")),
                    models.Q(("aggregation", "sum"), models.Q(("value_path", ""), _negated=True)),
                    _connector="OR",
                ),
                name="meter_value_path_goes_with_sum",
            ),
        ),
        migrations.AddIndex(
            model_name="batch",
            index=models.Index(condition=models.Q(("fold", None)), fields=["id"], name="batch_unfolded"),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(condition=models.Q(("events__gt", 0)), name="batch_has_events"),
        ),
        migrations.AddConstraint(
            model_name="batch",
            constraint=models.CheckConstraint(
                condition=models.Q(("last_occurred_at__gte", models.F("first_occurred_at"))),
                name="batch_times_in_order",
            ),
        ),
        migrations.AddConstraint(
            model_name="meterprogress",
            constraint=models.CheckConstraint(
                condition=models.Q(("after_fold__gte", 0), ("cursor__gte", 0)), name="progress_not_negative"
            ),
        ),
        migrations.AddIndex(
            model_name="bucket",
            index=models.Index(fields=["meter", "hour_start"], name="bucket_of_all_subjects"),
        ),
        migrations.AddIndex(
            model_name="bucket",
            index=models.Index(
                condition=models.Q(("missing__gt", 0), ("not_numeric__gt", 0), _connector="OR"),
                fields=["meter"],
                name="bucket_unresolved",
            ),
        ),
    ]
