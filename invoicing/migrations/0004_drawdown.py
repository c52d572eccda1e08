"""Usage that is drawn from credits as it arrives: where each period stands, its steps, and their guards."""

from pathlib import Path

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("invoicing", "0003_topups"),
        ("ledger", "0009_grants_whole"),
        ("plans", "0002_guards"),
    ]

    operations = [
        migrations.CreateModel(
            name="DrawdownWork",
            fields=[
                (
                    "item",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.PROTECT,
                        primary_key=True,
                        related_name="+",
                        serialize=False,
                        to="plans.subscriptionitem",
                    ),
                ),
                ("seen_events", models.BigIntegerField()),
                ("looked_at", models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name="Drawdown",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("service_start", models.DateTimeField()),
                ("service_end", models.DateTimeField()),
                ("quantity", models.DecimalField(decimal_places=12, default=0, max_digits=38)),
                ("rated", models.DecimalField(decimal_places=12, default=0, max_digits=28)),
                ("accounted", models.DecimalField(decimal_places=12, default=0, max_digits=28)),
                ("steps", models.PositiveIntegerField(default=0)),
                ("watermark", models.BigIntegerField(default=0)),
                ("rated_at", models.DateTimeField()),
                (
                    "item",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="plans.subscriptionitem"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="UsageDraw",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("step", models.PositiveIntegerField()),
                ("quantity", models.DecimalField(decimal_places=12, max_digits=38)),
                ("cumulative_amount", models.DecimalField(decimal_places=12, max_digits=28)),
                ("amount", models.DecimalField(decimal_places=12, max_digits=28)),
                ("drawn", models.DecimalField(decimal_places=12, max_digits=28)),
                ("overage", models.DecimalField(decimal_places=12, max_digits=28)),
                ("watermark", models.BigIntegerField()),
                ("used_at", models.DateTimeField(blank=True, null=True)),
                ("drawn_at", models.DateTimeField()),
                (
                    "draw",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.creditdraw",
                    ),
                ),
                (
                    "drawdown",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="draws",
                        to="invoicing.drawdown",
                    ),
                ),
                (
                    "entry",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="ledger.entry"),
                ),
                (
                    "returned",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="ledger.creditreturn",
                    ),
                ),
            ],
        ),
        migrations.AddConstraint(
            model_name="drawdown",
            constraint=models.UniqueConstraint(fields=("item", "service_start"), name="drawdown_one_a_period"),
        ),
        migrations.AddConstraint(
            model_name="drawdown",
            constraint=models.CheckConstraint(
                condition=models.Q(("service_end__gt", models.F("service_start"))), name="drawdown_span"
            ),
        ),
        migrations.AddConstraint(
            model_name="drawdown",
            constraint=models.CheckConstraint(
                condition=models.Q(("accounted__gte", models.F("rated")), ("rated__gte", 0)),
                name="drawdown_never_draws_less",
            ),
        ),
        migrations.AddConstraint(
            model_name="usagedraw",
            constraint=models.UniqueConstraint(fields=("drawdown", "step"), name="usage_draw_step"),
        ),
        migrations.AddConstraint(
            model_name="usagedraw",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "amount",
                        django.db.models.expressions.CombinedExpression(models.F("drawn"), "+", models.F("overage")),
                    )
                ),
                name="usage_draw_adds_up",
            ),
        ),
        migrations.AddConstraint(
            model_name="usagedraw",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(
                        ("amount__gt", 0),
                        ("draw__isnull", False),
                        ("drawn__gte", 0),
                        ("overage__gte", 0),
                        ("returned__isnull", True),
                        ("used_at__isnull", False),
                    ),
                    models.Q(
                        ("amount__lt", 0),
                        ("draw__isnull", True),
                        ("drawn__lte", 0),
                        ("overage__lte", 0),
                        ("returned__isnull", False),
                        ("used_at__isnull", True),
                    ),
                    _connector="OR",
                ),
                name="usage_draw_takes_or_gives_back",
            ),
        ),
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0004_drawdown.sql").read_text(),
            "DROP FUNCTION drawdown_guard(), drawdown_explained(), usage_draw_guard(), usage_returned_by_usage(), "
            "refuse_drawn_usage() CASCADE",
        ),
    ]
