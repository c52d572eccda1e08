"""Holds, draws outside of invoices, and what is given back."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0007_limits")]

    operations: list[migrations.operations.base.Operation] = []
