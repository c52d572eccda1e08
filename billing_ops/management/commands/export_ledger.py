"""``manage.py export_ledger``: the general ledger of a range of days as CSV or Parquet, with its control totals."""

import argparse
import getpass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billing_ops.kit import clock
from billing_ops.kit.actor import system
from billing_ops.kit.errors import BillingError
from billing_ops.kit.money import plain
from ledger import exporting


def _day(text: str) -> date:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007  # a day has no zone
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not a day such as 2025-01-31") from None


def _month(text: str) -> tuple[date, date]:
    first = _day(f"{text}-01")
    return first, date(first.year + first.month // 12, first.month % 12 + 1, 1)


class Command(BaseCommand):
    help = (
        "Write the lines of the general ledger to a file, one row a line, and its control totals beside it. It ends "
        "with an error, and without a file, if the rows do not add up to the trial balance."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("path", type=Path, help="the file to write: its ending, .csv or .parquet, says the format")
        parser.add_argument("--month", type=_month, help="a month such as 2025-01")
        parser.add_argument("--since", type=_day, help="the first day that counts")
        parser.add_argument("--until", type=_day, help="the day after the last one")

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["path"]
        form = path.suffix.removeprefix(".")
        if form not in ("csv", "parquet"):
            raise CommandError("The file's name must end in .csv or .parquet.")
        since, until = options["month"] or (options["since"], options["until"])
        if since is None or until is None:
            raise CommandError("Say --month, or --since and --until.")
        if path.exists():
            raise CommandError(f"{path} is there already.")
        try:
            done = exporting.export(
                path=path,
                since=since,
                until=until,
                form="csv" if form == "csv" else "parquet",
                at=clock.now(),
                actor=system(f"export_ledger by {getpass.getuser()}"),
            )
        except BillingError as error:
            raise CommandError(str(error)) from error
        path.with_name(f"{path.name}.controls.json").write_text(done.manifest() + "\n")
        for one in done.controls:
            self.stdout.write(
                f"{one.unit:6} {one.code:6} {one.rows:10} rows  "
                f"debits {plain(one.debits):>24}  credits {plain(one.credits):>24}"
            )
        self.stdout.write(f"{done.rows} rows equal to the trial balance; sha256 {done.sha256}")
