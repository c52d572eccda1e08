"""Ask for what needs a second person, and decide it.

Each kind of approval is registered by its dotted path in ``settings.APPROVAL_KINDS``: what it would do (``preview``),
the locks it needs (``lock``) and what it does (``execute``). Approving executes: the decision, what it does and the
trail are one transaction, so an approval is never given and left lying about.

Lock order: the approval, then what its kind locks (period, agent, wallet, balances).
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.approval_kinds import Preview, kind_of
from billing_ops.kit.approvals import FLAGS, PENDING, content_hash, same_person
from billing_ops.kit.errors import BillingError, Conflict, IdempotencyMismatch, InvalidInput, NotFound
from billing_ops.models import Approval, AuditEntry


class ApprovalNotFound(NotFound):
    """There is no such approval."""

    code = "approval.not_found"


class ApprovalDiffers(IdempotencyMismatch):
    """An approval with this key asks for something else."""

    code = "approval.differs"


class AlreadyDecided(Conflict):
    """The request is not pending any more."""

    code = "approval.already_decided"
    remedy = "Ask again if it is still wanted."


class Expired(Conflict):
    """Nobody decided in time."""

    code = "approval.expired"
    remedy = "Ask again if it is still wanted."


class OwnRequest(BillingError):
    """Who asks does not decide."""

    code = "approval.own_request"
    http_status = 403
    remedy = "Somebody else who may approve decides it; you can withdraw it."


class NotYours(BillingError):
    """Only who asked withdraws or changes a request."""

    code = "approval.not_yours"
    http_status = 403


class ConflictOfInterest(BillingError):
    """Who would decide belongs to the customer."""

    code = "approval.conflict_of_interest"
    http_status = 403
    remedy = "Somebody who does not belong to the customer decides it."


class Drifted(Conflict):
    """What would be written is not what the approver saw any more."""

    code = "approval.drifted"
    remedy = "Look at it again, then decide."


def ask(
    *,
    kind: str,
    key: str,
    subject: Mapping[str, Any],
    summary: str,
    reason_code: str,
    actor: Actor,
    at: datetime,
    customer_key: str = "",
    why: str = "",
    flags: Sequence[str] = (),
    ticket: str = "",
    note: str = "",
    expires_at: datetime | None = None,
    replaces: Approval | None = None,
) -> Approval:
    """Ask for something. The same key and content is the same request; other content raises :class:`ApprovalDiffers`.

    ``subject`` is all that the kind needs to do it: text, whole numbers, lists and mappings of them. With ``replaces``
    the content of an own pending request is changed: that one becomes void. Nothing is done before somebody else
    approves.
    """
    registered = kind_of(kind)
    if unknown := set(flags) - FLAGS.keys():
        raise InvalidInput(f"There is no flag “{sorted(unknown)[0]}”.", field="flags")
    if not reason_code:
        raise InvalidInput("Say why it is asked for.", field="reason_code")
    digest = content_hash(subject)
    try:
        with transaction.atomic():
            earlier = _earlier(key, kind, digest, customer_key)
            if earlier is not None:
                return earlier
            if replaces is not None:
                _void(replaces, actor=actor, at=at)
            made = Approval.objects.create(
                key=key, kind=kind, subject=dict(subject), content_hash=digest, customer_key=customer_key,
                summary=summary[:300], why=why[:300], flags=sorted(set(flags)), requested_by_type=actor.type,
                requested_by_id=actor.id, requested_by_label=actor.label, reason_code=reason_code, ticket=ticket,
                note=note, requested_at=at, expires_at=expires_at or at + registered.lasts, replaces=replaces,
            )  # fmt: skip
            _audit(made, "requested", actor=actor, at=at, note=note)
            return made
    except IntegrityError:
        # Somebody asked under the same key at the same moment.
        found = _earlier(key, kind, digest, customer_key)
        if found is None:
            raise
        return found


def preview(*, approval: Approval, at: datetime) -> Preview:
    """What approving it would write now. Raises what the kind's act would refuse."""
    return kind_of(approval.kind).preview(approval, at)


def approve(
    *, approval_id: int, seen: str, actor: Actor, at: datetime, note: str = "", conflicts: Sequence[str] = ()
) -> Approval:
    """Approve and do it, in one transaction.

    ``seen`` is the fingerprint of the preview that the approver looked at: if it would be another now, this raises
    :class:`Drifted`. ``conflicts`` are flags of the approver towards the customer (:data:`~approvals.OWN_DOMAIN`).
    Approving again what one approved answers the same. Raises :class:`OwnRequest`, :class:`ConflictOfInterest`,
    :class:`AlreadyDecided`, :class:`Expired`, and what the kind's act refuses; then it is still pending.
    """
    with transaction.atomic():
        row = _locked(approval_id)
        if row.status == "approved" and (row.decided_by_type, row.decided_by_id) == (actor.type, actor.id):
            return row
        _refuse_unless_open(row, actor=actor, at=at)
        if conflicts:
            raise ConflictOfInterest("You belong to this customer, by your e-mail address.")
        kind = kind_of(row.kind)
        kind.lock(row, at)
        if kind.preview(row, at).fingerprint() != seen:
            raise Drifted("What would be written has changed since you looked.")
        _decide(row, "approved", actor=actor, at=at, note=note)
        led_to = kind.execute(row, at, actor)
        Approval.objects.filter(pk=row.pk, used_at=None).update(used_at=at, used_for=led_to)
        _audit(row, "approved", actor=actor, at=at, note=note)
        row.refresh_from_db()
        return row


def reject(*, approval_id: int, actor: Actor, at: datetime, note: str) -> Approval:
    """Refuse a request, saying why. Rejecting again what one rejected answers the same. Raises as :func:`approve`."""
    if not note.strip():
        raise InvalidInput("Say why it is rejected.", field="note")
    with transaction.atomic():
        row = _locked(approval_id)
        if row.status == "rejected" and (row.decided_by_type, row.decided_by_id) == (actor.type, actor.id):
            return row
        _refuse_unless_open(row, actor=actor, at=at)
        _decide(row, "rejected", actor=actor, at=at, note=note)
        _audit(row, "rejected", actor=actor, at=at, note=note)
        return row


def withdraw(*, approval_id: int, actor: Actor, at: datetime) -> Approval:
    """Take one's own request back. Twice is once. Raises :class:`NotYours`, :class:`AlreadyDecided`."""
    with transaction.atomic():
        row = _locked(approval_id)
        _refuse_unless_own(row, actor)
        if row.status != "withdrawn":
            _refuse_unless_pending(row)
            _close(row, "withdrawn", at=at)
            _audit(row, "withdrawn", actor=actor, at=at)
        return row


def expire_due(*, at: datetime, actor: Actor, limit: int = 500) -> int:
    """Close the requests that nobody decided in time; how many."""
    with transaction.atomic():
        due = Approval.objects.select_for_update(skip_locked=True).filter(status=PENDING, expires_at__lte=at)
        rows = list(due.order_by("expires_at", "id")[:limit])
        for row in rows:
            _close(row, "expired", at=at)
            _audit(row, "expired", actor=actor, at=at)
    return len(rows)


def _earlier(key: str, kind: str, digest: str, customer_key: str) -> Approval | None:
    found = Approval.objects.filter(key=key).first()
    if found is not None and (found.kind, found.content_hash, found.customer_key) != (kind, digest, customer_key):
        raise ApprovalDiffers("This was asked for before, with other content.", differs=["subject"], key=key)
    return found


def _locked(approval_id: int) -> Approval:
    row = Approval.objects.select_for_update().filter(pk=approval_id).first()
    if row is None:
        raise ApprovalNotFound(f"There is no approval {approval_id}.")
    return row


def _refuse_unless_open(row: Approval, *, actor: Actor, at: datetime) -> None:
    """It waits, its time is not over, and another person asked."""
    _refuse_unless_pending(row)
    if at >= row.expires_at:
        raise Expired(f"The request expired on {row.expires_at:%Y-%m-%d %H:%M} UTC.")
    if same_person(row.requested_by_id, actor.id):
        raise OwnRequest("You asked for this yourself.")
    if any(same_person(issuer, actor.id) for issuer in _issuers(row)):
        raise OwnRequest("A key that you issued asked for this.")


def _issuers(row: Approval) -> Sequence[str]:
    """Who made the API key that asked: the key is no other person."""
    if row.requested_by_type != "api_key":
        return []
    issued = AuditEntry.objects.filter(subject_type="api_key", subject_key=row.requested_by_id, action="api_key.issued")
    return list(issued.values_list("actor_id", flat=True))


def _refuse_unless_pending(row: Approval) -> None:
    if row.status != PENDING:
        by = f" by {row.decided_by_label or row.decided_by_id}" if row.decided_by_id else ""
        raise AlreadyDecided(f"The request was {row.status}{by} already.", status=row.status)


def _refuse_unless_own(row: Approval, actor: Actor) -> None:
    if (row.requested_by_type, row.requested_by_id) != (actor.type, actor.id):
        raise NotYours("Somebody else asked for this.")


def _void(replaces: Approval, *, actor: Actor, at: datetime) -> None:
    row = _locked(replaces.pk)
    _refuse_unless_own(row, actor)
    _refuse_unless_pending(row)
    _close(row, "void", at=at)
    _audit(row, "void", actor=actor, at=at)


def _decide(row: Approval, status: str, *, actor: Actor, at: datetime, note: str) -> None:
    _write(
        row, status=status, decided_at=at, decided_by_type=actor.type, decided_by_id=actor.id,
        decided_by_label=actor.label, decision_note=note,
    )  # fmt: skip


def _close(row: Approval, status: str, *, at: datetime) -> None:
    _write(row, status=status, decided_at=at)


def _write(row: Approval, **columns: Any) -> None:
    Approval.objects.filter(pk=row.pk).update(**columns)
    for name, value in columns.items():
        setattr(row, name, value)


def _audit(row: Approval, done: str, *, actor: Actor, at: datetime, note: str = "") -> None:
    audit.record(
        at=at,
        actor=actor,
        action=f"approval.{done}",
        subject_type="approval",
        subject_key=str(row.public_id),
        customer_key=row.customer_key[:128],
        summary=f"{row.summary}: {done}"[:300],
        reason=row.reason_code,
        ticket=row.ticket[:64],
        note=note,
        changes={} if done == "requested" else {"status": [PENDING, row.status]},
    )
