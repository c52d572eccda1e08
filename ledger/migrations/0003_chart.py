from pathlib import Path

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("ledger", "0002_guards")]

    operations = [
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0003_chart.sql").read_text(), reverse_sql=migrations.RunSQL.noop
        ),
    ]
