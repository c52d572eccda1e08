"""Migrations: complete, and safe to run beside the code of the release before."""

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django_migration_linter import MigrationLinter

OURS = ("billing_ops", "metering", "ledger", "plans", "invoicing")

# What the linter cannot know, with the reason. (Its own mark inside a migration would make it a production dependency.)
SAFE = {
    ("metering", "0002_events"): "makes the partitioned tables in the same release as the app: no code uses them yet",
    ("ledger", "0002_guards"): "its NOT NULL stands in an unlogged table that it makes itself",
    ("ledger", "0008_holds_and_draws"): "its tables are new; what it indexes anew, draws of invoices, is small yet",
    ("ledger", "0009_grants_whole"): "indexes credit grants, which are few, by columns that no old one has a value in",
    ("ledger", "0006_entry_transactions"): "builds an index concurrently, which the linter would do in a transaction",
}


@pytest.mark.django_db
def test_no_model_change_lacks_its_migration() -> None:
    call_command("makemigrations", "--check", "--dry-run", verbosity=1)


@pytest.mark.django_db
@pytest.mark.parametrize("app", OURS)
def test_no_migration_would_stop_the_release_before(app: str) -> None:
    """Renaming, dropping or tightening what the running code still uses takes two releases."""
    names = [name for label, name in MigrationLoader(connection).disk_migrations if label == app]
    safe = [name for label, name in SAFE if label == app]
    assert set(safe) <= set(names), "an exception for a migration that is gone"
    linter = MigrationLinter(include_apps=[app], ignore_name=safe, no_cache=True)
    linter.lint_all_migrations()
    assert linter.nb_total - linter.nb_ignored == len(names) - len(safe)
    assert not linter.has_errors, "what is wrong stands in the output"
