"""Periods that are soft-closed and reopened, and the chain of seals."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0004_whole_chart")]

    operations: list[migrations.operations.base.Operation] = []
