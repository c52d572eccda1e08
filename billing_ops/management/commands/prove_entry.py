"""``manage.py prove_entry``: the proof that one entry is sealed."""

import json
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_ops.kit.errors import BillingError
from ledger import sealing


class Command(BaseCommand):
    help = (
        "Print the proof that an entry is in the chain of seals, as JSON: its canonical text, the Merkle path and the "
        "seal. SHA-256 is all that is needed to check it."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("entry", type=UUID, help="the entry's public id")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(json.dumps(sealing.proof(public_id=options["entry"]), ensure_ascii=False, indent=2))
        except BillingError as error:
            raise CommandError(str(error)) from error
