"""``manage.py create_api_key``: a new API key, printed once."""

from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_ops.kit import clock
from billing_ops.kit.actor import system
from billing_ops.kit.errors import BillingError
from billing_ops.kit.http import issuing
from billing_ops.kit.http.scopes import SCOPES


class Command(BaseCommand):
    help = "Create an API key. It is printed once, alone on standard output, and cannot be shown again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="what the key is for, e.g. “usage collector”")
        parser.add_argument(
            "--scope",
            action="append",
            default=[],
            dest="scopes",
            metavar="SCOPE",
            help=f"may be repeated; “all” gives every scope. One of: {', '.join(SCOPES)}",
        )
        parser.add_argument("--expires-in-days", type=int, metavar="DAYS", help="without it the key does not expire")

    def handle(self, *args: Any, **options: Any) -> None:
        at = clock.now()
        days: int | None = options["expires_in_days"]
        scopes: list[str] = list(SCOPES) if options["scopes"] == ["all"] else options["scopes"]
        try:
            issued = issuing.issue(
                name=options["name"],
                scopes=scopes,
                at=at,
                actor=system("create_api_key"),
                expires_at=None if days is None else at + timedelta(days=days),
            )
        except BillingError as error:
            raise CommandError(str(error)) from None
        self.stderr.write(
            f"API key “{issued.row.name}” with {len(issued.row.scopes)} scopes, "
            f"{f'valid until {issued.row.expires_at:%Y-%m-%d %H:%M} UTC' if days is not None else 'without an end'}. "
            "Keep it now: it is not shown again."
        )
        self.stdout.write(issued.text)
