"""From when to when a backfill brought usage of a subject: a fact, kept with its batch."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("metering", "0002_events")]

    operations = [
        migrations.CreateModel(
            name="BackfilledSpan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("subject", models.TextField()),
                ("first_occurred_at", models.DateTimeField()),
                ("last_occurred_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(db_index=True)),
                (
                    "batch",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="metering.batch"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("subject", "batch"), name="backfilled_once"),
                    models.CheckConstraint(
                        condition=models.Q(("last_occurred_at__gte", models.F("first_occurred_at"))),
                        name="backfilled_times_in_order",
                    ),
                ],
            },
        ),
        migrations.RunSQL(
            """
            CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON metering_backfilledspan
                FOR EACH ROW EXECUTE FUNCTION metering_refuse_change();
            CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON metering_backfilledspan
                FOR EACH STATEMENT EXECUTE FUNCTION metering_refuse_change();
            """,
            """
            DROP TRIGGER append_only ON metering_backfilledspan;
            DROP TRIGGER append_only_truncate ON metering_backfilledspan;
            """,
        ),
    ]
