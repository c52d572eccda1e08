"""``manage.py sync_roles``: make the groups hold exactly the permissions of the roles. Runs after every migrate."""

from typing import Any

from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.base import BaseCommand, CommandError
from django.db import connection, transaction

from billing_ops.console.roles import OWN_PERMISSIONS, ROLES


class Command(BaseCommand):
    help = "Make the groups Support, Finance and Engineer hold exactly what billing_ops/console/roles.py says."

    def handle(self, *args: Any, **options: Any) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            # Two starts at once would both see no group and both make it.
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('billing_ops.sync_roles'))")
            _make_own_permissions()
            known = {
                f"{permission.content_type.app_label}.{permission.codename}": permission
                for permission in Permission.objects.select_related("content_type")
            }
            for name, wanted in ROLES.items():
                missing = sorted(wanted - known.keys())
                if missing:
                    raise CommandError(f"The role {name} names permissions that do not exist: {', '.join(missing)}.")
                group, _ = Group.objects.get_or_create(name=name)
                group.permissions.set([known[permission] for permission in wanted])
        if int(options["verbosity"]) > 1:
            self.stdout.write(f"{len(ROLES)} roles synchronised.")


def _make_own_permissions() -> None:
    for name, (model, title) in OWN_PERMISSIONS.items():
        app, codename = name.split(".")
        try:
            owner = ContentType.objects.get(app_label=app, model=model)
        except ContentType.DoesNotExist:
            raise CommandError(f"The permission {name} belongs to {app}.{model}, which is not migrated yet.") from None
        Permission.objects.update_or_create(content_type=owner, codename=codename, defaults={"name": title})
