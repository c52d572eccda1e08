"""Apply credit to the needs of an invoice, and remember it as draws before the entry that posts it."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from billing_ops.kit.errors import IdempotencyMismatch, InvalidInput
from ledger import drawn, posting, wallets
from ledger.models import CreditDraw, CreditDrawAllocation, CreditWallet
from ledger.rules import movements
from ledger.rules.burndown import Need, Taken, burn
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
    code: str = ""
    """The account of the grant's quantity."""


def quote(*, customer_key: str, currency: str, needs: Sequence[Need], at: datetime) -> list[Applied]:
    """What :func:`apply` would take now, without writing or locking."""
    _check(needs)
    wallet = CreditWallet.objects.filter(customer_key=customer_key, unit=currency).first()
    if wallet is None:
        return []
    found = {source.purse.grant_id: source for source in wallets.sources([wallet.pk])}
    taken = burn(needs, [source.purse for source in found.values()], at=at)
    return [_applied(row, found, (customer_key, currency), 0) for row in taken]


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
        wallet = wallets.lock(customer_key, currency)
        earlier = list(CreditDraw.objects.filter(wallet=wallet, idempotency_key=key).exclude(ref="").order_by("pk"))
        if earlier:
            _same_needs(earlier, needs, key)
            return _remembered(earlier, needs, (customer_key, currency))
        found = {source.purse.grant_id: source for source in wallets.sources([wallet])}
        taken = burn(needs, [source.purse for source in found.values()], at=at)
        entry_id = posting.reserve_entry_id() if taken else None
        _remember(taken, needs, wallet=wallet, key=key, at=at, entry_id=entry_id)
        return [_applied(row, found, (customer_key, currency), entry_id or 0) for row in taken]


def uses_of(applied: Sequence[Applied]) -> list[CreditUse]:
    """What was applied, by grant, as ``movements.invoice_finalized(credits=…)`` takes it."""
    sums: dict[tuple[str, str, int, str], Decimal] = defaultdict(Decimal)
    for row in applied:
        sums[row.kind, row.dimension, row.entry_id, row.code] += row.amount
    return [
        CreditUse(kind, dimension, total, entry_id or None, code)
        for (kind, dimension, entry_id, code), total in sums.items()
    ]


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


def _applied(taken: Taken, found: dict[int, wallets.Source], wallet: tuple[str, str], entry_id: int) -> Applied:
    source = found[taken.grant_id]
    return Applied(
        taken.ref, taken.grant_id, taken.kind, taken.amount, source.public_id, *wallet, entry_id, source.code
    )


def _remember(
    taken: Sequence[Taken], needs: Sequence[Need], *, wallet: int, key: str, at: datetime, entry_id: int | None
) -> None:
    got: dict[str, Decimal] = defaultdict(Decimal)
    for row in taken:
        got[row.ref] += row.amount
    ids = dict(zip([need.ref for need in needs], drawn.reserve_ids(len(needs)), strict=True))
    drawn.copy_in(
        [
            drawn.draw_text(
                ids[need.ref],
                wallet,
                key=key,
                ref=need.ref,
                policy="",
                feature=need.feature,
                amount=need.amount,
                shortfall=need.amount - got[need.ref],
                outcome=_outcome(need.amount, got[need.ref]),
                used_at=(need.used_at or at).isoformat(),
                entry_id=entry_id if got[need.ref] else None,
            )
            for need in needs
        ],
        [f"{ids[row.ref]}\t{row.grant_id}\t{row.amount}\n" for row in taken],
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
    for row in (
        CreditDrawAllocation.objects.filter(draw__in=draws).select_related("grant__account").order_by("grant_id")
    ):
        draw, grant = draws[row.draw_id], row.grant
        dimension, code = str(grant.public_id), grant.account.code_id
        found.append(Applied(draw.ref, grant.pk, grant.kind, row.amount, dimension, *wallet, draw.entry_id or 0, code))
    position = {need.ref: index for index, need in enumerate(needs)}
    return sorted(found, key=lambda row: position[row.ref])
