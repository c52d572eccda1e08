"""Use credit: plan what pays for what, and remember it as draws before the entry that posts it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from billing_ops.kit.errors import IdempotencyMismatch, InvalidInput
from ledger import posting
from ledger.models import CreditDraw, CreditDrawAllocation, CreditWallet
from ledger.queries import statement
from ledger.rules import movements
from ledger.rules.burndown import Need, Purse, Taken, burn
from ledger.rules.entries import LineSpec
from ledger.rules.movements import CreditUse


class DrawDiffers(IdempotencyMismatch):
    """Credit was applied under this key for other needs."""

    code = "credit.draw_differs"


@dataclass(frozen=True, slots=True)
class Applied:
    """What one need takes from one grant. ``entry_id`` is reserved for the entry that will post it (0 in a quote)."""

    ref: str
    grant_id: int
    kind: str
    amount: Decimal
    dimension: str
    customer_key: str
    unit: str
    entry_id: int = 0


def lock_wallet(customer_key: str, unit: str) -> int:
    """Lock a customer's credits in one unit until the transaction ends, and return the wallet's id."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_lock_wallet(%s, %s)", [customer_key, unit])
        return int(cursor.fetchone()[0])


def quote(*, customer_key: str, currency: str, needs: Sequence[Need], at: datetime) -> list[Applied]:
    """What :func:`apply` would take now, without writing or locking."""
    _check(needs)
    wallet = CreditWallet.objects.filter(customer_key=customer_key, unit=currency).first()
    if wallet is None:
        return []
    purses, dimensions = _purses(wallet.pk)
    return [_applied(taken, dimensions, (customer_key, currency), 0) for taken in burn(needs, purses, at=at)]


def apply(
    *,
    customer_key: str,
    currency: str,
    needs: Sequence[Need],
    at: datetime,
    key: str,
    effective_at: datetime | None = None,
) -> list[Applied]:
    """Let needs take credit, in the documented order, and remember each need with what it got.

    Call it in the transaction that then posts the entry with :func:`lines_of` (or :func:`uses_of`) among its lines,
    dated ``effective_at`` (default ``at``): the draws are written under that entry's reserved id, and a transaction
    that does not post it cannot commit. The same key returns what was taken then; a need that got nothing gets
    nothing again. Raises :class:`DrawDiffers`.
    """
    _check(needs)
    with transaction.atomic():
        posting.enter_period(effective_at=effective_at or at)
        if not CreditWallet.objects.filter(customer_key=customer_key, unit=currency).exists():
            return []  # who never had credit has nothing to remember
        wallet = lock_wallet(customer_key, currency)
        earlier = list(CreditDraw.objects.filter(wallet=wallet, idempotency_key=key).order_by("pk"))
        if earlier:
            _same_needs(earlier, needs, key)
            return _remembered(earlier, needs, (customer_key, currency))
        purses, dimensions = _purses(wallet)
        taken = burn(needs, purses, at=at)
        entry_id = posting.reserve_entry_id() if taken else None
        _remember(taken, needs, wallet=wallet, key=key, at=at, entry_id=entry_id)
        return [_applied(row, dimensions, (customer_key, currency), entry_id or 0) for row in taken]


def uses_of(applied: Sequence[Applied]) -> list[CreditUse]:
    """What was applied, by grant, as ``movements.invoice_finalized(credits=…)`` takes it."""
    sums: dict[tuple[str, str, int], Decimal] = defaultdict(Decimal)
    for row in applied:
        sums[row.kind, row.dimension, row.entry_id] += row.amount
    return [CreditUse(kind, dimension, total, entry_id or None) for (kind, dimension, entry_id), total in sums.items()]


def lines_of(applied: Sequence[Applied]) -> tuple[LineSpec, ...]:
    """The journal lines of what was applied: the side that pays."""
    if not applied:
        return ()
    first = applied[0]
    return movements.credit_used(customer_key=first.customer_key, unit=first.unit, uses=uses_of(applied))


def _check(needs: Sequence[Need]) -> None:
    refs = [need.ref for need in needs]
    if len(set(refs)) != len(refs):
        raise InvalidInput("needs: the same ref stands twice.", field="needs")
    if any(need.amount <= 0 for need in needs):
        raise InvalidInput("needs: an amount is not positive.", field="needs")


def _purses(wallet_id: int) -> tuple[list[Purse], dict[int, str]]:
    """The wallet's grants of which something is available, and the dimension of each one's account."""
    with connection.cursor() as cursor:
        cursor.execute(statement("open_grants"), {"wallet": wallet_id})
        rows = cursor.fetchall()
    purses = [Purse(r[0], r[1], r[2], r[3], r[4], tuple(r[5]), r[6]) for r in rows]
    return purses, {row[0]: str(row[7]) for row in rows}


def _applied(taken: Taken, dimensions: dict[int, str], wallet: tuple[str, str], entry_id: int) -> Applied:
    return Applied(taken.ref, taken.grant_id, taken.kind, taken.amount, dimensions[taken.grant_id], *wallet, entry_id)


def _remember(
    taken: Sequence[Taken], needs: Sequence[Need], *, wallet: int, key: str, at: datetime, entry_id: int | None
) -> None:
    got: dict[str, Decimal] = defaultdict(Decimal)
    for row in taken:
        got[row.ref] += row.amount
    draws = CreditDraw.objects.bulk_create(
        CreditDraw(
            wallet_id=wallet,
            idempotency_key=key,
            ref=need.ref,
            feature=need.feature,
            amount=need.amount,
            shortfall=need.amount - got[need.ref],
            outcome=_outcome(need.amount, got[need.ref]),
            used_at=need.used_at or at,
            entry_id=entry_id if got[need.ref] else None,
        )
        for need in needs
    )
    by_ref = {draw.ref: draw.pk for draw in draws}
    CreditDrawAllocation.objects.bulk_create(
        CreditDrawAllocation(draw_id=by_ref[row.ref], grant_id=row.grant_id, amount=row.amount) for row in taken
    )


def _outcome(amount: Decimal, got: Decimal) -> str:
    if not got:
        return "refused"
    return "accepted" if got == amount else "partial"


def _same_needs(earlier: Sequence[CreditDraw], needs: Sequence[Need], key: str) -> None:
    asked = {need.ref: (need.feature, need.amount) for need in needs}
    stored = {draw.ref: (draw.feature, draw.amount) for draw in earlier}
    if asked != stored:
        refs = sorted(ref for ref in asked.keys() | stored.keys() if asked.get(ref) != stored.get(ref))
        raise DrawDiffers(
            f"Credit was applied under “{key}” for other needs: {', '.join(refs)} differ.", differs=refs, key=key
        )


def _remembered(earlier: Sequence[CreditDraw], needs: Sequence[Need], wallet: tuple[str, str]) -> list[Applied]:
    """What was taken then, in the order of the needs."""
    draws = {draw.pk: draw for draw in earlier}
    found = []
    for row in CreditDrawAllocation.objects.filter(draw__in=draws).select_related("grant").order_by("grant_id"):
        draw, grant = draws[row.draw_id], row.grant
        found.append(
            Applied(draw.ref, grant.pk, grant.kind, row.amount, str(grant.public_id), *wallet, draw.entry_id or 0)
        )
    position = {need.ref: index for index, need in enumerate(needs)}
    return sorted(found, key=lambda row: position[row.ref])
