"""``manage.py prepare_database``: everything a database needs after new code arrives, in one idempotent command."""

from typing import Any

from django.conf import settings
from django.core.management import call_command, get_commands
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

_LOCK = 7_262_002  # one preparation at a time: migrations of two hosts would meet half-way


class Command(BaseCommand):
    help = "Migrate, give the application role its grants and the staff their roles. Needs BILLING_DB_ROLE=owner."

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.BILLING_DB_ROLE != "owner":
            raise CommandError(
                "This changes tables, which the application role may not. Start it with BILLING_DB_ROLE=owner and "
                "OWNER_DATABASE_URL set to a login that is a member of billing_owner. Nothing was changed."
            )
        verbosity = int(options["verbosity"])
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
            try:
                call_command("migrate", interactive=False, verbosity=verbosity)
                call_command("sync_grants", verbosity=verbosity)
                if "sync_roles" in get_commands():
                    call_command("sync_roles", verbosity=verbosity)
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
