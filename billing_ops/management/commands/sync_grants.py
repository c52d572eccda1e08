"""``manage.py sync_grants``: give the application role exactly what each model declares. Runs after every migrate."""

import re
from typing import Any

from django.apps import apps
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

APP_ROLE = "billing_app"
DEFAULT_PRIVILEGES = "SELECT, INSERT, UPDATE, DELETE"

_PRIVILEGE = r"(SELECT|INSERT|UPDATE|DELETE)(\s*\([a-z0-9_]+(\s*,\s*[a-z0-9_]+)*\))?"
_PRIVILEGES = re.compile(rf"{_PRIVILEGE}(\s*,\s*{_PRIVILEGE})*")


def declared_privileges() -> dict[str, str]:
    """What the application role may do to each table of a model: ``{"ledger_entry": "SELECT, INSERT", …}``.

    A model says it with ``app_privileges: ClassVar[str]``; an empty string grants nothing. TRUNCATE, REFERENCES and
    TRIGGER cannot be declared at all. Raises :class:`CommandError` for anything else.
    """
    declared: dict[str, str] = {}
    for model in apps.get_models(include_auto_created=True):
        if model._meta.proxy or model._meta.swapped:
            continue
        privileges: str = getattr(model, "app_privileges", DEFAULT_PRIVILEGES)
        if privileges and not _PRIVILEGES.fullmatch(privileges):
            raise CommandError(f"{model._meta.label}.app_privileges is not a list of privileges: {privileges!r}")
        declared[model._meta.db_table] = privileges
    return declared


class Command(BaseCommand):
    help = "Give the application's database role what each model declares, and nothing else. Run it as the owner."

    def handle(self, *args: Any, **options: Any) -> None:
        declared = declared_privileges()
        declared["django_migrations"] = "SELECT"
        quote = connection.ops.quote_name
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing_ops.sync_grants'))")
            present = set(connection.introspection.table_names(cursor, include_views=True))
            for table in sorted(declared.keys() & present):
                cursor.execute(f"REVOKE ALL ON TABLE {quote(table)} FROM {APP_ROLE}, PUBLIC")
                if declared[table]:
                    cursor.execute(f"GRANT {declared[table]} ON TABLE {quote(table)} TO {APP_ROLE}")
            cursor.execute(f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {APP_ROLE}")
        if int(options["verbosity"]) > 1:
            self.stdout.write(f"{len(declared.keys() & present)} tables granted to {APP_ROLE}.")
