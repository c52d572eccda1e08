"""``manage.py export_seals``: the head of the chain of seals, to be kept outside."""

import argparse
import json
from datetime import date
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from ledger import sealing


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a day such as 2025-01-31") from None


class Command(BaseCommand):
    help = (
        "Print the head of the chain of seals, or that at the end of a day of the book, as one line of JSON. Its "
        "hash stands for every entry sealed before: keep it where the administrators of the database cannot write, and "
        "give it to verify_ledger --expect-head."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--day", type=_day, help="the head at the end of that day (default: the last one)")

    def handle(self, *args: Any, **options: Any) -> None:
        head = sealing.head(day=options["day"])
        if head is None:
            raise CommandError("Nothing was sealed by then.")
        self.stdout.write(
            json.dumps(
                {
                    "seal": head.seq,
                    "hash": head.hash,
                    "merkle_root": head.merkle_root,
                    "sealed_at": head.sealed_at.isoformat(),
                    "entries": head.entries,
                    "system_identifier": str(head.system_identifier),
                }
            )
        )
