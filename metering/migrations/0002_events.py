"""The partitioned event table, the guards of the facts, and what an event measures, in SQL."""

from pathlib import Path

from django.db import migrations

_SQL = Path(__file__).parent / "sql"


def _read(name: str) -> str:
    return (_SQL / name).read_text(encoding="utf-8")


class Migration(migrations.Migration):
    dependencies = [("metering", "0001_initial")]

    operations = [
        migrations.RunSQL(
            _read("0002_events.sql"),
            "DROP TABLE metering_event CASCADE; DROP FUNCTION metering_ensure_month",
        ),
        migrations.RunSQL(
            _read("0002_guards.sql"),
            "DROP FUNCTION metering_refuse_change CASCADE; DROP FUNCTION metering_guard_batch CASCADE; "
            "DROP FUNCTION metering_guard_meter CASCADE; DROP FUNCTION metering_guard_progress CASCADE",
        ),
        migrations.RunSQL(
            _read("0002_measures.sql"),
            "DROP VIEW metering_measured; DROP FUNCTION metering_matches; DROP FUNCTION metering_number",
        ),
    ]
