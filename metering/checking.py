"""Compare the buckets with the raw events that they cache, and rebuild those that differ.

Buckets are what bills are read from, and the application may write them, for it folds. So what somebody wrote past the
aggregator, or a mistake of the aggregator, is found here, by counting the events again.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import connection, transaction

from billing_ops.kit import failing
from billing_ops.kit.errors import BillingError
from billing_ops.kit.periods import Period
from billing_ops.models import FailedWork
from metering.aggregating import FOLD_LOCK
from metering.models import MeterProgress
from metering.sql import statement

TASK = "metering.check"
"""The task under which differences are kept as failed work; a check that finds them gone clears them."""

CHECKED = timedelta(days=35)
"""So far back the nightly check counts again: a month's bill is made of such hours."""

_STEP = timedelta(days=1)
_SHOWN = 100


class BucketDiffers(BillingError):
    """A bucket does not hold what its events amount to."""

    code = "metering.bucket_differs"
    http_status = 500
    remedy = "Find out who wrote it, then rebuild it: manage.py check_usage --rebuild."


@dataclass(frozen=True, slots=True)
class Difference:
    """A bucket, the quantity that it states, and what its events amount to."""

    meter_id: int
    subject: str
    hour_start: datetime
    stored: Decimal
    quantity: Decimal
    events: int
    missing: int
    not_numeric: int

    def __str__(self) -> str:
        return f"{self.meter_id} {self.hour_start:%Y-%m-%dT%H} {self.subject}"


def differences(*, period: Period, limit: int | None = _SHOWN) -> list[Difference]:
    """Buckets of a period that differ from their events, up to ``limit``; a cut hour is looked at whole.

    It reads every event of the period, a day at a time: run it where nobody waits.
    """
    found: list[Difference] = []
    for start, end in _days(period):
        with connection.cursor() as cursor:
            left = None if limit is None else limit - len(found)
            cursor.execute(statement("bucket_differences"), {"start": start, "end": end, "limit": left})
            found += [Difference(*row) for row in cursor.fetchall()]
        if limit is not None and len(found) >= limit:
            break
    return found


def check(*, at: datetime) -> int:
    """Note each bucket of the last :data:`CHECKED` that differs as failed work, clear those that do not any more.

    Returns how many differ, counting at most a hundred.
    """
    found = differences(period=Period(at - CHECKED, at + _STEP))
    subjects = {str(one)[:128]: one for one in found}
    for subject, one in subjects.items():
        error = BucketDiffers(f"The bucket says {one.stored:f}, its events {one.quantity:f} ({one.events} counted).")
        failing.note(task=TASK, subject=subject, error=error, at=at, customer_key=one.subject[:128])
    if len(found) < _SHOWN:
        FailedWork.objects.filter(task=TASK).exclude(subject__in=subjects).delete()
    return len(found)


def rebuild(*, period: Period) -> list[Difference]:
    """Write the buckets of a period that differ from their events; what differed. Folding waits, a day at a time."""
    written: list[Difference] = []
    for start, end in _days(period):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [FOLD_LOCK])
            # A meter that catches up holds its row, and not that lock.
            list(MeterProgress.objects.select_for_update().filter(caught_up_at=None).order_by("meter_id"))
            cursor.execute(statement("bucket_differences"), {"start": start, "end": end, "limit": None})
            found = [Difference(*row) for row in cursor.fetchall()]
            cursor.executemany(statement("set_bucket"), [_row(one) for one in found])
            written += found
    return written


def _row(one: Difference) -> dict[str, int | str | datetime | Decimal]:
    return {
        "meter": one.meter_id,
        "subject": one.subject,
        "hour_start": one.hour_start,
        "quantity": one.quantity,
        "events": one.events,
        "missing": one.missing,
        "not_numeric": one.not_numeric,
    }


def _days(period: Period) -> Iterator[tuple[datetime, datetime]]:
    """The whole hours that a period touches, in steps of a day."""
    start = period.start.replace(minute=0, second=0, microsecond=0)
    while start < period.end:
        yield start, start + _STEP
        start += _STEP
