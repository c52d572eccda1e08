"""Migrations: complete, and safe to run beside the code of the release before."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django_migration_linter import MigrationLinter

OURS = ("billing_ops", "metering", "ledger", "plans", "invoicing")

# What the linter cannot know, with the reason. (Its own mark inside a migration would make it a production dependency.)
SAFE = {
    "metering.0002_events": "makes the partitioned tables in the same release as the app itself: no code uses them yet",
}


@pytest.mark.django_db
def test_no_model_change_lacks_its_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=1)


@pytest.mark.django_db
def test_no_migration_would_stop_the_release_before() -> None:
    """Renaming, dropping or tightening what the running code still uses takes two releases."""
    ours = [key for key in MigrationLoader(connection).disk_migrations if key[0] in OURS]
    safe = [name.partition(".")[2] for name in SAFE]
    assert sorted(SAFE) == sorted(f"{app}.{name}" for app, name in ours if name in safe), (
        "an exception names one migration"
    )
    linter = MigrationLinter(include_apps=OURS, ignore_name=safe, no_cache=True)
    linter.lint_all_migrations()
    assert linter.nb_total == len(ours)
    assert not linter.has_errors, "what is wrong stands in the output"
