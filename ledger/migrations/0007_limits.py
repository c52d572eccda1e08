"""Limits of credit by role."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0006_rollups")]

    operations: list[migrations.operations.base.Operation] = []
