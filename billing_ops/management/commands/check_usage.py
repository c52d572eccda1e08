"""``manage.py check_usage``: count events again and compare the buckets; ``--rebuild`` writes those that differ."""

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_ops.kit import clock
from billing_ops.kit.periods import Period
from metering import checking


def _day(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a day such as 2025-01-31") from None


class Command(BaseCommand):
    help = (
        "Count usage events again and compare the hourly buckets that bills are read from. It ends with an error when "
        "one differs; with --rebuild it writes what the events amount to."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=_day, help="first day, in UTC (default: 35 days ago)")
        parser.add_argument("--until", type=_day, help="day after the last one, in UTC (default: tomorrow)")
        parser.add_argument("--rebuild", action="store_true", help="write the buckets that differ")

    def handle(self, *args: Any, **options: Any) -> None:
        now = clock.now()
        since, until = options["since"] or now - checking.CHECKED, options["until"] or now + timedelta(days=1)
        if since >= until:
            raise CommandError("--until must be after --since.")
        period = Period(since, until)
        found = checking.rebuild(period=period) if options["rebuild"] else checking.differences(period=period)
        for one in found:
            self.stdout.write(f"{one}: the bucket says {one.stored:f}, its events {one.quantity:f}")
        if found and not options["rebuild"]:
            raise CommandError(f"{len(found)} buckets differ (at most 100 are listed); --rebuild writes them.")
        self.stdout.write(f"{len(found)} buckets written." if options["rebuild"] else "Every bucket is right.")
