from decimal import Decimal

import django.db.models.deletion
import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("metering", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="Plan",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.SlugField(max_length=64, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["key"],
            },
        ),
        migrations.CreateModel(
            name="Customer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=128, unique=True)),
                ("name", models.CharField(max_length=200)),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("currency", models.CharField(max_length=3)),
                ("time_zone", models.CharField(default="UTC", max_length=64)),
                ("line1", models.CharField(blank=True, max_length=200)),
                ("line2", models.CharField(blank=True, max_length=200)),
                ("city", models.CharField(blank=True, max_length=100)),
                ("region", models.CharField(blank=True, max_length=100)),
                ("postal_code", models.CharField(blank=True, max_length=32)),
                ("country", models.CharField(blank=True, max_length=2)),
                ("tax_id", models.CharField(blank=True, max_length=64)),
                ("stripe_id", models.CharField(blank=True, max_length=64, null=True, unique=True)),
                ("default_payment_method", models.CharField(blank=True, max_length=64)),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "ordering": ["key"],
                "indexes": [
                    models.Index(django.db.models.functions.text.Lower("email"), name="customer_email_lower"),
                    models.Index(django.db.models.functions.text.Lower("name"), name="customer_name_lower"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="customer_currency_iso"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("key__regex", "^[A-Za-z0-9][A-Za-z0-9._:@-]*$")), name="customer_key_shape"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("country", ""), ("country__regex", "^[A-Z]{2}$"), _connector="OR"),
                        name="customer_country_iso",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("stripe_id__isnull", True), models.Q(("stripe_id", ""), _negated=True), _connector="OR"
                        ),
                        name="customer_stripe_id_or_null",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="PlanVersion",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("currency", models.CharField(max_length=3)),
                ("created_at", models.DateTimeField()),
                ("published_at", models.DateTimeField(blank=True, null=True)),
                (
                    "plan",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="versions", to="plans.plan"
                    ),
                ),
            ],
            options={
                "ordering": ["plan", "number"],
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.SlugField(max_length=64)),
                ("name", models.CharField(max_length=200)),
                ("position", models.PositiveSmallIntegerField(default=0)),
                (
                    "model",
                    models.CharField(
                        choices=[("flat", "Flat"), ("per_unit", "Per unit"), ("graduated", "Graduated")], max_length=16
                    ),
                ),
                (
                    "settlement",
                    models.CharField(
                        choices=[("arrears", "Arrears"), ("drawdown", "Drawdown")], default="arrears", max_length=16
                    ),
                ),
                ("unit_amount", models.DecimalField(blank=True, decimal_places=12, max_digits=28, null=True)),
                ("included_units", models.DecimalField(decimal_places=12, default=0, max_digits=32)),
                (
                    "meter",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="prices", to="plans.planversion"
                    ),
                ),
            ],
            options={
                "ordering": ["version", "position", "id"],
            },
        ),
        migrations.CreateModel(
            name="PriceTier",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("position", models.PositiveSmallIntegerField()),
                ("up_to", models.DecimalField(blank=True, decimal_places=12, max_digits=32, null=True)),
                ("unit_amount", models.DecimalField(decimal_places=12, max_digits=28)),
                ("flat_amount", models.DecimalField(decimal_places=12, default=0, max_digits=28)),
                (
                    "price",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="tiers", to="plans.price"
                    ),
                ),
            ],
            options={
                "ordering": ["price", "position"],
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("key", models.CharField(max_length=128, unique=True)),
                (
                    "status",
                    models.CharField(
                        choices=[("active", "Active"), ("ended", "Ended")], default="active", max_length=16
                    ),
                ),
                ("starts_at", models.DateTimeField()),
                ("anchor", models.DateTimeField()),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                ("due_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField()),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="subscriptions", to="plans.customer"
                    ),
                ),
                (
                    "version",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="subscriptions",
                        to="plans.planversion",
                    ),
                ),
            ],
            options={
                "ordering": ["customer", "id"],
            },
        ),
        migrations.CreateModel(
            name="BillingPeriod",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("number", models.PositiveIntegerField()),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField()),
                (
                    "subscription",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="periods", to="plans.subscription"
                    ),
                ),
            ],
            options={
                "ordering": ["subscription", "number"],
            },
        ),
        migrations.CreateModel(
            name="SubscriptionItem",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("quantity", models.PositiveIntegerField(default=1)),
                ("starts_at", models.DateTimeField()),
                ("ends_at", models.DateTimeField(blank=True, null=True)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="plans.customer"
                    ),
                ),
                (
                    "meter",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="metering.meter",
                    ),
                ),
                (
                    "price",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name="+", to="plans.price"),
                ),
                (
                    "subscription",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="items", to="plans.subscription"
                    ),
                ),
            ],
            options={
                "ordering": ["subscription", "price__position", "id"],
            },
        ),
        migrations.AddConstraint(
            model_name="planversion",
            constraint=models.UniqueConstraint(fields=("plan", "number"), name="plan_version_number"),
        ),
        migrations.AddConstraint(
            model_name="planversion",
            constraint=models.UniqueConstraint(
                condition=models.Q(("published_at__isnull", True)), fields=("plan",), name="plan_version_one_draft"
            ),
        ),
        migrations.AddConstraint(
            model_name="planversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency__regex", "^[A-Z]{3}$")), name="plan_version_currency_iso"
            ),
        ),
        migrations.AddConstraint(
            model_name="planversion",
            constraint=models.CheckConstraint(
                condition=models.Q(("number__gte", 1)), name="plan_version_counts_from_one"
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.UniqueConstraint(fields=("version", "key"), name="price_key_in_version"),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("model__in", ["flat", "per_unit", "graduated"])), name="price_model_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("settlement__in", ["arrears", "drawdown"])), name="price_settlement_known"
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(("model", "flat"), ("meter__isnull", False), _connector="XOR"),
                name="price_meter_iff_usage",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("model", "graduated"), ("unit_amount__isnull", True)),
                    models.Q(
                        ("model__in", ["flat", "per_unit"]),
                        ("unit_amount__gte", 0),
                        ("unit_amount__isnull", False),
                        ("unit_amount__lt", Decimal("100000000000000000000")),
                    ),
                    _connector="OR",
                ),
                name="price_unit_amount_unless_tiered",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("included_units__gte", 0),
                    ("included_units__lt", Decimal("100000000000000000000")),
                    models.Q(models.Q(("model", "flat"), _negated=True), ("included_units", 0), _connector="OR"),
                ),
                name="price_included_units",
            ),
        ),
        migrations.AddConstraint(
            model_name="price",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("model", "flat"), _negated=True), ("settlement", "arrears"), _connector="OR"
                ),
                name="price_flat_is_not_drawdown",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricetier",
            constraint=models.UniqueConstraint(fields=("price", "position"), name="price_tier_position"),
        ),
        migrations.AddConstraint(
            model_name="pricetier",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("flat_amount__gte", 0),
                    ("flat_amount__lt", Decimal("100000000000000000000")),
                    ("unit_amount__gte", 0),
                    ("unit_amount__lt", Decimal("100000000000000000000")),
                ),
                name="price_tier_not_negative",
            ),
        ),
        migrations.AddConstraint(
            model_name="pricetier",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("up_to__isnull", True),
                    models.Q(("up_to__gt", 0), ("up_to__lt", Decimal("100000000000000000000"))),
                    _connector="OR",
                ),
                name="price_tier_bound_positive",
            ),
        ),
        migrations.AddIndex(
            model_name="subscription",
            index=models.Index(
                condition=models.Q(("due_at__isnull", False)), fields=["due_at", "id"], name="subscription_due"
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__isnull", True), ("ends_at__gt", models.F("starts_at")), _connector="OR"),
                name="subscription_ends_after_start",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("due_at__isnull", False), ("status", "active")),
                    models.Q(("due_at__isnull", True), ("ends_at__isnull", False), ("status", "ended")),
                    _connector="OR",
                ),
                name="subscription_due_iff_active",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscription",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("due_at__isnull", True),
                    models.Q(("due_at__gte", models.F("starts_at")), ("ends_at__isnull", True)),
                    models.Q(("due_at__gte", models.F("starts_at")), ("due_at__lte", models.F("ends_at"))),
                    _connector="OR",
                ),
                name="subscription_due_within",
            ),
        ),
        migrations.AddConstraint(
            model_name="billingperiod",
            constraint=models.UniqueConstraint(fields=("subscription", "number"), name="billing_period_number"),
        ),
        migrations.AddConstraint(
            model_name="billingperiod",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__gt", models.F("starts_at"))), name="billing_period_span"
            ),
        ),
        migrations.AddConstraint(
            model_name="subscriptionitem",
            constraint=models.UniqueConstraint(
                condition=models.Q(("ends_at__isnull", True)),
                fields=("subscription", "price"),
                name="subscription_item_open_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscriptionitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("ends_at__isnull", True), ("ends_at__gt", models.F("starts_at")), _connector="OR"),
                name="subscription_item_span",
            ),
        ),
        migrations.AddConstraint(
            model_name="subscriptionitem",
            constraint=models.CheckConstraint(
                condition=models.Q(("quantity__gte", 1)), name="subscription_item_quantity"
            ),
        ),
    ]
