"""Periods that are soft-closed and reopened, and the chain of seals."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Q

import ledger.models.columns

_STATUSES = [("open", "open"), ("soft_closed", "soft_closed"), ("closed", "closed")]


class Migration(migrations.Migration):
    # The reopening of a period asks the approvals' own function.
    dependencies = [("ledger", "0004_whole_chart"), ("billing_ops", "0004_approvals")]

    operations = [
        migrations.AddField("period", "changed_at", models.DateTimeField(blank=True, null=True)),
        migrations.CreateModel(
            name="PeriodChange",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "period",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="changes", to="ledger.period"
                    ),
                ),
                ("from_status", models.CharField(choices=_STATUSES, max_length=12)),
                ("to_status", models.CharField(choices=_STATUSES, max_length=12)),
                ("at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(db_default=ledger.models.columns.ClockTimestamp())),
                ("actor_type", models.CharField(max_length=8)),
                ("actor_id", models.CharField(max_length=150)),
                ("actor_label", models.CharField(blank=True, max_length=200)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("note", models.TextField(blank=True, max_length=2000)),
                ("approval_id", models.BigIntegerField(null=True, unique=True)),
            ],
            options={
                "db_table": "ledger_period_change",
                "indexes": [models.Index(fields=["period", "-id"], name="ledger_period_change_latest")],
                "constraints": [
                    models.CheckConstraint(
                        name="ledger_period_change_allowed",
                        condition=Q(
                            Q(from_status="open", to_status="soft_closed"),
                            Q(from_status="open", to_status="closed"),
                            Q(from_status="soft_closed", to_status="closed"),
                            Q(from_status="soft_closed", to_status="open"),
                            Q(from_status="closed", to_status="open"),
                            _connector=Q.OR,
                        ),
                    ),
                    models.CheckConstraint(
                        name="ledger_period_change_approved",
                        condition=Q(to_status="open", approval_id__isnull=False)
                        | (~Q(to_status="open") & Q(approval_id__isnull=True)),
                    ),
                    models.CheckConstraint(
                        name="ledger_period_change_reason", condition=~Q(to_status="open") | ~Q(reason="")
                    ),
                    models.CheckConstraint(name="ledger_period_change_actor", condition=~Q(actor_id="")),
                ],
            },
        ),
        migrations.CreateModel(
            name="Seal",
            fields=[
                ("seq", models.BigIntegerField(primary_key=True, serialize=False)),
                ("form_version", models.PositiveSmallIntegerField()),
                ("system_identifier", models.BigIntegerField()),
                ("from_xid", ledger.models.columns.Xid8Field()),
                ("to_xid", ledger.models.columns.Xid8Field()),
                ("catches_up_to", models.BigIntegerField(null=True)),
                ("entries", ledger.models.columns.Int8MultirangeField()),
                ("changes", ledger.models.columns.Int8MultirangeField()),
                ("entry_count", models.IntegerField()),
                ("line_count", models.IntegerField()),
                ("draw_count", models.IntegerField()),
                ("change_count", models.IntegerField()),
                ("leaves", models.BinaryField()),
                ("merkle_root", models.CharField(max_length=64)),
                ("previous_hash", models.CharField(max_length=64)),
                ("hash", models.CharField(max_length=64, unique=True)),
                ("sealed_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_seal",
                "indexes": [models.Index(fields=["sealed_at"], name="ledger_seal_sealed_at")],
            },
        ),
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0005_periods_and_seals.sql").read_text(),
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
