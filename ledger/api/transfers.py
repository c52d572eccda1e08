"""Transfers of credit between customers, over HTTP: a key asks, a person in the console approves."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints

from billing_ops.kit import clock
from billing_ops.kit.errors import NotFound
from billing_ops.kit.http import AmountOut, AmountText, ApiRequest, ApiRouter, Body, InstantOut, Key, Out, idempotency
from billing_ops.models import Approval
from ledger import transferring
from ledger.api.fields import Reason, Text, UnitCode, quantity_of

router = ApiRouter(tags=["Credits"])


class TransferNotFound(NotFound):
    """No transfer has that id."""

    code = "transfer.not_found"


class TransferIn(Body):
    """What is to go from one customer to another: of chosen credits, or in the burn order."""

    from_customer: Key
    to_customer: Key
    unit: UnitCode
    amount: AmountText
    credits: list[UUID] = Field(default=[], max_length=100, description="Take it from these only; empty: any.")
    reason_code: Reason
    ticket: Text = ""
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


class PartOut(Out):
    """So much of one credit, and the id of the credit that it becomes."""

    credit: UUID
    amount: AmountOut
    becomes: UUID


class TransferOut(Out):
    """A transfer that was asked for. Nothing moves before it is *approved*."""

    id: UUID
    status: str
    from_customer: str
    to_customer: str
    unit: str
    amount: AmountOut
    parts: list[PartOut]
    requested_at: InstantOut
    decided_at: InstantOut | None
    expires_at: InstantOut


@router.make("/credit-transfers", scope="credits:write", answer=TransferOut)
def ask_for_transfer(request: ApiRequest, body: TransferIn) -> TransferOut:
    """Ask for a transfer. Somebody else approves it in the console; which credits it takes is fixed now."""
    made = transferring.ask(
        amount=quantity_of(body.amount, body.unit),
        grants=body.credits,
        key=f"transfer:{idempotency.operation_key(request)}"[:200],
        actor=request.auth.actor,
        at=clock.now(),
        **body.model_dump(exclude={"amount", "credits"}),
    )
    return _out(made)


@router.read("/credit-transfers/{transfer_id}", scope="balances:read", answer=TransferOut)
def get_transfer(request: ApiRequest, transfer_id: UUID) -> TransferOut:
    """What became of a transfer."""
    found = Approval.objects.filter(public_id=transfer_id, kind=transferring.TRANSFER).first()
    if found is None:
        raise TransferNotFound(f"There is no transfer {transfer_id}.")
    return _out(found)


def _out(row: Approval) -> TransferOut:
    subject: dict[str, Any] = row.subject
    parts = [{"credit": one["grant"], "amount": one["amount"], "becomes": one["becomes"]} for one in subject["parts"]]
    return TransferOut.model_validate(
        {
            "id": row.public_id,
            "status": row.status,
            "from_customer": subject["from"],
            "to_customer": subject["to"],
            "unit": subject["unit"],
            "amount": subject["amount"],
            "parts": parts,
            "requested_at": row.requested_at,
            "decided_at": row.decided_at,
            "expires_at": row.expires_at,
        }
    )
