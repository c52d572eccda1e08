"""Ask for a closed period to be reopened, and what the approval of that does."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.kit.approval_kinds import Kind, Preview
from billing_ops.kit.errors import InvalidInput
from billing_ops.models import Approval
from ledger import closing
from ledger.models import Period


def ask(
    *, period: Period, reason: str, at: datetime, actor: Actor, key: str, note: str = "", ticket: str = ""
) -> Approval:
    """Ask for a period to be reopened; nothing happens before somebody else approves. The same key asks once.

    Raises :class:`closing.PeriodIsOpen` or :class:`closing.PeriodOutOfOrder` for what could not be reopened now.
    """
    if not reason.strip():
        raise InvalidInput("Say why the period is reopened.", field="reason")
    period = Period.objects.select_related("book").get(pk=period.pk)
    closing.refuse_unless_reopenable(period, period.status)
    return approving.ask(
        kind=closing.REOPEN,
        key=key,
        subject=_subject(period),
        summary=f"Reopen the books from {period.starts_on} to before {period.ends_before}",
        reason_code=reason,
        actor=actor,
        at=at,
        why="A closed period is reopened by two persons.",
        note=note,
        ticket=ticket,
    )


def _subject(period: Period) -> Mapping[str, Any]:
    return {"period": period.pk, "book": period.book.key, "starts_on": str(period.starts_on)}


def _period(approval: Approval) -> Period:
    return Period.objects.select_related("book").get(pk=approval.subject["period"])


def _preview(approval: Approval, at: datetime) -> Preview:
    period = _period(approval)
    closing.refuse_unless_reopenable(period, period.status)
    return Preview(
        facts={
            "Period": f"{period.starts_on} to before {period.ends_before}",
            "Now": period.get_status_display(),
            "Closed by": period.closed_by,
            "Afterwards": "open: anything dated to it is posted into it",
        }
    )


def _lock(approval: Approval, at: datetime) -> None:
    closing.hold(_period(approval))


def _execute(approval: Approval, at: datetime, actor: Actor) -> str:
    period = closing.reopen(
        period=_period(approval),
        approval=approval,
        reason=approval.reason_code,
        note=approval.note,
        at=at,
        actor=actor,
    )
    return f"period:{period.pk}"


PERIOD_REOPEN = Kind(
    title="Reopen a period",
    permission="ledger.reopen_period",
    preview=_preview,
    execute=_execute,
    lock=_lock,
)
"""The kind :data:`closing.REOPEN`, as ``settings.APPROVAL_KINDS`` names it."""
