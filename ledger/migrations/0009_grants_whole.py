"""Grants in any unit, rates of a company's own units, credit that comes again, and where a grant came from."""

import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models

import ledger.models.columns


class Migration(migrations.Migration):
    dependencies = [("ledger", "0008_holds_and_draws")]

    operations = [
        migrations.CreateModel(
            name="CreditSchedule",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("customer_key", models.CharField(max_length=200)),
                ("currency", models.CharField(blank=True, default="", max_length=3)),
                ("kind", models.CharField(max_length=12)),
                ("amount", models.DecimalField(decimal_places=12, max_digits=28)),
                ("every", models.CharField(max_length=5)),
                ("time_zone", models.CharField(max_length=64)),
                ("anchor_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("priority", models.PositiveSmallIntegerField(default=50)),
                (
                    "scope",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), blank=True, default=list, size=None
                    ),
                ),
                ("rolls_over", models.BooleanField(default=False)),
                ("rollover_min", models.DecimalField(decimal_places=12, default=0, max_digits=28)),
                ("rollover_max", models.DecimalField(blank=True, decimal_places=12, max_digits=28, null=True)),
                ("reason_code", models.CharField(max_length=60)),
                ("reason_note", models.TextField(blank=True, default="")),
                ("ticket", models.CharField(blank=True, default="", max_length=120)),
                ("idempotency_key", models.CharField(max_length=200, unique=True)),
                ("request", models.JSONField()),
                ("made_by_type", models.CharField(max_length=8)),
                ("made_by_id", models.CharField(max_length=120)),
                ("made_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(db_default=ledger.models.columns.ClockTimestamp())),
                ("ended_by", models.CharField(blank=True, default="", max_length=120)),
                ("end_reason", models.CharField(blank=True, default="", max_length=500)),
                ("next_number", models.PositiveIntegerField(default=0)),
                ("reset_number", models.PositiveIntegerField(default=0)),
                ("issue_due_at", models.DateTimeField(blank=True, null=True)),
                ("reset_due_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "ledger_credit_schedule",
            },
        ),
        migrations.CreateModel(
            name="UnitRate",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("currency", models.CharField(max_length=3)),
                ("rate", models.DecimalField(decimal_places=12, max_digits=28)),
                ("valid_from", models.DateTimeField()),
                ("set_at", models.DateTimeField()),
                ("set_by_type", models.CharField(max_length=8)),
                ("set_by_id", models.CharField(max_length=120)),
                ("reason", models.CharField(max_length=500)),
                ("recorded_at", models.DateTimeField(db_default=ledger.models.columns.ClockTimestamp())),
            ],
            options={
                "db_table": "ledger_unit_rate",
            },
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="currency",
            field=models.CharField(blank=True, db_default="", default="", max_length=3),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="from_grant",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="led_to",
                to="ledger.creditgrant",
            ),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="money_code",
            field=models.CharField(blank=True, db_default="", default="", max_length=8),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="rate",
            field=models.DecimalField(decimal_places=12, max_digits=28, null=True),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="rolls_over",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="schedule_part",
            field=models.CharField(blank=True, db_default="", default="", max_length=8),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="schedule_period",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="creditschedule",
            name="unit",
            field=models.ForeignKey(
                db_column="unit", db_index=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.unit"
            ),
        ),
        migrations.AddField(
            model_name="creditgrant",
            name="schedule",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="grants",
                to="ledger.creditschedule",
            ),
        ),
        AddConstraintNotValid(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("currency", ""), ("money_code", ""), ("rate__isnull", True)),
                    models.Q(
                        ("cost_basis__isnull", True),
                        ("money_code", ""),
                        ("rate__gt", 0),
                        models.Q(("currency", ""), _negated=True),
                    ),
                    models.Q(
                        ("cost_basis__gte", 0),
                        ("cost_basis__isnull", False),
                        ("money_code__in", ["2005", "2015", "2025"]),
                        ("rate__gt", 0),
                        models.Q(("currency", ""), _negated=True),
                    ),
                    _connector="OR",
                ),
                name="ledger_grant_worth",
            ),
        ),
        ValidateConstraint("creditgrant", name="ledger_grant_worth"),
        AddConstraintNotValid(
            model_name="creditgrant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("rolls_over", False),
                        ("schedule__isnull", True),
                        ("schedule_part", ""),
                        ("schedule_period__isnull", True),
                    ),
                    models.Q(
                        ("schedule__isnull", False),
                        ("schedule_part__in", ["base", "rolled", "minimum"]),
                        ("schedule_period__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="ledger_grant_schedule",
            ),
        ),
        ValidateConstraint("creditgrant", name="ledger_grant_schedule"),
        migrations.AddConstraint(
            model_name="creditgrant",
            constraint=models.UniqueConstraint(
                condition=models.Q(("schedule_part__in", ["base", "minimum"])),
                fields=("schedule", "schedule_period", "schedule_part"),
                name="ledger_grant_once_a_period",
            ),
        ),
        migrations.AddField(
            model_name="unitrate",
            name="unit",
            field=models.ForeignKey(
                db_column="unit",
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="rates",
                to="ledger.unit",
            ),
        ),
        migrations.AddIndex(
            model_name="creditschedule",
            index=models.Index(fields=["customer_key", "-id"], name="ledger_schedule_customer"),
        ),
        migrations.AddIndex(
            model_name="creditschedule",
            index=models.Index(
                condition=models.Q(("issue_due_at__isnull", False)),
                fields=["issue_due_at"],
                name="ledger_schedule_issue",
            ),
        ),
        migrations.AddIndex(
            model_name="creditschedule",
            index=models.Index(
                condition=models.Q(("reset_due_at__isnull", False)),
                fields=["reset_due_at"],
                name="ledger_schedule_reset",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditschedule",
            constraint=models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="ledger_schedule_amount"),
        ),
        migrations.AddConstraint(
            model_name="creditschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("every__in", ["day", "week", "month", "year"])), name="ledger_schedule_every"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("kind__in", ["promotional", "goodwill", "included"])), name="ledger_schedule_kind"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(("priority__lte", 100)), name="ledger_schedule_priority"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("rollover_max__isnull", True), ("rollover_min", 0), ("rolls_over", False)),
                    models.Q(
                        ("rollover_min__gte", 0),
                        ("rolls_over", True),
                        models.Q(
                            ("rollover_max__isnull", True),
                            models.Q(("rollover_max__gt", 0), ("rollover_max__gte", models.F("rollover_min"))),
                            _connector="OR",
                        ),
                    ),
                    _connector="OR",
                ),
                name="ledger_schedule_rollover",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditschedule",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("reason_code", ""), _negated=True), models.Q(("made_by_id", ""), _negated=True)
                ),
                name="ledger_schedule_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="unitrate",
            constraint=models.UniqueConstraint(
                fields=("unit", "currency", "valid_from"), name="ledger_unit_rate_one_from"
            ),
        ),
        migrations.AddConstraint(
            model_name="unitrate",
            constraint=models.CheckConstraint(condition=models.Q(("rate__gt", 0)), name="ledger_unit_rate_positive"),
        ),
        migrations.AddConstraint(
            model_name="unitrate",
            constraint=models.CheckConstraint(
                condition=models.Q(("valid_from__gte", models.F("set_at"))), name="ledger_unit_rate_not_backdated"
            ),
        ),
        migrations.AddConstraint(
            model_name="unitrate",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("set_by_id", ""), _negated=True), models.Q(("reason", ""), _negated=True)),
                name="ledger_unit_rate_says_why",
            ),
        ),
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0009_grants_whole.sql").read_text(), reverse_sql=migrations.RunSQL.noop
        ),
    ]
