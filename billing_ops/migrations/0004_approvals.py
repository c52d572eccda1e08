import uuid
from pathlib import Path

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("billing_ops", "0003_sign_in_tries"),
    ]

    operations = [
        migrations.CreateModel(
            name="Approval",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ("key", models.CharField(max_length=200, unique=True)),
                ("kind", models.CharField(max_length=40)),
                ("subject", models.JSONField()),
                ("content_hash", models.CharField(max_length=64)),
                ("customer_key", models.CharField(blank=True, max_length=200)),
                ("summary", models.CharField(max_length=300)),
                ("why", models.CharField(blank=True, max_length=300)),
                (
                    "flags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=32), blank=True, default=list, size=None
                    ),
                ),
                ("requested_by_type", models.CharField(max_length=8)),
                ("requested_by_id", models.CharField(max_length=150)),
                ("requested_by_label", models.CharField(blank=True, max_length=200)),
                ("reason_code", models.CharField(max_length=64)),
                ("ticket", models.CharField(blank=True, max_length=120)),
                ("note", models.TextField(blank=True, max_length=2000)),
                ("requested_at", models.DateTimeField()),
                ("expires_at", models.DateTimeField()),
                ("status", models.CharField(default="pending", max_length=10)),
                ("decided_by_type", models.CharField(blank=True, max_length=8)),
                ("decided_by_id", models.CharField(blank=True, max_length=150)),
                ("decided_by_label", models.CharField(blank=True, max_length=200)),
                ("decided_at", models.DateTimeField(blank=True, null=True)),
                ("decision_note", models.TextField(blank=True, max_length=2000)),
                ("used_at", models.DateTimeField(blank=True, null=True)),
                ("used_for", models.CharField(blank=True, max_length=200)),
                (
                    "replaces",
                    models.OneToOneField(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="replaced_by",
                        to="billing_ops.approval",
                    ),
                ),
            ],
            options={
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["status", "-id"], name="approval_queue"),
                    models.Index(fields=["customer_key", "-id"], name="approval_customer"),
                    models.Index(fields=["requested_by_id", "-id"], name="approval_requester"),
                    models.Index(condition=models.Q(("status", "pending")), fields=["expires_at"], name="approval_due"),
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            ("status__in", ["pending", "approved", "rejected", "withdrawn", "expired", "void"])
                        ),
                        name="approval_status",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("decided_at__isnull", True), ("decided_by_id", ""), ("status", "pending")),
                            models.Q(
                                ("decided_at__isnull", False),
                                ("status__in", ["approved", "rejected"]),
                                models.Q(("decided_by_id", ""), _negated=True),
                            ),
                            models.Q(
                                ("decided_at__isnull", False),
                                ("decided_by_id", ""),
                                ("status__in", ["withdrawn", "expired", "void"]),
                            ),
                            _connector="OR",
                        ),
                        name="approval_decided",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("expires_at__gt", models.F("requested_at")),
                            models.Q(
                                models.Q(("status", "approved"), _negated=True),
                                ("decided_at__lt", models.F("expires_at")),
                                _connector="OR",
                            ),
                            models.Q(
                                models.Q(("status", "expired"), _negated=True),
                                ("decided_at__gte", models.F("expires_at")),
                                _connector="OR",
                            ),
                        ),
                        name="approval_in_time",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("requested_by_id", ""), _negated=True),
                            models.Q(("reason_code", ""), _negated=True),
                        ),
                        name="approval_gives_reason",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("used_at__isnull", True), ("used_for", "")),
                            models.Q(
                                ("status", "approved"),
                                ("used_at__isnull", False),
                                models.Q(("used_for", ""), _negated=True),
                            ),
                            _connector="OR",
                        ),
                        name="approval_used",
                    ),
                ],
            },
        ),
        migrations.RunSQL(Path(__file__).with_suffix(".sql").read_text(), migrations.RunSQL.noop),
    ]
