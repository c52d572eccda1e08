"""The way from a transaction to its entries: what is not sealed or rolled up yet is found by it."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    # The index is built while postings go on, which no transaction can.
    atomic = False

    dependencies = [("ledger", "0005_periods_and_seals")]

    operations = [
        AddIndexConcurrently("entry", models.Index(fields=["created_xid"], name="ledger_entry_created_xid")),
    ]
