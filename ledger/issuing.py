"""Write a grant and the entry that issues it, whatever the act: given, carried over, bought, moved, come again.

The caller holds the period and the wallet; what decides stands there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import IdempotencyMismatch
from billing_ops.kit.money import plain
from ledger import posting
from ledger.models import Account, CreditGrant, Entry
from ledger.rules import movements
from ledger.rules.entries import LineSpec
from ledger.rules.terms import Terms, differences
from ledger.rules.worth import NOTHING, Worth, effective_rate


class GrantDiffers(IdempotencyMismatch):
    """A grant with this key is there and has other terms; ``details["differs"]`` names them."""

    code = "credit.grant_differs"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a grant comes from, beside the entry that issues it."""

    source_invoice: str = ""
    from_grant_id: int | None = None
    schedule_id: int | None = None
    schedule_period: int | None = None
    schedule_part: str = ""
    rolls_over: bool = False


@dataclass(frozen=True, slots=True)
class Issue:
    """A grant to be: its terms, its account's code and worth, and what names it in the books."""

    terms: Terms
    public_id: UUID
    key: str
    code: str
    worth: Worth = NOTHING
    origin: Origin = Origin()


def earlier(terms: Terms, key: str) -> CreditGrant | None:
    """The grant that was made under this key. Raises :class:`GrantDiffers` if it has other terms."""
    found = CreditGrant.objects.filter(idempotency_key=key).first()
    if found is not None and (differs := differences(terms.request(), found.request)):
        raise GrantDiffers(
            f"The key “{key}” was used for another credit: {', '.join(differs)} differ.", differs=differs, key=key
        )
    return found


def lines_for(terms: Terms, movement: str, code: str, worth: Worth, grant: str) -> tuple[LineSpec, ...]:
    """The lines of an entry that gives credit, or brings it over (``movements.OPENING_BALANCE``)."""
    if movement == movements.OPENING_BALANCE:
        of = {"customer_key": terms.customer_key, "dimension": grant}
        lines = movements.opening_balance(code=code, unit=terms.unit, amount=terms.amount, **of)
        if worth.money_code and worth.cost:
            lines += movements.opening_balance(code=worth.money_code, unit=worth.currency, amount=worth.cost, **of)
        return lines
    beside: dict[str, Any] = {}
    if worth.money_code:
        beside = {"money": worth.cost, "currency": worth.currency, "money_code": worth.money_code}
    return movements.credit_granted(
        kind=terms.kind,
        customer_key=terms.customer_key,
        unit=terms.unit,
        amount=terms.amount,
        grant=grant,
        code=code,
        **beside,
    )


def post(
    issue: Issue,
    *,
    movement: str,
    lines: Sequence[LineSpec],
    at: datetime,
    actor: Actor,
    approval_id: int | None = None,
    effective_at: datetime | None = None,
    late: Literal["refuse", "move"] = "refuse",
) -> Entry:
    """Post the entry that issues one grant."""
    terms = issue.terms
    return posting.post(
        movement=movement,
        key=f"{movement}:{issue.key}",
        lines=lines,
        at=at,
        effective_at=effective_at,
        actor=actor,
        customer_key=terms.customer_key,
        refs={"grant": str(issue.public_id), **({"invoice": _invoice(issue)} if _invoice(issue) else {})},
        reason_code=terms.reason_code,
        reason_note=terms.note,
        ticket=terms.ticket,
        fx_rate=rate_of_entry(issue),
        approval_id=approval_id,
        late=late,
    )


def record(issue: Issue, *, at: datetime, actor: Actor, wallet: int, approval_id: int | None = None) -> CreditGrant:
    """Write the grant of an entry that is posted."""
    terms, worth, origin = issue.terms, issue.worth, issue.origin
    return CreditGrant.objects.create(
        public_id=issue.public_id,
        wallet_id=wallet,
        account=Account.objects.get(
            customer_key=terms.customer_key, code=issue.code, dimension=str(issue.public_id), unit=terms.unit
        ),
        customer_key=terms.customer_key,
        unit_id=terms.unit,
        kind=terms.kind,
        kind_rank=int(terms.kind == "paid"),
        amount=terms.amount,
        priority=terms.priority,
        effective_at=terms.effective_at or at,
        expires_at=terms.expires_at,
        scope=list(terms.scope),
        scope_rank=int(not terms.scope),
        currency=worth.currency,
        rate=worth.rate,
        cost_basis=worth.cost,
        money_code=worth.money_code,
        source_invoice=origin.source_invoice,
        from_grant_id=origin.from_grant_id,
        schedule_id=origin.schedule_id,
        schedule_period=origin.schedule_period,
        schedule_part=origin.schedule_part,
        rolls_over=origin.rolls_over,
        reason_code=terms.reason_code,
        reason_note=terms.note,
        ticket=terms.ticket,
        requested_by_type=actor.type,
        requested_by_id=actor.id,
        approval_id=approval_id,
        idempotency_key=issue.key,
        request=terms.request(),
        created_at=at,
    )


def leave_trail(made: CreditGrant, *, action: str, done: str, at: datetime, actor: Actor) -> None:
    """The audit entry of a grant: ``25 USD of goodwill credit granted``."""
    audit.record(
        at=at,
        actor=actor,
        action=action,
        subject_type="credit_grant",
        subject_key=str(made.public_id),
        customer_key=made.customer_key[:128],
        summary=f"{plain(made.amount)} {made.unit_id} of {made.kind} credit {done}",
        reason=made.reason_code,
        ticket=made.ticket[:64],
        note=made.reason_note,
    )


def rate_of_entry(issue: Issue) -> Decimal | None:
    """The rate that the entry carries: it has lines in two units if money stands beside the quantity."""
    worth = issue.worth
    return effective_rate(worth.cost, issue.terms.amount) if worth.money_code and worth.cost else None


def _invoice(issue: Issue) -> str:
    return issue.origin.source_invoice
