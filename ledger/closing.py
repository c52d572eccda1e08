"""Close a period of the books, softly or for good, and reopen the latest one.

Each change of a period waits for the postings in flight and is a row of its history, which the database checks again.
Lock order: the book's periods, the period, then what postings lock.
"""

from datetime import datetime
from zoneinfo import ZoneInfo

from django.db import IntegrityError, connection, transaction

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError, Conflict, InvalidInput
from billing_ops.models import Approval
from ledger.models import Period, PeriodChange
from ledger.rules.lifecycle import Status

REOPEN = "period.reopen"
"""The kind of approval that reopens a period; its subject names the period."""


class PeriodStillRuns(Conflict):
    """A period is closed after its last day, in the zone of its book."""

    code = "ledger.period_still_runs"


class PeriodOutOfOrder(Conflict):
    """Periods are closed from the first to the last, and reopened from the last."""

    code = "ledger.period_out_of_order"


class PeriodIsClosed(Conflict):
    """A closed period is not soft-closed: it would take entries again."""

    code = "ledger.period_is_closed"
    remedy = "Ask for an approval to reopen it."


class PeriodIsOpen(Conflict):
    """Only what is closed or soft-closed is reopened."""

    code = "ledger.period_is_open"


class ReopenNotApproved(BillingError):
    """A period is reopened by another person's approval of exactly that, in the transaction that gives it."""

    code = "ledger.reopen_not_approved"
    http_status = 403
    remedy = "Ask for an approval; somebody else gives it."


def soft_close(*, period: Period, at: datetime, actor: Actor, note: str = "") -> Period:
    """Let only adjustments into a period whose days have passed: kinds of entry that adjust, by a person with a reason.

    Soft-closing it again changes nothing. Raises :class:`PeriodStillRuns` or :class:`PeriodIsClosed`.
    """
    with transaction.atomic():
        status = hold(period)
        if status == "closed":
            raise PeriodIsClosed(f"The period {_name(period)} is closed.")
        if status == "open":
            _refuse_unless_over(period, at)
            _change(period, status, "soft_closed", at=at, actor=actor, note=note)
    period.refresh_from_db()
    return period


def close(*, period: Period, at: datetime, actor: Actor, note: str = "") -> Period:
    """Close a period whose days have passed; closing a closed one changes nothing.

    Raises :class:`PeriodStillRuns`, and :class:`PeriodOutOfOrder` while an earlier period is not closed.
    """
    with transaction.atomic():
        status = hold(period)
        if status != "closed":
            _refuse_unless_over(period, at)
            _refuse_unless_first(period)
            _change(period, status, "closed", at=at, actor=actor, note=note)
    period.refresh_from_db()
    return period


def reopen(*, period: Period, approval: Approval, reason: str, at: datetime, actor: Actor, note: str = "") -> Period:
    """Open the latest closed period again, or a soft-closed one after it, by an approval of kind :data:`REOPEN`.

    It runs where the approval is given: ``ledger.reopening`` is what an approval executes. Raises
    :class:`ReopenNotApproved`, :class:`PeriodIsOpen` or :class:`PeriodOutOfOrder`.
    """
    if not reason:
        raise InvalidInput("Say why the period is reopened.", field="reason")
    with transaction.atomic():
        status = hold(period)
        refuse_unless_reopenable(period, status)
        if approval.kind != REOPEN or approval.subject.get("period") != period.pk or approval.status != "approved":
            raise ReopenNotApproved(f"This approval does not reopen the period {_name(period)}.")
        try:
            with transaction.atomic():
                _change(period, status, "open", at=at, actor=actor, reason=reason, note=note, approval=approval)
        except IntegrityError as error:
            raise ReopenNotApproved("The approval is not in force: it was used, or not given just now.") from error
    period.refresh_from_db()
    return period


def hold(period: Period) -> Status:
    """Wait for the postings into a period and keep others out until the transaction ends; its status."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_hold_period(%s)", [period.pk])
        status: Status = cursor.fetchone()[0]
        return status


def refuse_unless_reopenable(period: Period, status: str) -> None:
    """Raise :class:`PeriodIsOpen` or :class:`PeriodOutOfOrder` for a period that nobody may reopen now."""
    if status == "open":
        raise PeriodIsOpen(f"The period {_name(period)} is open.")
    later = Period.objects.filter(book=period.book_id, starts_on__gt=period.starts_on, status="closed")
    latest = later.order_by("-starts_on").first()
    if latest is not None:
        raise PeriodOutOfOrder(
            f"The period {_name(latest)} is closed after it.", remedy="Only the latest closed period is reopened."
        )


def _refuse_unless_over(period: Period, at: datetime) -> None:
    if at.astimezone(ZoneInfo(period.book.timezone)).date() < period.ends_before:
        raise PeriodStillRuns(
            f"The period {_name(period)} is not over.", remedy=f"Close it from {period.ends_before} on."
        )


def _refuse_unless_first(period: Period) -> None:
    earlier = Period.objects.filter(book=period.book_id, starts_on__lt=period.starts_on).exclude(status="closed")
    first = earlier.order_by("starts_on").first()
    if first is not None:
        raise PeriodOutOfOrder(f"The period {_name(first)} is not closed.", remedy="Close it first.")


_ACTS = {
    "soft_closed": ("period.soft_closed", "The books soft-closed"),
    "closed": ("period.closed", "The books closed"),
    "open": ("period.reopened", "The books reopened"),
}


def _change(
    period: Period,
    before: Status,
    after: Status,
    *,
    at: datetime,
    actor: Actor,
    reason: str = "",
    note: str = "",
    approval: Approval | None = None,
) -> None:
    PeriodChange.objects.create(
        period=period,
        from_status=before,
        to_status=after,
        at=at,
        actor_type=actor.type,
        actor_id=actor.id,
        actor_label=actor.label,
        reason=reason,
        note=note,
        approval_id=approval.pk if approval else None,
    )
    action, done = _ACTS[after]
    audit.record(
        at=at,
        actor=actor,
        action=action,
        subject_type="period",
        subject_key=f"{period.book_id}:{period.starts_on}",
        summary=f"{done} from {period.starts_on} to before {period.ends_before}",
        reason=reason,
        note=note,
        changes={"status": [before, after]},
    )


def _name(period: Period) -> str:
    return f"from {period.starts_on} to before {period.ends_before}"
