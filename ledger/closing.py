"""Close a period of the books: it waits for the postings in flight, and nothing is posted into it afterwards."""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import transaction

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import Conflict
from ledger.models import Period


class PeriodStillRuns(Conflict):
    """A period is closed after its last day, in the zone of its book."""

    code = "ledger.period_still_runs"


def close(*, period: Period, at: datetime, actor: Actor) -> Period:
    """Close a period whose days have passed; closing a closed one changes nothing. Raises :class:`PeriodStillRuns`.

    The row's trigger takes the period's lock exclusively, which every posting into it holds shared until it commits.
    """
    if at.astimezone(ZoneInfo(period.book.timezone)).date() < period.ends_before:
        raise PeriodStillRuns(f"The period {period} is not over.", remedy=f"Close it from {period.ends_before} on.")
    with transaction.atomic():
        closed = (
            Period.objects.filter(pk=period.pk)
            .exclude(status="closed")
            .update(status="closed", closed_at=at, closed_by=str(actor))
        )
        if closed:
            audit.record(
                at=at,
                actor=actor,
                action="period.closed",
                subject_type="period",
                subject_key=f"{period.book_id}:{period.starts_on}",
                summary=f"The books closed from {period.starts_on} to before {period.ends_before}",
            )
    period.refresh_from_db()
    return period
