"""What a seal covers of an entry: behind the migrations that say what an entry brings along."""

from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0009_grants_whole")]

    operations = [
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0010_canonical_form.sql").read_text(),
            reverse_sql=migrations.RunSQL.noop,
        ),
    ]
