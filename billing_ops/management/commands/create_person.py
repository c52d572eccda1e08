"""``manage.py create_person``: a login for somebody who works at the desk, with one of its roles."""

import getpass
import sys
from typing import Any

from django.contrib.auth.models import Group, User
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

from billing_ops.console.roles import ROLES
from billing_ops.kit import clock
from billing_ops.kit.actor import system
from billing_ops.kit.audit import record


class Command(BaseCommand):
    help = "Create a login for the console, or give an existing one another role. The password is asked for."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--role", required=True, choices=sorted(ROLES))
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input instead of asking"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        username, role = options["username"], options["role"]
        password = _password(from_stdin=options["password_stdin"])
        candidate = User(username=username, email=options["email"])
        try:
            validate_password(password, candidate)
            candidate.clean_fields(exclude=["password"])
        except ValidationError as error:
            raise CommandError(" ".join(error.messages)) from None
        with transaction.atomic():
            person, created = User.objects.get_or_create(
                username=username, defaults={"email": options["email"], "is_staff": True}
            )
            person.is_staff = True
            person.set_password(password)
            person.save()
            person.groups.set([Group.objects.get(name=role)])
            record(
                at=clock.now(),
                actor=system("create_person"),
                action="person.created" if created else "person.changed",
                subject_type="user",
                subject_key=username,
                summary=f"{username} works as {role}",
            )
        self.stdout.write(f"{username} can log in and works as {role}.")


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("Password (at least 12 characters): ")
    if first != getpass.getpass("Again: "):
        raise CommandError("The two passwords differ. Nothing was changed.")
    return first
