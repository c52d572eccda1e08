"""Give credit; use it through ``apply`` and ``quote``. Taking it back and letting it expire: ``voiding``.

Everyone who changes a customer's credits in a unit locks the wallet first (after the period, before the balances). What
remains of a grant is the stored balance of its own account, so a floor of zero is all that an over-draw needs to fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from django.db import IntegrityError, transaction
from moneyed import Money

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import IdempotencyMismatch, InvalidInput
from billing_ops.kit.money import plain
from billing_ops.models import Approval
from ledger import balances, drawing, journal, limiting, opening, posting
from ledger.balances import CustomerBalances
from ledger.drawing import Applied, apply, lines_of, quote, uses_of
from ledger.journal import JournalLine
from ledger.models import Account, CreditGrant
from ledger.rules import movements
from ledger.rules.burndown import Need
from ledger.rules.chart import GRANT_ACCOUNT
from ledger.rules.entries import LineSpec
from ledger.rules.limits import NO_AUTHORITY, Authority
from ledger.rules.terms import GIVEN, Kind, Terms, check, differences, scope_of

__all__ = [
    "Applied",
    "GrantDiffers",
    "GrantPreview",
    "Need",
    "PaidCreditIsBought",
    "apply",
    "carry_over",
    "grant",
    "lines_of",
    "preview",
    "quote",
    "uses_of",
]

_ACTS = {
    movements.CREDIT_GRANTED: ("credit.granted", "granted"),
    movements.OPENING_BALANCE: ("credit.carried_over", "carried over"),
}

THIS_GRANT = "(this grant)"
"""Stands in a preview for the grant that is not there yet."""


class GrantDiffers(IdempotencyMismatch):
    """A grant with this key is there and has other terms; ``details["differs"]`` names them."""

    code = "credit.grant_differs"


class PaidCreditIsBought(InvalidInput):
    """Paid credit comes from a top-up that was paid, or from an opening balance; nobody gives it."""

    code = "credit.paid_is_bought"


@dataclass(frozen=True, slots=True)
class GrantPreview:
    """What :func:`grant` would do: the terms, the journal lines it would post, the balances before and after."""

    terms: Terms
    effective_at: datetime
    lines: tuple[JournalLine, ...]
    before: CustomerBalances
    after: CustomerBalances


def grant(
    *,
    customer_key: str,
    kind: Kind,
    amount: Money,
    reason_code: str,
    actor: Actor,
    at: datetime,
    key: str,
    priority: int = 50,
    effective_at: datetime | None = None,
    expires_at: datetime | None = None,
    scope: Sequence[str] = (),
    ticket: str = "",
    note: str = "",
    authority: Authority = NO_AUTHORITY,
    approval: Approval | None = None,
) -> CreditGrant:
    """Give a customer credit and post it, in one transaction.

    A person or an API key gives on ``authority``, within the limits of its roles, or by an ``approval`` that is being
    given (``ledger.approved``). The same key and terms return the grant that is there. Raises :class:`GrantDiffers`,
    :class:`PaidCreditIsBought`, ``InvalidTerms``, ``limiting.AboveLimit``, and as ``posting.post``.
    """
    terms = Terms(
        customer_key=customer_key,
        kind=kind,
        amount=amount.amount,
        unit=amount.currency.code,
        reason_code=reason_code,
        priority=priority,
        effective_at=effective_at,
        expires_at=expires_at,
        scope=scope_of(scope),
        ticket=ticket,
        note=note,
    )
    _check_given(terms, at)
    return _issue(
        terms,
        key=key,
        at=at,
        actor=actor,
        movement=movements.CREDIT_GRANTED,
        authority=authority,
        approval=approval,
    )


def preview(
    *,
    customer_key: str,
    kind: Kind,
    amount: Money,
    reason_code: str,
    actor: Actor,
    at: datetime,
    priority: int = 50,
    effective_at: datetime | None = None,
    expires_at: datetime | None = None,
    scope: Sequence[str] = (),
    ticket: str = "",
    note: str = "",
) -> GrantPreview:
    """What :func:`grant` would write, without writing. Refuses what it would refuse of the terms."""
    terms = Terms(
        customer_key=customer_key,
        kind=kind,
        amount=amount.amount,
        unit=amount.currency.code,
        reason_code=reason_code,
        priority=priority,
        effective_at=effective_at,
        expires_at=expires_at,
        scope=scope_of(scope),
        ticket=ticket,
        note=note,
    )
    _check_given(terms, at)
    before = balances.of(customer_key=customer_key, unit=terms.unit)
    return GrantPreview(
        terms=terms,
        effective_at=terms.effective_at or at,
        lines=journal.lines_of(_issue_lines(terms, movements.CREDIT_GRANTED, THIS_GRANT)),
        before=before,
        after=before.with_credit(kind=kind, amount=terms.amount),
    )


def carry_over(
    *,
    customer_key: str,
    kind: Kind,
    amount: Money,
    reason_code: str,
    actor: Actor,
    at: datetime,
    key: str,
    priority: int = 50,
    effective_at: datetime | None = None,
    expires_at: datetime | None = None,
    scope: Sequence[str] = (),
    note: str = "",
) -> CreditGrant:
    """Bring over credit from another system, paid credit too, as an opening balance. As :func:`grant`."""
    terms = Terms(
        customer_key=customer_key,
        kind=kind,
        amount=amount.amount,
        unit=amount.currency.code,
        reason_code=reason_code,
        priority=priority,
        effective_at=effective_at,
        expires_at=expires_at,
        scope=scope_of(scope),
        note=note,
    )
    check(terms, at=at)
    return _issue(terms, key=key, at=at, actor=actor, movement=movements.OPENING_BALANCE)


def _check_given(terms: Terms, at: datetime) -> None:
    if terms.kind not in GIVEN:
        raise PaidCreditIsBought(
            f"Credit of kind “{terms.kind}” is not given.",
            remedy=f"Give {', '.join(GIVEN[:-1])} or {GIVEN[-1]}.",
            field="kind",
        )
    check(terms, at=at)


def _issue_lines(terms: Terms, movement: str, grant: str) -> tuple[LineSpec, ...]:
    if movement == movements.OPENING_BALANCE:
        return movements.opening_balance(
            code=GRANT_ACCOUNT[terms.kind],
            unit=terms.unit,
            amount=terms.amount,
            customer_key=terms.customer_key,
            dimension=grant,
        )
    return movements.credit_granted(
        kind=terms.kind, customer_key=terms.customer_key, unit=terms.unit, amount=terms.amount, grant=grant
    )


def _issue(
    terms: Terms,
    *,
    key: str,
    at: datetime,
    actor: Actor,
    movement: str,
    authority: Authority = NO_AUTHORITY,
    approval: Approval | None = None,
) -> CreditGrant:
    limited = movement == movements.CREDIT_GRANTED and approval is None and limiting.limited(actor)
    try:
        with transaction.atomic():
            posting.enter_period(effective_at=at)
            opening.register_units({terms.unit})
            if limited:
                limiting.lock_agent(actor)
            wallet = drawing.lock_wallet(terms.customer_key, terms.unit)
            earlier = _earlier(terms, key)
            if earlier is not None:
                return earlier
            role = limiting.enforce(terms=terms, actor=actor, authority=authority, at=at) if limited else ""
            public_id, approval_id = uuid4(), approval.pk if approval else None
            _post(terms, public_id, key=key, at=at, actor=actor, movement=movement, approval_id=approval_id)
            made = _record(terms, public_id, key=key, at=at, actor=actor, wallet=wallet, approval_id=approval_id)
            if limited:
                limiting.remember(grant=made, role=role)
            _audit(made, at=at, actor=actor, movement=movement)
            return made
    except (IntegrityError, posting.EntryDiffers):
        # The same key was used for another customer at the same moment: name what differs.
        earlier = _earlier(terms, key)
        if earlier is None:
            raise
        return earlier


def _earlier(terms: Terms, key: str) -> CreditGrant | None:
    found = CreditGrant.objects.filter(idempotency_key=key).first()
    if found is not None and (differs := differences(terms.request(), found.request)):
        raise GrantDiffers(
            f"The key “{key}” was used for another credit: {', '.join(differs)} differ.", differs=differs, key=key
        )
    return found


def _post(
    terms: Terms, public_id: UUID, *, key: str, at: datetime, actor: Actor, movement: str, approval_id: int | None
) -> None:
    posting.post(
        movement=movement,
        key=f"{movement}:{key}",
        lines=_issue_lines(terms, movement, str(public_id)),
        at=at,
        actor=actor,
        customer_key=terms.customer_key,
        refs={"grant": str(public_id)},
        reason_code=terms.reason_code,
        reason_note=terms.note,
        ticket=terms.ticket,
        approval_id=approval_id,
    )


def _record(
    terms: Terms, public_id: UUID, *, key: str, at: datetime, actor: Actor, wallet: int, approval_id: int | None
) -> CreditGrant:
    return CreditGrant.objects.create(
        public_id=public_id,
        wallet_id=wallet,
        account=Account.objects.get(
            customer_key=terms.customer_key, code=GRANT_ACCOUNT[terms.kind], dimension=str(public_id), unit=terms.unit
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
        reason_code=terms.reason_code,
        reason_note=terms.note,
        ticket=terms.ticket,
        requested_by_type=actor.type,
        requested_by_id=actor.id,
        approval_id=approval_id,
        idempotency_key=key,
        request=terms.request(),
        created_at=at,
    )


def _audit(made: CreditGrant, *, at: datetime, actor: Actor, movement: str) -> None:
    action, done = _ACTS[movement]
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
