"""Daily roll-ups of accounts and codes."""

from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import ledger.models.columns


def _key(to: str, **more: object) -> models.ForeignKey:
    return models.ForeignKey(
        db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, to=to, **more
    )


def _sums() -> list[tuple[str, models.Field]]:
    return [
        ("effective_on", models.DateField()),
        ("recorded_on", models.DateField()),
        ("debits", models.DecimalField(decimal_places=12, max_digits=34)),
        ("credits", models.DecimalField(decimal_places=12, max_digits=34)),
        ("lines", models.BigIntegerField()),
    ]


def _by(*names: str) -> tuple[str, models.CompositePrimaryKey]:
    key = models.CompositePrimaryKey(
        *names, "effective_on", "recorded_on", blank=True, editable=False, primary_key=True, serialize=False
    )
    return "pk", key


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_entry_transactions")]

    operations = [
        migrations.CreateModel(
            name="AccountDay",
            fields=[_by("account_id"), ("account", _key("ledger.account")), *_sums()],
            options={"db_table": "ledger_account_day"},
        ),
        migrations.CreateModel(
            name="CodeDay",
            fields=[
                _by("unit_id", "code_id"),
                ("unit", _key("ledger.unit", db_column="unit")),
                ("code", _key("ledger.accountcode", db_column="code")),
                *_sums(),
            ],
            options={"db_table": "ledger_code_day"},
        ),
        migrations.CreateModel(
            name="RollupState",
            fields=[
                ("id", models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ("system_identifier", models.BigIntegerField()),
                ("horizon", ledger.models.columns.Xid8Field()),
                ("adopted", models.TextField(default="{}")),
                ("adopted_until", models.BigIntegerField(default=0)),
                ("rolled_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "ledger_rollup_state",
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="ledger_rollup_one_state")],
            },
        ),
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0006_rollups.sql").read_text(), reverse_sql=migrations.RunSQL.noop
        ),
    ]
