"""Give credit, use it, take it back, let it expire.

Everyone who changes a customer's credits in a unit locks the wallet first (after the period, before the balances). What
remains of a grant is the stored balance of its own account, so a floor of zero is all that an over-draw needs to fail.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import uuid4

from django.db import IntegrityError, connection, transaction
from django.db.models import F
from moneyed import Money

from billing_ops.kit.actor import Actor, system
from billing_ops.kit.errors import Conflict, IdempotencyMismatch, InvalidInput
from ledger import balances, drawing, journal, opening, posting
from ledger.balances import CustomerBalances
from ledger.drawing import Applied, apply, lines_of, quote, uses_of
from ledger.journal import JournalLine
from ledger.models import Account, CreditGrant, Entry
from ledger.rules import movements
from ledger.rules.burndown import Need
from ledger.rules.chart import GRANT_ACCOUNT
from ledger.rules.entries import LineSpec
from ledger.rules.terms import GIVEN, Kind, Terms, check, differences, scope_of

__all__ = [
    "Applied",
    "GrantDiffers",
    "GrantPreview",
    "Need",
    "NothingLeft",
    "PaidCreditIsBought",
    "apply",
    "carry_over",
    "expire",
    "expire_due",
    "grant",
    "lines_of",
    "preview",
    "quote",
    "uses_of",
    "void",
]

THIS_GRANT = "(this grant)"
"""Stands in a preview for the grant that is not there yet."""


class GrantDiffers(IdempotencyMismatch):
    """A grant with this key is there and has other terms; ``details["differs"]`` names them."""

    code = "credit.grant_differs"


class PaidCreditIsBought(InvalidInput):
    """Paid credit comes from a top-up that was paid, or from an opening balance; nobody gives it."""

    code = "credit.paid_is_bought"


class NothingLeft(Conflict):
    """A grant has nothing left to void."""

    code = "credit.nothing_left"


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
) -> CreditGrant:
    """Give a customer credit and post it, in one transaction.

    The same key and terms return the grant that is there. Raises :class:`GrantDiffers`, :class:`PaidCreditIsBought`,
    ``InvalidTerms``, and as ``posting.post``.
    """
    terms = _given(customer_key, kind, amount, reason_code, priority, effective_at, expires_at, scope, ticket, note)
    check(terms, at=at)
    return _issue(terms, key, at, actor, movements.CREDIT_GRANTED)


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
    terms = _given(customer_key, kind, amount, reason_code, priority, effective_at, expires_at, scope, ticket, note)
    check(terms, at=at)
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
    """Bring over credit that a customer has in another system, paid credit too: an opening balance. As :func:`grant`."""
    terms = Terms(
        customer_key,
        kind,
        amount.amount,
        amount.currency.code,
        reason_code,
        priority,
        effective_at,
        expires_at,
        scope_of(scope),
        "",
        note,
    )
    check(terms, at=at)
    return _issue(terms, key, at, actor, movements.OPENING_BALANCE)


def void(
    *, grant: CreditGrant, reason_code: str, actor: Actor, at: datetime, key: str, note: str = "", ticket: str = ""
) -> Entry:
    """Take back what is left of a given credit. The same key returns the entry that is there.

    Raises :class:`NothingLeft`; paid credit is refunded instead (:class:`PaidCreditIsBought`).
    """
    if grant.kind == "paid":
        raise PaidCreditIsBought("Paid credit is not voided.", remedy="Refund it.", field="grant")
    entry_key = f"credit.voided:{key}"
    with transaction.atomic():
        earlier = _begin(grant, entry_key, at)
        if earlier is not None:
            if earlier.grant_ref != str(grant.public_id):
                raise GrantDiffers(f"The key “{key}” voided another grant.", differs=["grant"])
            return earlier
        left = _left(grant)
        if left <= 0:
            raise NothingLeft("Nothing is left of this credit.", grant=str(grant.public_id))
        return _take_back(
            grant,
            movements.CREDIT_VOIDED,
            movements.credit_voided(
                kind=grant.kind,
                customer_key=grant.customer_key,
                unit=grant.unit_id,
                amount=left,
                grant=str(grant.public_id),
            ),
            entry_key,
            at,
            actor,
            reason_code,
            note,
            ticket,
        )


def expire(*, grant: CreditGrant, at: datetime, actor: Actor) -> Entry | None:
    """Book what is left of a grant whose time is over, dated to its expiry; None when nothing is left.

    A later reversal can put credit back; expiring again books that too. Raises ``ValueError`` before ``expires_at``.
    """
    if grant.expires_at is None or at < grant.expires_at:
        raise ValueError(f"grant {grant.pk} has not expired")
    with transaction.atomic():
        _begin(grant, "", at)
        left, version = _left_and_version(grant)
        if left <= 0:
            return None
        return _take_back(
            grant,
            movements.CREDIT_EXPIRED,
            movements.credit_expired(
                kind=grant.kind,
                customer_key=grant.customer_key,
                unit=grant.unit_id,
                amount=left,
                grant=str(grant.public_id),
            ),
            f"credit.expired:{grant.public_id}:{version}",
            grant.expires_at,
            actor,
            "credit.expired",
            "",
            "",
        )


def expire_due(*, at: datetime, grace: timedelta, limit: int = 500) -> int:
    """Expire grants whose expiry passed at least ``grace`` ago and of which something is left; the number of entries.

    One transaction a grant; a grant that fails stops none of the others' work that is already done.
    """
    due = CreditGrant.objects.filter(expires_at__lte=at - grace).exclude(
        account__balance__debits=F("account__balance__credits") - F("account__balance__held")
    )
    found = [expire(grant=row, at=at, actor=system("expire-credits")) for row in due.order_by("expires_at")[:limit]]
    return sum(entry is not None for entry in found)


def _given(
    customer_key: str,
    kind: Kind,
    amount: Money,
    reason_code: str,
    priority: int,
    effective_at: datetime | None,
    expires_at: datetime | None,
    scope: Sequence[str],
    ticket: str,
    note: str,
) -> Terms:
    if kind not in GIVEN:
        raise PaidCreditIsBought(
            f"Credit of kind “{kind}” is not given.",
            remedy=f"Give {', '.join(GIVEN[:-1])} or {GIVEN[-1]}.",
            field="kind",
        )
    return Terms(
        customer_key,
        kind,
        amount.amount,
        amount.currency.code,
        reason_code,
        priority,
        effective_at,
        expires_at,
        scope_of(scope),
        ticket,
        note,
    )


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


def _issue(terms: Terms, key: str, at: datetime, actor: Actor, movement: str) -> CreditGrant:
    try:
        with transaction.atomic():
            posting.enter_period(effective_at=at)
            opening.register_units({terms.unit})
            wallet = drawing.lock_wallet(terms.customer_key, terms.unit)
            earlier = _earlier(terms, key)
            return earlier if earlier is not None else _write(terms, key, at, actor, movement, wallet)
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


def _write(terms: Terms, key: str, at: datetime, actor: Actor, movement: str, wallet: int) -> CreditGrant:
    public_id = uuid4()
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
    )
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
        idempotency_key=key,
        request=terms.request(),
        created_at=at,
    )


def _begin(grant: CreditGrant, entry_key: str, at: datetime) -> Entry | None:
    """Take the locks of a change to a grant, and find the entry that already made it."""
    posting.enter_period(effective_at=at)
    drawing.lock_wallet(grant.customer_key, grant.unit_id)
    return Entry.objects.filter(source="billing", idempotency_key=entry_key).first()


def _left(grant: CreditGrant) -> Decimal:
    return _left_and_version(grant)[0]


def _left_and_version(grant: CreditGrant) -> tuple[Decimal, int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT normal_side * (debits - credits) - held, version FROM ledger_lock_balances(ARRAY[%s]::bigint[])",
            [grant.account_id],
        )
        left, version = cursor.fetchone()
    return left, version


def _take_back(
    grant: CreditGrant,
    movement: str,
    lines: tuple[LineSpec, ...],
    key: str,
    at: datetime,
    actor: Actor,
    reason_code: str,
    note: str,
    ticket: str,
) -> Entry:
    return posting.post(
        movement=movement,
        key=key,
        lines=lines,
        at=at,
        actor=actor,
        customer_key=grant.customer_key,
        refs={"grant": str(grant.public_id)},
        reason_code=reason_code,
        reason_note=note,
        ticket=ticket,
        late="move",
    )
