from typing import ClassVar

import django.contrib.postgres.fields
from django.db import migrations, models


class Migration(migrations.Migration):
    initial: ClassVar = True

    dependencies: ClassVar = []

    operations: ClassVar = [
        migrations.CreateModel(
            name="ApiKey",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=100)),
                ("prefix", models.CharField(max_length=16, unique=True)),
                ("secret_sha256", models.CharField(max_length=64)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=32), size=None),
                ),
                ("created_at", models.DateTimeField()),
                ("created_by", models.CharField(max_length=150)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "verbose_name": "API key",
                "ordering": ["name", "id"],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(("secret_sha256__regex", "^[0-9a-f]{64}$")), name="api_key_hashed"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("at", models.DateTimeField()),
                ("actor_type", models.CharField(max_length=16)),
                ("actor_id", models.CharField(max_length=150)),
                ("actor_label", models.CharField(blank=True, max_length=200)),
                ("action", models.CharField(max_length=64)),
                ("subject_type", models.CharField(max_length=64)),
                ("subject_key", models.CharField(max_length=128)),
                ("customer_key", models.CharField(blank=True, max_length=128)),
                ("summary", models.CharField(max_length=300)),
                ("reason", models.CharField(blank=True, max_length=64)),
                ("ticket", models.CharField(blank=True, max_length=64)),
                ("note", models.TextField(blank=True, max_length=2000)),
                ("changes", models.JSONField(default=dict)),
                ("request_id", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "verbose_name_plural": "audit entries",
                "ordering": ["-id"],
                "indexes": [
                    models.Index(fields=["customer_key", "-id"], name="audit_customer"),
                    models.Index(fields=["subject_type", "subject_key", "-id"], name="audit_subject"),
                ],
            },
        ),
        migrations.CreateModel(
            name="FailedWork",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("task", models.CharField(max_length=64)),
                ("subject", models.CharField(max_length=128)),
                ("customer_key", models.CharField(blank=True, max_length=128)),
                ("code", models.CharField(max_length=64)),
                ("message", models.TextField(max_length=2000)),
                ("tries", models.PositiveIntegerField(default=1)),
                ("first_failed_at", models.DateTimeField()),
                ("last_failed_at", models.DateTimeField()),
                ("next_try_at", models.DateTimeField()),
            ],
            options={
                "verbose_name_plural": "failed work",
                "ordering": ["-last_failed_at"],
                "constraints": [models.UniqueConstraint(fields=("task", "subject"), name="failed_work_once")],
            },
        ),
        migrations.CreateModel(
            name="IdempotencyRecord",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("principal", models.CharField(max_length=150)),
                ("key", models.CharField(max_length=255)),
                ("operation", models.CharField(max_length=200)),
                ("request", models.JSONField()),
                ("status", models.PositiveSmallIntegerField()),
                ("response", models.TextField()),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "constraints": [models.UniqueConstraint(fields=("principal", "key"), name="idempotency_principal_key")],
            },
        ),
    ]
