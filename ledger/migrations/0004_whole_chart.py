"""The whole chart of accounts and every kind of entry."""

from pathlib import Path

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("ledger", "0003_chart")]

    operations = [
        migrations.AddField("eventtype", "returns_credit", models.BooleanField(db_default=False)),
        migrations.AddField("eventtype", "adjusts", models.BooleanField(db_default=False)),
        migrations.AddField("eventtype", "needs_approval", models.BooleanField(db_default=False)),
        migrations.RunSQL(
            (Path(__file__).parent / "sql" / "0004_whole_chart.sql").read_text(), reverse_sql=migrations.RunSQL.noop
        ),
    ]
