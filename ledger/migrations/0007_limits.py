"""Limits of credit by role, what was given within them, and the approvals behind entries."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

from ledger.models.columns import ClockTimestamp


def _amount() -> models.DecimalField:
    return models.DecimalField(max_digits=28, decimal_places=12)


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_rollups"), ("billing_ops", "0004_approvals")]

    operations = [
        migrations.CreateModel(
            name="CreditLimit",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("role", models.CharField(max_length=40)),
                ("unit", models.CharField(max_length=24)),
                ("per_credit", _amount()),
                ("per_agent_day", _amount()),
                ("per_customer_30_days", _amount()),
                ("valid_from", models.DateTimeField()),
                ("set_at", models.DateTimeField()),
                ("set_by", models.CharField(max_length=150)),
                ("reason", models.CharField(max_length=500)),
                ("approval_id", models.BigIntegerField(null=True)),
                ("recorded_at", models.DateTimeField(db_default=ClockTimestamp())),
            ],
            options={
                "db_table": "ledger_credit_limit",
                "indexes": [models.Index(fields=["role", "unit", "-valid_from", "-id"], name="ledger_limit_newest")],
                "constraints": [
                    models.CheckConstraint(
                        name="ledger_limit_amounts",
                        condition=models.Q(per_credit__gte=0, per_agent_day__gte=0, per_customer_30_days__gte=0),
                    ),
                    models.CheckConstraint(
                        name="ledger_limit_not_backdated", condition=models.Q(valid_from__gte=models.F("set_at"))
                    ),
                    models.CheckConstraint(
                        name="ledger_limit_says_why", condition=~models.Q(set_by="") & ~models.Q(reason="")
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LimitUse",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "grant",
                    models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, to="ledger.creditgrant"),
                ),
                ("role", models.CharField(max_length=40)),
                ("agent_type", models.CharField(max_length=8)),
                ("agent_id", models.CharField(max_length=120)),
                ("customer_key", models.CharField(max_length=200)),
                ("unit", models.CharField(max_length=24)),
                ("amount", _amount()),
                ("given_at", models.DateTimeField()),
            ],
            options={
                "db_table": "ledger_limit_use",
                "indexes": [
                    models.Index(fields=["agent_type", "agent_id", "unit", "given_at"], name="ledger_limit_use_agent"),
                    models.Index(fields=["customer_key", "unit", "given_at"], name="ledger_limit_use_customer"),
                ],
            },
        ),
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0007_limits.sql").read_text(), reverse_sql=migrations.RunSQL.noop
        ),
    ]
