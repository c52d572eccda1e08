"""Transfer credit from one customer to another: asked for by one person, approved by another, done in the decision.

What is transferred is fixed when it is asked for: which part of which grants, in the burn order, of chosen grants if
any are named. Terms, kind, expiry and money travel along, and each new grant names the one that it came from.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID, uuid4

from django.db import transaction

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.kit.approval_kinds import Change, Kind, Preview, PreviewLine
from billing_ops.kit.errors import Conflict, InvalidInput
from billing_ops.kit.money import plain
from billing_ops.models import Approval
from ledger import drawing, holders, issuing, journal, moving, posting, voiding
from ledger.issuing import Origin
from ledger.models import CreditGrant, CreditWallet
from ledger.moving import Move
from ledger.rules import movements
from ledger.rules.burndown import Purse, order
from ledger.rules.entries import LineSpec
from ledger.rules.worth import effective_rate

TRANSFER: Final = "credit.transfer"

_ZERO = Decimal(0)


class BadTransfer(InvalidInput):
    """A transfer that cannot be asked for; ``details["field"]`` names what is wrong."""

    code = "transfer.invalid"


class NotEnoughCredit(Conflict):
    """There is less credit to transfer than asked for."""

    code = "transfer.not_enough"


@dataclass(frozen=True, slots=True)
class Part:
    """So much of one grant, and the grant that it becomes at the other customer."""

    grant: UUID
    amount: Decimal
    becomes: UUID


def choose(
    *, customer_key: str, unit: str, amount: Decimal, at: datetime, grants: Sequence[UUID] = ()
) -> list[tuple[CreditGrant, Decimal]]:
    """Which part of which grants makes up ``amount``: in the burn order, of ``grants`` only if any are named.

    Raises :class:`NotEnoughCredit`.
    """
    rows = CreditGrant.objects.filter(customer_key=customer_key, unit=unit).select_related("account__balance")
    if grants:
        rows = rows.filter(public_id__in=grants)
    free = {row.pk: row.account.balance.net - row.account.balance.held for row in rows}
    usable = [row for row in rows if free[row.pk] > 0 and (row.expires_at is None or at < row.expires_at)]
    chosen, wanted = [], amount
    for row in sorted(usable, key=lambda one: order(_purse(one, free[one.pk]))):
        part = min(wanted, free[row.pk])
        if part > 0:
            chosen.append((row, part))
            wanted -= part
    if wanted > 0:
        raise NotEnoughCredit(f"{plain(amount - wanted)} {unit} can be transferred.", field="amount", unit=unit)
    return chosen


def lines_of(chosen: Sequence[tuple[CreditGrant, Decimal]], *, to_customer: str) -> tuple[LineSpec, ...]:
    """The lines that a transfer of those parts would post, for a preview before it is asked for."""
    lines: tuple[LineSpec, ...] = ()
    with transaction.atomic():
        for grant, amount in chosen:
            leaving = voiding.taken_out(grant, amount)
            move = moving.plan(
                leaving,
                to_customer=to_customer,
                public_id=uuid4(),
                key="",
                reason_code="preview",
                effective_at=grant.effective_at,
                expires_at=grant.expires_at,
                origin=Origin(from_grant_id=grant.pk),
            )
            lines += move.lines()
    return lines


def ask(
    *,
    from_customer: str,
    to_customer: str,
    unit: str,
    amount: Decimal,
    reason_code: str,
    key: str,
    actor: Actor,
    at: datetime,
    grants: Sequence[UUID] = (),
    flags: Sequence[str] = (),
    ticket: str = "",
    note: str = "",
) -> Approval:
    """Ask for a transfer; nothing moves before somebody else approves. The same key is the same request.

    Raises :class:`BadTransfer`, :class:`NotEnoughCredit`, ``approving.ApprovalDiffers``, and what the holder check of
    the other customer refuses.
    """
    if from_customer == to_customer:
        raise BadTransfer("A transfer goes to another customer.", field="to_customer")
    if not amount.is_finite() or amount <= 0:
        raise BadTransfer("A transfer is a positive amount.", field="amount")
    holders.check(customer_key=to_customer, unit=unit)
    earlier = Approval.objects.filter(key=key).first()
    asked = {"from": from_customer, "to": to_customer, "unit": unit, "amount": plain(amount),
             "grants": sorted(map(str, grants))}  # fmt: skip
    if earlier is not None and {name: earlier.subject.get(name) for name in asked} == asked:
        return earlier
    chosen = choose(customer_key=from_customer, unit=unit, amount=amount, at=at, grants=grants)
    parts = [{"grant": str(row.public_id), "amount": plain(part), "becomes": str(uuid4())} for row, part in chosen]
    return approving.ask(
        kind=TRANSFER,
        key=key,
        subject={**asked, "parts": parts, "reason_code": reason_code, "ticket": ticket, "note": note},
        customer_key=from_customer,
        summary=f"Transfer {plain(amount)} {unit} of credit from {from_customer} to {to_customer}"[:300],
        why="A transfer between customers needs a second person.",
        flags=flags,
        reason_code=reason_code,
        ticket=ticket,
        note=note,
        actor=actor,
        at=at,
    )


def transfer(*, approval: Approval, at: datetime, actor: Actor) -> list[CreditGrant]:
    """Do what was approved, in the transaction of the decision; the new grants. Called by the kind alone.

    Raises :class:`NotEnoughCredit` when a grant has less left than was asked for, or has expired.
    """
    subject = approval.subject
    with transaction.atomic():
        wallets = _lock(approval, at)
        moves = _moves(approval, at)
        posting.post(
            movement=movements.CREDIT_TRANSFERRED,
            key=f"{movements.CREDIT_TRANSFERRED}:{approval.public_id}",
            lines=[line for move in moves for line in move.lines()],
            at=at,
            actor=actor,
            customer_key=subject["from"],
            reason_code=subject["reason_code"],
            reason_note=subject["note"],
            ticket=subject["ticket"],
            fx_rate=_rate(moves),
            approval_id=approval.pk,
            metadata={"to": subject["to"]},
        )
        made = []
        for move in moves:
            grant = issuing.record(move.issue, at=at, actor=actor, wallet=wallets[1], approval_id=approval.pk)
            issuing.leave_trail(
                grant, action="credit.transferred", done=f"came from {subject['from']}", at=at, actor=actor
            )
            made.append(grant)
        return made


def _lock(approval: Approval, at: datetime) -> tuple[int, int]:
    """Lock both wallets in the order of their ids, after the period; the ids of the giver's and the taker's."""
    subject = approval.subject
    posting.enter_period(effective_at=at)
    owners = {
        name: CreditWallet.objects.filter(customer_key=subject[name], unit=subject["unit"])
        .values_list("pk", flat=True)
        .first()
        for name in ("from", "to")
    }
    # A wallet that is not there yet gets the highest id when it is made: it comes last.
    names = sorted(owners, key=lambda name: (owners[name] is None, owners[name] or 0))
    found = {name: drawing.lock_wallet(subject[name], subject["unit"]) for name in names}
    return found["from"], found["to"]


def _moves(approval: Approval, at: datetime) -> list[Move]:
    parts = [
        Part(UUID(one["grant"]), Decimal(one["amount"]), UUID(one["becomes"])) for one in approval.subject["parts"]
    ]
    rows = CreditGrant.objects.in_bulk([part.grant for part in parts], field_name="public_id")
    return [_move(approval, rows[part.grant], part, at) for part in parts]


def _move(approval: Approval, grant: CreditGrant, part: Part, at: datetime) -> Move:
    if voiding.taken_out(grant).amount < part.amount or (grant.expires_at is not None and at >= grant.expires_at):
        raise NotEnoughCredit(
            f"Of credit {grant.public_id} {plain(part.amount)} {grant.unit_id} are not left any more.",
            remedy="Reject it, and ask for what is there now.",
        )
    subject = approval.subject
    return moving.plan(
        voiding.taken_out(grant, part.amount),
        to_customer=subject["to"],
        public_id=part.becomes,
        key=f"transfer:{approval.public_id}:{grant.public_id}",
        reason_code=subject["reason_code"],
        effective_at=max(grant.effective_at, at),
        expires_at=grant.expires_at,
        origin=Origin(source_invoice=grant.source_invoice, from_grant_id=grant.pk),
        note=subject["note"],
        ticket=subject["ticket"],
    )


def _rate(moves: Sequence[Move]) -> Decimal | None:
    money = sum((move.leaving.money for move in moves), _ZERO)
    return effective_rate(money, sum((move.leaving.amount for move in moves), _ZERO)) if money else None


def _purse(row: CreditGrant, available: Decimal) -> Purse:
    return Purse(row.pk, row.kind, row.priority, row.effective_at, row.expires_at, tuple(row.scope), available)


def _preview(approval: Approval, at: datetime) -> Preview:
    subject = approval.subject
    with transaction.atomic():
        moves = _moves(approval, at)
    shown = journal.lines_of([line for move in moves for line in move.lines()])
    return Preview(
        lines=tuple(
            PreviewLine(line.side, line.code, line.name, line.amount, line.unit, line.customer_key, line.dimension)
            for line in shown
        ),
        changes=tuple(
            Change(
                f"{move.leaving.grant.kind.capitalize()} credit {str(move.leaving.grant.public_id)[:8]}",
                voiding.taken_out(move.leaving.grant).amount,
                voiding.taken_out(move.leaving.grant).amount - move.leaving.amount,
                subject["unit"],
            )
            for move in moves
        ),
        facts=_facts(subject),
    )


def _facts(subject: Mapping[str, Any]) -> dict[str, str]:
    return {
        "From": subject["from"],
        "To": subject["to"],
        "Amount": f"{subject['amount']} {subject['unit']}",
        "Terms": "Kind, priority, expiry and scope stay what they are.",
    }


def _locked(approval: Approval, at: datetime) -> None:
    _lock(approval, at)


def _execute(approval: Approval, at: datetime, approver: Actor) -> str:
    holders.check(customer_key=approval.subject["to"], unit=approval.subject["unit"])
    asker = Actor(approval.requested_by_type, approval.requested_by_id, approval.requested_by_label)  # type: ignore[arg-type]
    made = transfer(approval=approval, at=at, actor=asker)
    return f"credit_grant:{made[0].public_id}"


CREDIT_TRANSFER: Final = Kind(
    "Transfer of credit",
    "ledger.approve_credit",
    _preview,
    _execute,
    _locked,
    customers=lambda approval: [approval.subject["from"], approval.subject["to"]],
)
