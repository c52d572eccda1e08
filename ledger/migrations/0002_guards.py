from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0001_initial")]

    operations = [
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0002_guards.sql").read_text(), reverse_sql=migrations.RunSQL.noop
        ),
    ]
