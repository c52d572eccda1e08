"""Top-ups, automatic top-ups, and overage on invoices."""

from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.contrib.postgres.operations import AddConstraintNotValid, ValidateConstraint
from django.db import migrations, models

import billing_ops.kit.fields


class Migration(migrations.Migration):
    dependencies = [("invoicing", "0002_guards"), ("ledger", "0009_grants_whole"), ("plans", "0002_guards")]

    operations = [
        migrations.CreateModel(
            name="AutoTopUp",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("unit", models.CharField(max_length=24)),
                ("currency", models.CharField(max_length=3)),
                ("enabled", models.BooleanField()),
                ("threshold", models.DecimalField(decimal_places=12, max_digits=28)),
                ("quantity", models.DecimalField(decimal_places=12, max_digits=28)),
                ("monthly_cap", billing_ops.kit.fields.AmountField(decimal_places=3, max_digits=19)),
                ("reason", models.CharField(max_length=500)),
                ("set_by_type", models.CharField(max_length=8)),
                ("set_by_id", models.CharField(max_length=150)),
                ("set_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="AutoTopUpWork",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("unit", models.CharField(max_length=24)),
                ("enabled", models.BooleanField()),
                ("seen_entry", models.BigIntegerField(default=0)),
                ("looked_at", models.DateTimeField(blank=True, null=True)),
                ("tries", models.PositiveIntegerField(default=0)),
                ("next_try_at", models.DateTimeField(blank=True, null=True)),
            ],
        ),
        migrations.CreateModel(
            name="OverageBill",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("after_version", models.BigIntegerField()),
                ("through_version", models.BigIntegerField()),
                ("cumulative", models.DecimalField(decimal_places=12, max_digits=28)),
                ("amount", models.DecimalField(decimal_places=12, max_digits=28)),
                ("billed_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="TopUp",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.CharField(max_length=32, unique=True)),
                ("idempotency_key", models.CharField(max_length=200, unique=True)),
                ("request", models.JSONField()),
                ("currency", models.CharField(max_length=3)),
                ("price", billing_ops.kit.fields.AmountField(decimal_places=3, max_digits=19)),
                ("unit", models.CharField(max_length=24)),
                ("quantity", models.DecimalField(decimal_places=12, max_digits=28)),
                ("rate", models.DecimalField(blank=True, decimal_places=12, max_digits=28, null=True)),
                ("priority", models.PositiveSmallIntegerField(default=50)),
                (
                    "scope",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=100), blank=True, default=list, size=None
                    ),
                ),
                ("valid_days", models.PositiveIntegerField(blank=True, null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[("open", "Open"), ("paid", "Paid"), ("void", "Void")], default="open", max_length=8
                    ),
                ),
                ("settled_at", models.DateTimeField(blank=True, null=True)),
                ("ordered_by_type", models.CharField(max_length=8)),
                ("ordered_by_id", models.CharField(max_length=150)),
                ("ordered_at", models.DateTimeField()),
                ("reason_code", models.CharField(max_length=60)),
                ("ticket", models.CharField(blank=True, max_length=120)),
                ("note", models.TextField(blank=True)),
            ],
            options={
                "ordering": ["-id"],
            },
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="item",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="plans.subscriptionitem",
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="kind",
            field=models.CharField(
                choices=[("advance", "In advance"), ("usage", "Usage"), ("topup", "Top-up"), ("overage", "Overage")],
                max_length=16,
            ),
        ),
        migrations.AlterField(
            model_name="invoiceline",
            name="price",
            field=models.ForeignKey(
                blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="plans.price"
            ),
        ),
        AddConstraintNotValid(
            model_name="invoiceline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("item__isnull", False), ("kind__in", ["advance", "usage"]), ("price__isnull", False)),
                    models.Q(("item__isnull", True), ("kind__in", ["topup", "overage"]), ("price__isnull", True)),
                    _connector="OR",
                ),
                name="invoice_line_comes_from",
            ),
        ),
        ValidateConstraint("invoiceline", name="invoice_line_comes_from"),
        migrations.AddField(
            model_name="autotopup",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="auto_top_ups", to="plans.customer"
            ),
        ),
        migrations.AddField(
            model_name="autotopupwork",
            name="customer",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="plans.customer"),
        ),
        migrations.AddField(
            model_name="autotopupwork",
            name="rule",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="invoicing.autotopup"
            ),
        ),
        migrations.AddField(
            model_name="overagebill",
            name="account",
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ledger.account"),
        ),
        migrations.AddField(
            model_name="overagebill",
            name="line",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="overage", to="invoicing.invoiceline"
            ),
        ),
        migrations.AddField(
            model_name="topup",
            name="customer",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="top_ups", to="plans.customer"
            ),
        ),
        migrations.AddField(
            model_name="topup",
            name="grant",
            field=models.OneToOneField(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="ledger.creditgrant",
            ),
        ),
        migrations.AddField(
            model_name="topup",
            name="invoice",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="top_up", to="invoicing.invoice"
            ),
        ),
        migrations.AddField(
            model_name="topup",
            name="rule",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="top_ups",
                to="invoicing.autotopup",
            ),
        ),
        migrations.AddField(
            model_name="topup",
            name="void_entry",
            field=models.OneToOneField(
                blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ledger.entry"
            ),
        ),
        migrations.AddIndex(
            model_name="autotopup",
            index=models.Index(fields=["customer", "unit", "-id"], name="auto_top_up_newest"),
        ),
        migrations.AddConstraint(
            model_name="autotopup",
            constraint=models.CheckConstraint(
                condition=models.Q(("monthly_cap__gte", 0), ("quantity__gt", 0), ("threshold__gte", 0)),
                name="auto_top_up_amounts",
            ),
        ),
        migrations.AddConstraint(
            model_name="autotopup",
            constraint=models.CheckConstraint(
                condition=models.Q(models.Q(("reason", ""), _negated=True), models.Q(("set_by_id", ""), _negated=True)),
                name="auto_top_up_says_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="autotopupwork",
            constraint=models.UniqueConstraint(fields=("customer", "unit"), name="auto_top_up_work_one"),
        ),
        migrations.AddConstraint(
            model_name="overagebill",
            constraint=models.UniqueConstraint(fields=("account", "after_version"), name="overage_billed_once"),
        ),
        migrations.AddConstraint(
            model_name="overagebill",
            constraint=models.CheckConstraint(
                condition=models.Q(("through_version__gt", models.F("after_version"))), name="overage_forward"
            ),
        ),
        migrations.AddIndex(
            model_name="topup",
            index=models.Index(fields=["customer", "-id"], name="top_up_customer"),
        ),
        migrations.AddConstraint(
            model_name="topup",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("grant__isnull", True),
                        ("settled_at__isnull", True),
                        ("status", "open"),
                        ("void_entry__isnull", True),
                    ),
                    models.Q(
                        ("grant__isnull", False),
                        ("settled_at__isnull", False),
                        ("status", "paid"),
                        ("void_entry__isnull", True),
                    ),
                    models.Q(
                        ("grant__isnull", True),
                        ("settled_at__isnull", False),
                        ("status", "void"),
                        ("void_entry__isnull", False),
                    ),
                    _connector="OR",
                ),
                name="top_up_status",
            ),
        ),
        migrations.AddConstraint(
            model_name="topup",
            constraint=models.CheckConstraint(
                condition=models.Q(("price__gt", 0), ("quantity__gt", 0)), name="top_up_amounts"
            ),
        ),
        migrations.AddConstraint(
            model_name="topup",
            constraint=models.UniqueConstraint(
                condition=models.Q(("rule__isnull", False), ("status", "open")),
                fields=("customer", "unit"),
                name="top_up_one_open_by_rule",
            ),
        ),
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0003_topups.sql").read_text(), reverse_sql=migrations.RunSQL.noop
        ),
    ]
