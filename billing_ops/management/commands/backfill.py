"""``manage.py backfill``: usage from a file, however old; what was billed is looked at again by the next bill."""

import argparse
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_ops.kit import clock
from billing_ops.kit.actor import system
from metering import ingesting
from metering.rules.bodies import MAX_EVENTS

SHOWN = 20
"""So many events that were not taken are named; the file with the rest can be sent again at any time."""


class Command(BaseCommand):
    help = (
        "Bring in usage events of any age since 2000 from a file of CloudEvents, one a line. An event that was "
        "accepted before is a duplicate and counts once, so a file may be brought in again. Periods that were billed "
        "already get the difference: on the customer's next invoice, or on one of its own after the subscription ended."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", type=argparse.FileType("rb"), metavar="FILE.ndjson", help="“-” reads standard input"
        )
        parser.add_argument("--label", required=True, help="what this import is called in the list of batches")

    def handle(self, *args: Any, **options: Any) -> None:
        label: str = options["label"].strip()
        if not 0 < len(label) <= 200 or not label.isprintable():
            raise CommandError("--label: a line of text of at most 200 characters.")
        actor, count, shown, before = system("backfill"), Counter[str](), 0, 0
        for lines in _chunks(options["file"]):
            result = ingesting.backfill(events=lines, at=clock.now(), actor=actor, label=label)
            for one in result.outcomes:
                count[one.outcome] += 1
                if one.outcome in ("rejected", "conflict") and shown < SHOWN:
                    shown += 1
                    self.stderr.write(f"event {before + one.index + 1} ({one.id}): {one.code}: {one.message}")
            before += len(lines)
        said = ", ".join(f"{count[name]:,} {name}" for name in ("accepted", "duplicate", "conflict", "rejected"))
        self.stdout.write(f"{before:,} events: {said}.")
        if refused := count["rejected"] + count["conflict"]:
            raise CommandError(f"{refused:,} events were not taken; all others are stored.")


def _chunks(file: BinaryIO) -> Iterator[list[bytes]]:
    """Events in lots that one transaction takes; empty lines are no events."""
    lines = (line.strip() for line in file)
    events = (line for line in lines if line)
    while chunk := list(islice(events, MAX_EVENTS)):
        yield chunk
