"""Give back what was drawn for usage that was counted too high: in the reverse of the order in which it was drawn.

First what was owed as overage, then the credit that expires last. A return is a fact of its own under a key; the
database compares it with the draw and with its entry, whoever writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Literal

from django.db import connection, transaction

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import Conflict, IdempotencyMismatch, InvalidInput
from billing_ops.kit.money import plain
from ledger import drawn, posting, wallets
from ledger.draws import DrawNotFound
from ledger.models import CreditDraw, CreditReturn, CreditReturnAllocation
from ledger.queries import statement
from ledger.rules import movements
from ledger.rules.burndown import order
from ledger.rules.draws import METERED
from ledger.rules.entries import EntryDraft, too_fine
from ledger.rules.worth import money_left
from ledger.wallets import Source

_ZERO = Decimal(0)

Against = Literal["4000", "4910"]


class TooMuchReturned(Conflict):
    """More would be given back than was drawn and not given back yet."""

    code = "credit.return_too_much"


class ReturnDiffers(IdempotencyMismatch):
    """Something else was given back under this key; ``details["differs"]`` names the fields."""

    code = "credit.return_differs"


class DrawOfUsage(Conflict):
    """A draw for metered usage: what it took is what the usage costs."""

    code = "credit.draw_of_usage"
    remedy = "Take the usage back by an event with the negative quantity, or issue a goodwill credit."


@dataclass(frozen=True, slots=True)
class _Part:
    """What a draw took from one grant and has not given back."""

    source: Source
    left: Decimal


def give_back(
    *,
    draw_id: int,
    amount: Decimal,
    key: str,
    at: datetime,
    actor: Actor,
    reason_code: str,
    note: str = "",
    ticket: str = "",
    against: Against = "4000",
) -> CreditReturn:
    """Give back an amount of a draw, in the wallet's unit, and post it. The same key returns what is there.

    ``against`` is the revenue that is reduced: usage (4000), or a concession on an issued invoice (4910). What goes
    back to a grant that has expired expires again by the next run. Raises :class:`TooMuchReturned`,
    :class:`ReturnDiffers`, :class:`DrawOfUsage`, ``DrawNotFound``, and as ``posting.post``.
    """
    _check(amount, key, reason_code)
    with transaction.atomic():
        posting.enter_period(effective_at=at)
        draw = CreditDraw.objects.select_related("wallet").filter(pk=draw_id).first()
        if draw is None:
            raise DrawNotFound(f"There is no draw {draw_id}.")
        owner = (draw.wallet.customer_key, draw.wallet.unit_id)
        wallets.lock(*owner)
        earlier = CreditReturn.objects.filter(wallet=draw.wallet_id, idempotency_key=key).first()
        if earlier is not None:
            return _same(earlier, draw_id, amount, reason_code)
        if draw.idempotency_key.startswith(METERED) and not key.startswith(METERED):
            raise DrawOfUsage(f"Draw {draw_id} pays for metered usage.")
        overage, money = _overage(draw, amount)
        parts = _parts(draw_id)
        back = _share(amount - overage, parts, draw)
        made = _record(
            draw, amount, overage, money, key=key, at=at, actor=actor, reason_code=reason_code, note=note, ticket=ticket
        )
        CreditReturnAllocation.objects.bulk_create(
            CreditReturnAllocation(given=made, grant_id=part.source.purse.grant_id, amount=given)
            for part, given in back
        )
        posting.post_many([_draft(made, draw, owner, back, at=at, actor=actor, against=against)], at=at)
        return made


def _check(amount: Decimal, key: str, reason_code: str) -> None:
    if not amount.is_finite() or amount <= 0 or too_fine(amount):
        raise InvalidInput("Give back a positive amount of at most twelve decimals.", field="amount")
    if not key or len(key) > 200 or not key.isprintable():
        raise InvalidInput("A return needs a key of 1 to 200 printable characters.", field="key")
    if not reason_code:
        raise InvalidInput("A return needs a reason.", field="reason_code")


def _same(earlier: CreditReturn, draw_id: int, amount: Decimal, reason_code: str) -> CreditReturn:
    asked = {"draw": draw_id, "amount": amount, "reason_code": reason_code}
    stored = {"draw": earlier.draw_id, "amount": earlier.amount, "reason_code": earlier.reason_code}
    if differs := [name for name, value in asked.items() if stored[name] != value]:
        raise ReturnDiffers(
            f"The key “{earlier.idempotency_key}” gave something else back: {', '.join(differs)} differ.",
            differs=differs,
        )
    return earlier


def _overage(draw: CreditDraw, amount: Decimal) -> tuple[Decimal, Decimal]:
    """How much of an amount had been overage, and the money that is no longer owed for it."""
    if draw.overage is None:
        return _ZERO, _ZERO
    rows = CreditReturn.objects.filter(draw=draw).values_list("overage", flat=True)
    before = draw.shortfall - sum(rows, _ZERO)
    taken = min(before, amount)
    return taken, _owed(draw, before) - _owed(draw, before - taken)


def _owed(draw: CreditDraw, left: Decimal) -> Decimal:
    """The money owed for what is left of a draw's overage; the last of it takes the rest."""
    if not left or draw.overage is None:
        return _ZERO
    return money_left(draw.overage, draw.shortfall, left)


def _parts(draw_id: int) -> list[_Part]:
    """What a draw took and has not given back, what it took last first."""
    with connection.cursor() as cursor:
        cursor.execute(statement("returnable"), {"draw": draw_id})
        rows = cursor.fetchall()
    parts = [_Part(wallets.source(row[:16]), row[16]) for row in rows]
    return sorted(parts, key=lambda part: order(part.source.purse), reverse=True)


def _share(amount: Decimal, parts: Sequence[_Part], draw: CreditDraw) -> list[tuple[_Part, Decimal]]:
    back = []
    for part in parts:
        given = min(amount, part.left)
        if given > 0:
            back.append((part, given))
            amount -= given
    if amount > 0:
        raise TooMuchReturned(
            f"{plain(amount)} more than draw {draw.pk} took and has not given back.", too_much=plain(amount)
        )
    return back


def _record(
    draw: CreditDraw,
    amount: Decimal,
    overage: Decimal,
    money: Decimal,
    *,
    key: str,
    at: datetime,
    actor: Actor,
    reason_code: str,
    note: str,
    ticket: str,
) -> CreditReturn:
    return CreditReturn.objects.create(
        wallet_id=draw.wallet_id,
        idempotency_key=key,
        draw=draw,
        amount=amount,
        overage=overage,
        overage_money=money,
        entry_id=posting.reserve_entry_id(),
        reason_code=reason_code,
        reason_note=note,
        ticket=ticket,
        actor_type=actor.type,
        actor_id=actor.id,
        returned_at=at,
    )


def _draft(
    made: CreditReturn,
    draw: CreditDraw,
    owner: tuple[str, str],
    back: Sequence[tuple[_Part, Decimal]],
    *,
    at: datetime,
    actor: Actor,
    against: Against,
) -> EntryDraft:
    customer_key, unit = owner
    lines = movements.credit_returned(
        customer_key=customer_key,
        unit=unit,
        uses=[
            drawn.use_of(part.source, given, before=part.source.net, after=part.source.net + given)
            for part, given in back
        ],
        overage=made.overage_money,
        currency=draw.overage_currency,
        against=against,
    )
    return EntryDraft(
        movement=movements.CREDIT_RETURNED,
        key=f"credit.returned:{made.entry_id}",
        lines=drawn.under(lines, made.entry_id),
        effective_at=at,
        actor=actor,
        customer_key=customer_key,
        reason_code=made.reason_code,
        reason_note=made.reason_note,
        ticket=made.ticket,
        metadata={"draw": draw.pk},
        fx_rate=drawn.rate_of(lines, unit),
    )
