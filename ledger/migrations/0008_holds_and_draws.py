"""Holds, draws outside of invoices, and what is given back."""

import uuid
from pathlib import Path

import django.db.models.deletion
from django.db import migrations, models

import ledger.models.columns


class Migration(migrations.Migration):
    dependencies = [
        ("ledger", "0007_limits"),
    ]

    operations = [
        migrations.CreateModel(
            name="CreditReturn",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("idempotency_key", models.CharField(max_length=200)),
                ("amount", models.DecimalField(decimal_places=12, max_digits=28)),
                ("overage", models.DecimalField(decimal_places=12, default=0, max_digits=28)),
                ("overage_money", models.DecimalField(decimal_places=12, default=0, max_digits=28)),
                ("reason_code", models.CharField(max_length=60)),
                ("reason_note", models.TextField(blank=True, default="")),
                ("ticket", models.CharField(blank=True, default="", max_length=120)),
                ("actor_type", models.CharField(max_length=8)),
                ("actor_id", models.CharField(max_length=120)),
                ("returned_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(db_default=ledger.models.columns.ClockTimestamp())),
                (
                    "draw",
                    models.ForeignKey(
                        db_constraint=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.creditdraw"
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(
                        db_constraint=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.entry"
                    ),
                ),
                (
                    "wallet",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="ledger.creditwallet",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_credit_return",
            },
        ),
        migrations.CreateModel(
            name="CreditReturnAllocation",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "given_id", "grant_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=12, max_digits=28)),
                (
                    "given",
                    models.ForeignKey(
                        db_column="return_id",
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="ledger.creditreturn",
                    ),
                ),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.creditgrant"
                    ),
                ),
            ],
            options={
                "db_table": "ledger_credit_return_allocation",
            },
        ),
        migrations.CreateModel(
            name="Hold",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, unique=True)),
                ("idempotency_key", models.CharField(max_length=200)),
                ("feature", models.CharField(blank=True, default="", max_length=100)),
                ("usage_ref", models.CharField(blank=True, default="", max_length=200)),
                ("asked", models.DecimalField(decimal_places=12, max_digits=28)),
                ("amount", models.DecimalField(decimal_places=12, max_digits=28)),
                ("policy", models.CharField(max_length=8)),
                ("used_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("actor_type", models.CharField(max_length=8)),
                ("actor_id", models.CharField(max_length=120)),
                ("created_xid", ledger.models.columns.Xid8Field(db_default=ledger.models.columns.CurrentXid())),
                ("recorded_at", models.DateTimeField(db_default=ledger.models.columns.ClockTimestamp())),
                (
                    "wallet",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="ledger.creditwallet",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_hold",
            },
        ),
        migrations.CreateModel(
            name="HoldAllocation",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "hold_id", "grant_id", blank=True, editable=False, primary_key=True, serialize=False
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=12, max_digits=28)),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.creditgrant"
                    ),
                ),
                (
                    "hold",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="ledger.hold",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_hold_allocation",
            },
        ),
        migrations.RemoveConstraint(
            model_name="creditdraw",
            name="ledger_draw_outcome",
        ),
        migrations.AddField(
            model_name="creditdraw",
            name="available",
            field=models.DecimalField(decimal_places=12, max_digits=28, null=True),
        ),
        migrations.AddField(
            model_name="creditdraw",
            name="overage",
            field=models.DecimalField(decimal_places=12, max_digits=28, null=True),
        ),
        migrations.AddField(
            model_name="creditdraw",
            name="overage_currency",
            field=models.CharField(blank=True, db_default="", default="", max_length=3),
        ),
        migrations.AddField(
            model_name="creditdraw",
            name="policy",
            field=models.CharField(blank=True, db_default="", default="", max_length=8),
        ),
        migrations.AddField(
            model_name="creditdraw",
            name="usage_ref",
            field=models.CharField(blank=True, db_default="", default="", max_length=200),
        ),
        migrations.AlterField(
            model_name="creditdraw",
            name="entry",
            field=models.ForeignKey(
                db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, to="ledger.entry"
            ),
        ),
        migrations.AlterField(
            model_name="creditdraw",
            name="outcome",
            field=models.CharField(
                choices=[
                    ("accepted", "accepted"),
                    ("partial", "partial"),
                    ("refused", "refused"),
                    ("overage", "overage"),
                ],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="creditdraw",
            name="wallet",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to="ledger.creditwallet",
            ),
        ),
        migrations.AlterField(
            model_name="creditdrawallocation",
            name="draw",
            field=models.ForeignKey(
                db_constraint=False, db_index=False, on_delete=django.db.models.deletion.PROTECT, to="ledger.creditdraw"
            ),
        ),
        migrations.AlterField(
            model_name="creditdrawallocation",
            name="grant",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                to="ledger.creditgrant",
            ),
        ),
        migrations.AddIndex(
            model_name="creditdraw",
            index=models.Index(
                condition=models.Q(("policy", ""), _negated=True), fields=["wallet", "id"], name="ledger_draw_wallet"
            ),
        ),
        migrations.AddIndex(
            model_name="creditdraw",
            index=models.Index(
                condition=models.Q(("usage_ref", ""), _negated=True),
                fields=["usage_ref", "id"],
                name="ledger_draw_usage",
            ),
        ),
        migrations.AddIndex(
            model_name="creditdrawallocation",
            index=models.Index(fields=["grant", "draw"], name="ledger_allocation_grant"),
        ),
        migrations.AddConstraint(
            model_name="creditdraw",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("entry__isnull", False), ("outcome", "accepted"), ("shortfall", 0)),
                    models.Q(
                        ("entry__isnull", False),
                        ("outcome", "partial"),
                        ("shortfall__gt", 0),
                        ("shortfall__lt", models.F("amount")),
                    ),
                    models.Q(
                        ("entry__isnull", False),
                        ("outcome", "overage"),
                        ("overage__isnull", False),
                        ("shortfall__gt", 0),
                        ("shortfall__lte", models.F("amount")),
                    ),
                    models.Q(("entry__isnull", True), ("outcome", "refused"), ("shortfall", models.F("amount"))),
                    _connector="OR",
                ),
                name="ledger_draw_outcomes",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditdraw",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("overage__isnull", True), ("overage_currency", "")),
                    models.Q(
                        ("outcome", "overage"), ("overage__gt", 0), models.Q(("overage_currency", ""), _negated=True)
                    ),
                    _connector="OR",
                ),
                name="ledger_draw_overage",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditdraw",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("policy", ""),
                    models.Q(("policy__in", ["all", "partial", "overage"]), ("ref", "")),
                    _connector="OR",
                ),
                name="ledger_draw_policy",
            ),
        ),
        migrations.CreateModel(
            name="HoldResolution",
            fields=[
                (
                    "hold",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="ledger.hold",
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[("settled", "settled"), ("released", "released"), ("lapsed", "lapsed")], max_length=8
                    ),
                ),
                ("amount", models.DecimalField(decimal_places=12, max_digits=28)),
                ("actor_type", models.CharField(max_length=8)),
                ("actor_id", models.CharField(max_length=120)),
                ("resolved_at", models.DateTimeField()),
                ("recorded_at", models.DateTimeField(db_default=ledger.models.columns.ClockTimestamp())),
                (
                    "draw",
                    models.OneToOneField(
                        db_constraint=False,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="ledger.creditdraw",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_hold_resolution",
            },
        ),
        migrations.CreateModel(
            name="OpenHold",
            fields=[
                (
                    "hold",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        serialize=False,
                        to="ledger.hold",
                    ),
                ),
                ("expires_at", models.DateTimeField()),
                (
                    "wallet",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        to="ledger.creditwallet",
                    ),
                ),
            ],
            options={
                "db_table": "ledger_hold_open",
            },
        ),
        migrations.AddConstraint(
            model_name="creditreturn",
            constraint=models.UniqueConstraint(fields=("wallet", "idempotency_key"), name="ledger_return_one_per_key"),
        ),
        migrations.AddConstraint(
            model_name="creditreturn",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount__gt", 0),
                    ("overage__gte", 0),
                    ("overage__lte", models.F("amount")),
                    ("overage_money__gte", 0),
                ),
                name="ledger_return_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="creditreturn",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason_code", ""), _negated=True), name="ledger_return_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="creditreturnallocation",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="ledger_return_allocation_positive"
            ),
        ),
        migrations.AddIndex(
            model_name="hold",
            index=models.Index(fields=["wallet", "id"], name="ledger_hold_wallet"),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.UniqueConstraint(fields=("wallet", "idempotency_key"), name="ledger_hold_one_per_key"),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0), ("asked__gte", models.F("amount"))), name="ledger_hold_amount"
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(("policy__in", ["all", "partial"])), name="ledger_hold_policy"
            ),
        ),
        migrations.AddConstraint(
            model_name="hold",
            constraint=models.CheckConstraint(
                condition=models.Q(("expires_at__gt", models.F("used_at"))), name="ledger_hold_window"
            ),
        ),
        migrations.AddConstraint(
            model_name="holdallocation",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0)), name="ledger_hold_allocation_positive"
            ),
        ),
        migrations.AddConstraint(
            model_name="holdresolution",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("draw__isnull", False), ("kind", "settled")),
                    models.Q(("amount", 0), ("draw__isnull", True), ("kind", "settled")),
                    models.Q(("amount", 0), ("draw__isnull", True), ("kind__in", ["released", "lapsed"])),
                    _connector="OR",
                ),
                name="ledger_hold_resolution_kind",
            ),
        ),
        migrations.AddIndex(
            model_name="openhold",
            index=models.Index(fields=["wallet", "expires_at"], name="ledger_hold_open_wallet"),
        ),
        migrations.AddIndex(
            model_name="openhold",
            index=models.Index(fields=["expires_at"], name="ledger_hold_open_due"),
        ),
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0008_holds_and_draws.sql").read_text(),
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
