"""Custom units, recurring credit, and where a grant came from."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0008_holds_and_draws")]

    operations: list[migrations.operations.base.Operation] = []
