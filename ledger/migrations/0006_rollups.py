"""Daily roll-ups of accounts."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0005_periods_and_seals")]

    operations: list[migrations.operations.base.Operation] = []
