"""Leaving the trail: called inside the transaction of the act it records."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from billing_ops.kit import request_id as request_ids
from billing_ops.kit.actor import Actor
from billing_ops.models import AuditEntry


def record(
    *,
    at: datetime,
    actor: Actor,
    action: str,
    subject_type: str,
    subject_key: str,
    summary: str,
    customer_key: str = "",
    reason: str = "",
    ticket: str = "",
    note: str = "",
    changes: Mapping[str, Any] | None = None,
    request_id: str = "",
) -> AuditEntry:
    """Append one audit entry. ``changes`` holds JSON values: ``{"field": [before, after]}``.

    ``request_id`` is that of the request being answered, unless another is given (work that a request asked for).
    """
    return AuditEntry.objects.create(
        at=at,
        actor_type=actor.type,
        actor_id=actor.id,
        actor_label=actor.label,
        action=action,
        subject_type=subject_type,
        subject_key=subject_key,
        customer_key=customer_key,
        summary=summary,
        reason=reason,
        ticket=ticket,
        note=note,
        changes=dict(changes or {}),
        request_id=request_id or request_ids.current(),
    )
