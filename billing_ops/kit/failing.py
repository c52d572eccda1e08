"""Work that failed stays visible and is tried again: the row is the memory, not the broker.

An unattended loop does one unit a transaction; when a unit raises, it calls :func:`note` and goes on with the next, and
when the unit succeeds later, :func:`clear`. The wait doubles from one minute to six hours.
"""

from datetime import datetime, timedelta

from django.db import connection
from django.db.models import QuerySet

from billing_ops.kit.errors import BillingError
from billing_ops.models import FailedWork

_FIRST_WAIT = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(hours=6)


def wait_after(tries: int) -> timedelta:
    """How long to wait after that many failures: 1, 2, 4 … minutes, at most six hours."""
    doublings: int = 2 ** min(tries - 1, 20)
    return min(_FIRST_WAIT * doublings, _LONGEST_WAIT)


def note(*, task: str, subject: str, error: BaseException, at: datetime, customer_key: str = "") -> FailedWork:
    """Record that a unit failed and when it is to be tried again. Call it outside the failed transaction."""
    if connection.in_atomic_block and connection.needs_rollback:
        raise RuntimeError("note() was called inside the transaction that failed")
    code = error.code if isinstance(error, BillingError) else type(error).__name__
    message = str(error)[:2000]
    row, created = FailedWork.objects.get_or_create(
        task=task,
        subject=subject,
        defaults={
            "customer_key": customer_key,
            "code": code[:64],
            "message": message,
            "first_failed_at": at,
            "last_failed_at": at,
            "next_try_at": at + wait_after(1),
        },
    )
    if not created:
        row.tries += 1
        row.code, row.message, row.last_failed_at = code[:64], message, at
        row.next_try_at = at + wait_after(row.tries)
        row.save(update_fields=["tries", "code", "message", "last_failed_at", "next_try_at"])
    return row


def clear(*, task: str, subject: str) -> None:
    """The unit succeeded: it is no longer failing."""
    FailedWork.objects.filter(task=task, subject=subject).delete()


def resting(*, task: str, at: datetime) -> set[str]:
    """Subjects of that task which failed and are not to be tried again yet."""
    rows: QuerySet[FailedWork, str] = FailedWork.objects.filter(task=task, next_try_at__gt=at).values_list(
        "subject", flat=True
    )
    return set(rows)
