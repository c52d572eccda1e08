"""Give credit; use it through ``apply`` and ``quote``. Taking it back and letting it expire: ``voiding``.

Everyone who changes a customer's credits in a unit locks the wallet first (after the period, before the balances). What
remains of a grant is the stored balance of its own account, so a floor of zero is all that an over-draw needs to fail.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Unpack
from uuid import uuid4

from django.db import IntegrityError, transaction

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import InvalidInput
from billing_ops.models import Approval
from ledger import balances, drawing, issuing, journal, limiting, opening, posting, units
from ledger.balances import CustomerBalances
from ledger.drawing import Applied, apply, lines_of, quote, uses_of
from ledger.holders import HolderCheck
from ledger.issuing import GrantDiffers, Issue
from ledger.journal import JournalLine
from ledger.models import CreditGrant
from ledger.rules import movements
from ledger.rules.burndown import Need
from ledger.rules.limits import NO_AUTHORITY, Authority
from ledger.rules.terms import GIVEN, Asked, Terms, check, terms_of
from ledger.rules.worth import PromoPolicy, account_of, is_own

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
    key: str,
    actor: Actor,
    at: datetime,
    promo_policy: PromoPolicy = "memo",
    authority: Authority = NO_AUTHORITY,
    approval: Approval | None = None,
    holder_check: HolderCheck | None = None,
    **asked: Unpack[Asked],
) -> CreditGrant:
    """Give a customer credit and post it, in one transaction.

    ``holder_check`` is asked first, in that transaction, whether the customer may hold that unit: edges pass
    ``holders.check``; the ledger itself knows no customers.

    A person or an API key gives on ``authority``, within the limits of its roles, or by an ``approval`` that is being
    given (``ledger.approved``). The same key and terms return the grant that is there. ``promo_policy`` is the
    company's: the edge reads it (``policies.promo()``). Raises :class:`GrantDiffers`, :class:`PaidCreditIsBought`,
    ``InvalidTerms``, ``units.NoRate``, ``limiting.AboveLimit``, and as ``posting.post``.
    """
    terms = terms_of(asked)
    _check_given(terms, at)
    return _issue(
        terms,
        key=key,
        at=at,
        actor=actor,
        movement=movements.CREDIT_GRANTED,
        promo_policy=promo_policy,
        authority=authority,
        approval=approval,
        holder_check=holder_check,
    )


def preview(*, actor: Actor, at: datetime, promo_policy: PromoPolicy = "memo", **asked: Unpack[Asked]) -> GrantPreview:
    """What :func:`grant` would write, without writing. Refuses what it would refuse of the terms."""
    terms = terms_of(asked)
    _check_given(terms, at)
    worth = units.worth_of(terms, at=at, promo_policy=promo_policy)
    before = balances.of(customer_key=terms.customer_key, unit=terms.unit)
    code = _code(terms, promo_policy)
    return GrantPreview(
        terms=terms,
        effective_at=terms.effective_at or at,
        lines=journal.lines_of(issuing.lines_for(terms, movements.CREDIT_GRANTED, code, worth, THIS_GRANT)),
        before=before,
        after=before.with_credit(kind=terms.kind, amount=terms.amount),
    )


def carry_over(
    *,
    key: str,
    actor: Actor,
    at: datetime,
    promo_policy: PromoPolicy = "memo",
    cost: Decimal | None = None,
    **asked: Unpack[Asked],
) -> CreditGrant:
    """Bring over credit from another system, paid credit too, as an opening balance. As :func:`grant`.

    ``cost``: what was paid for a quantity of a company's own unit, if not its worth at the present rate.
    """
    terms = terms_of(asked)
    check(terms, at=at)
    return _issue(
        terms,
        key=key,
        at=at,
        actor=actor,
        movement=movements.OPENING_BALANCE,
        promo_policy=promo_policy,
        cost=cost,
    )


def _check_given(terms: Terms, at: datetime) -> None:
    if terms.kind not in GIVEN:
        raise PaidCreditIsBought(
            f"Credit of kind “{terms.kind}” is not given.",
            remedy=f"Give {', '.join(GIVEN[:-1])} or {GIVEN[-1]}.",
            field="kind",
        )
    check(terms, at=at)


def _code(terms: Terms, promo_policy: PromoPolicy) -> str:
    return account_of(terms.kind, own=is_own(terms.unit), expensed=promo_policy == "expense_on_grant")


def _issue(
    terms: Terms,
    *,
    key: str,
    at: datetime,
    actor: Actor,
    movement: str,
    promo_policy: PromoPolicy,
    cost: Decimal | None = None,
    authority: Authority = NO_AUTHORITY,
    approval: Approval | None = None,
    holder_check: HolderCheck | None = None,
) -> CreditGrant:
    limited = movement == movements.CREDIT_GRANTED and approval is None and limiting.limited(actor)
    try:
        with transaction.atomic():
            if holder_check is not None:
                holder_check(customer_key=terms.customer_key, unit=terms.unit)
            posting.enter_period(effective_at=at)
            opening.register_units({terms.unit})
            if limited:
                limiting.lock_agent(actor)
            wallet = drawing.lock_wallet(terms.customer_key, terms.unit)
            earlier = issuing.earlier(terms, key)
            if earlier is not None:
                return earlier
            role = limiting.enforce(terms=terms, actor=actor, authority=authority, at=at) if limited else ""
            worth = units.worth_of(terms, at=at, promo_policy=promo_policy, cost=cost)
            issue = Issue(terms, uuid4(), key, _code(terms, promo_policy), worth)
            approval_id = approval.pk if approval else None
            lines = issuing.lines_for(terms, movement, issue.code, worth, str(issue.public_id))
            issuing.post(issue, movement=movement, lines=lines, at=at, actor=actor, approval_id=approval_id)
            made = issuing.record(issue, at=at, actor=actor, wallet=wallet, approval_id=approval_id)
            if limited:
                limiting.remember(grant=made, role=role)
            action, done = _ACTS[movement]
            issuing.leave_trail(made, action=action, done=done, at=at, actor=actor)
            return made
    except (IntegrityError, posting.EntryDiffers):
        # The same key was used for another customer at the same moment: name what differs.
        earlier = issuing.earlier(terms, key)
        if earlier is None:
            raise
        return earlier
