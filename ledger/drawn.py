"""Draws that are decided: written by COPY under the reserved ids of their entries, posted, and remembered by key."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import msgspec
from django.db import connection

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError
from ledger import opening, posting, wallets
from ledger.copying import clean
from ledger.queries import statement
from ledger.rules import movements, worth
from ledger.rules.draws import Decided, Order
from ledger.rules.entries import EntryDraft, LineSpec
from ledger.rules.movements import CreditUse
from ledger.wallets import Owner, Source

_DRAW = (
    "id, wallet_id, idempotency_key, ref, policy, feature, usage_ref, amount, shortfall, available, overage, "
    "overage_currency, outcome, used_at, entry_id"
)
_ALLOCATION = "draw_id, grant_id, amount"
_NULL = "\\N"
_ZERO = Decimal(0)

Planned = tuple[Decided, Mapping[int, Source]]
"""A decided draw, with the grants of its wallet as they stood then."""


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """The answer to a draw: what credit paid (``drawn``), what it did not (``shortfall``) and what is owed for that.

    Of a refusal, ``shortfall`` is how much credit was missing. ``allocations``: of each grant (public id) how much.
    """

    id: int
    key: str
    outcome: str
    amount: Decimal
    drawn: Decimal
    shortfall: Decimal
    overage: Decimal | None
    overage_currency: str
    used_at: datetime
    feature: str
    usage_ref: str
    policy: str
    allocations: list[tuple[str, Decimal]]
    entry_id: int | None
    replayed: bool = False

    def stored(self) -> dict[str, Any]:
        """What a replay is compared with."""
        return {
            "amount": self.amount,
            "feature": self.feature,
            "usage_ref": self.usage_ref,
            "policy": self.policy,
            "used_at": self.used_at,
        }

    def again(self) -> "Drawn":
        """The same answer to a replay."""
        return self if self.replayed else msgspec.structs.replace(self, replayed=True)


@dataclass(frozen=True, slots=True)
class Begun:
    """What a batch of draws is decided from: the wallets are locked, the day is entered."""

    day: posting.Entered
    wallets: dict[Owner, int]
    unknown: dict[Owner, BillingError]
    """Who cannot hold that credit."""
    known: dict[int, Drawn]
    """What is remembered under the orders' keys, by the orders' positions."""
    sources: list[Source]
    draw_ids: list[str]
    entry_ids: list[int]


def begin(orders: Sequence[Order], *, at: datetime) -> Begun:
    """Enter the day, lock the wallets (new ones are made), read what decides the orders. Raises ``PeriodClosed``."""
    position: dict[Owner, int] = {}
    of_key = [position.setdefault((order.customer_key, order.unit), len(position) + 1) for order in orders]
    customers, units = zip(*position, strict=True)
    arguments = {
        "at": at,
        "customers": json.dumps(customers),
        "units": json.dumps(units),
        "keys": json.dumps([order.key for order in orders]),
        "owners": json.dumps(of_key),
    }
    begun = _begin(orders, arguments)
    if len(begun.wallets) < len(position):
        _, unknown = wallets.make(position.keys() - begun.wallets.keys())
        begun = replace(_begin(orders, arguments), unknown=unknown)
    return begun


def _begin(orders: Sequence[Order], arguments: Mapping[str, Any]) -> Begun:
    with connection.cursor() as cursor:
        cursor.execute(statement("begin_draws"), arguments)
        book_id, timezone, day, period_id, status = cursor.fetchone()
        today = posting.entered(opening.OneBook(book_id, timezone), day, period_id, status)
        cursor.nextset()
        locked = {(row[0], row[1]): int(row[2]) for row in cursor.fetchall()}
        cursor.nextset()
        remembered = cursor.fetchall()
        cursor.nextset()
        sources = [wallets.source(row) for row in cursor.fetchall()]
        cursor.nextset()
        draw_ids, entry_ids = cursor.fetchone()
    known = _known(orders, remembered)
    return Begun(today, locked, {}, known, sources, draw_ids.split(), [int(each) for each in entry_ids.split()])


def _known(orders: Sequence[Order], rows: Sequence[Any]) -> dict[int, Drawn]:
    """What wallets remember, by the position of the order."""
    parts = allocations([row[1] for row in rows if row[12] is not None])
    found = {}
    for position, draw_id, amount, feature, used_at, usage_ref, policy, outcome, short, *rest in rows:
        available, overage, currency, entry_id = rest
        found[position - 1] = Drawn(
            id=draw_id,
            key=orders[position - 1].key,
            outcome=outcome,
            amount=amount,
            drawn=amount - short,
            shortfall=short - (available or _ZERO),
            overage=overage,
            overage_currency=currency,
            used_at=used_at,
            feature=feature,
            usage_ref=usage_ref,
            policy=policy,
            allocations=parts.get(draw_id, []),
            entry_id=entry_id,
            replayed=True,
        )
    return found


def allocations(draws: Sequence[int]) -> dict[int, list[tuple[str, Decimal]]]:
    """Of each draw, the grants it took from (public ids) and how much, in the order of the grants."""
    found: dict[int, list[tuple[str, Decimal]]] = defaultdict(list)
    if draws:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT al.draw_id, g.public_id::text, al.amount FROM ledger_credit_draw_allocation al"
                "  JOIN ledger_credit_grant g ON g.id = al.grant_id WHERE al.draw_id = ANY (%s) ORDER BY 1, g.id",
                [list(draws)],
            )
            for draw_id, grant, amount in cursor.fetchall():
                found[draw_id].append((grant, amount))
    return found


@dataclass(frozen=True, slots=True)
class Remembered:
    """Draws that are written and not posted yet: their answers, and the entries that the transaction has to post."""

    answers: list[Drawn]
    drafts: list[EntryDraft]


def write(
    decided: Sequence[Planned], *, begun: Begun, owners: Mapping[int, Owner], at: datetime, actor: Actor
) -> list[Drawn]:
    """Write draws and post their entries; the answers are in the order given."""
    remembered = remember(
        decided, day=begun.day, owners=owners, at=at, actor=actor, ids=(begun.draw_ids, begun.entry_ids)
    )
    post(remembered, day=begun.day, at=at)
    return remembered.answers


def remember(
    decided: Sequence[Planned],
    *,
    day: posting.Entered,
    owners: Mapping[int, Owner],
    at: datetime,
    actor: Actor,
    ids: tuple[Sequence[str], Sequence[int]] = ((), ()),
) -> Remembered:
    """Write draws under the reserved ids of their entries: one a wallet and accounting day of use.

    ``ids`` of draws and entries that are reserved already.
    """
    begin = day.begins
    groups: dict[tuple[int, date | None], list[Planned]] = {}
    group_of: list[tuple[int, date | None] | None] = []
    for planned in decided:
        draw = planned[0]
        if draw.outcome == "refused":
            group_of.append(None)
        else:
            used_on = None if draw.used_at >= begin else draw.used_at.astimezone(begin.tzinfo).date()
            group = (draw.wallet_id, used_on)
            group_of.append(group)
            groups.setdefault(group, []).append(planned)
    draw_ids, reserved = ids[0] or reserve_ids(len(decided)), ids[1]
    if len(reserved) < len(groups):
        reserved = posting.reserve_entry_ids(len(groups))
    entry_ids: dict[Any, int] = dict(zip(groups, reserved, strict=False))
    answers, rows, parts = [], [], []
    last, text = at, at.isoformat()
    for draw_id, group_key, (draw, sources) in zip(draw_ids, group_of, decided, strict=False):
        entry_id = entry_ids.get(group_key)
        if draw.used_at is not last:
            last, text = draw.used_at, draw.used_at.isoformat()
        order = draw.order
        rows.append(
            draw_text(
                draw_id,
                draw.wallet_id,
                key=order.key,
                policy=order.policy,
                feature=order.feature,
                usage_ref=order.usage_ref,
                amount=order.amount,
                shortfall=draw.shortfall,
                available=draw.available,
                overage=draw.overage,
                overage_currency=draw.currency,
                outcome=draw.outcome,
                used_at=text,
                entry_id=entry_id,
            )
        )
        parts += [f"{draw_id}\t{purse.grant_id}\t{amount!s}\n" for purse, amount in draw.parts]
        answers.append(_answer(int(draw_id), draw, sources, entry_id))
    copy_in(rows, parts)
    left = {source.purse.grant_id: source.net for _, sources in decided for source in sources.values()}
    drafts = [
        _draft(members, owners[group[0]], entry_ids[group], left, at=at, actor=actor)
        for group, members in groups.items()
    ]
    return Remembered(answers, drafts)


def post(remembered: Remembered, *, day: posting.Entered, at: datetime) -> None:
    """Post the entries of draws that were written in this transaction."""
    if remembered.drafts:
        posting.post_reserved(remembered.drafts, at=at, day=day)


def under(lines: Sequence[LineSpec], entry_id: int) -> tuple[LineSpec, ...]:
    """The same lines, which carry the id under which their draws or returns were written."""
    return (replace(lines[0], reserved_id=entry_id), *lines[1:])


def use_of(source: Source, amount: Decimal, *, before: Decimal, after: Decimal) -> CreditUse:
    """What an entry takes from a grant (or gives back to it) that goes from ``before`` to ``after``."""
    money = _ZERO
    if source.money_code:
        money = abs(worth.released(source.cost, source.granted, before=before, after=after))
    elif source.currency and source.rate is not None:
        money = worth.valued(source.rate, amount)
    return CreditUse(
        kind=source.purse.kind,
        dimension=source.public_id,
        amount=amount,
        code=source.code,
        money=money,
        currency=source.currency,
        money_code=source.money_code,
    )


def rate_of(lines: Iterable[LineSpec], unit: str) -> Decimal | None:
    """The rate that an entry across units carries: the money in it for one unit of credit; None within one unit."""
    money = sum((line.amount for line in lines if line.side == "debit" and line.unit != unit), _ZERO)
    quantity = sum((line.amount for line in lines if line.side == "debit" and line.unit == unit), _ZERO)
    if not money:
        return None
    return worth.effective_rate(money, quantity) if quantity else Decimal(1)


def _draft(
    members: Sequence[Planned],
    owner: Owner,
    entry_id: int,
    left: dict[int, Decimal],
    *,
    at: datetime,
    actor: Actor,
) -> EntryDraft:
    """One entry for draws of one wallet and day; ``left`` moves along."""
    customer_key, unit = owner
    sources = members[0][1]
    taken: dict[int, Decimal] = {}
    overage: dict[str, Decimal] = {}
    for draw, _ in members:
        for purse, amount in draw.parts:
            taken[purse.grant_id] = taken.get(purse.grant_id, _ZERO) + amount
        if draw.overage is not None:
            overage[draw.currency] = overage.get(draw.currency, _ZERO) + draw.overage
    uses = []
    for grant_id, amount in taken.items():
        before = left[grant_id]
        left[grant_id] = before - amount
        uses.append(use_of(sources[grant_id], amount, before=before, after=before - amount))
    currency, owed = next(iter(overage.items()), ("", _ZERO))
    lines = movements.credit_drawn(customer_key=customer_key, unit=unit, uses=uses, overage=owed, currency=currency)
    return EntryDraft(
        movement=movements.CREDIT_DRAWN,
        key=f"credit.drawn:{entry_id}",
        lines=under(lines, entry_id),
        effective_at=min(at, max(draw.used_at for draw, _ in members)),
        actor=actor,
        customer_key=customer_key,
        metadata={"draws": len(members)},
        fx_rate=rate_of(lines, unit),
        late="move",
    )


def _answer(draw_id: int, draw: Decided, sources: Mapping[int, Source], entry_id: int | None) -> Drawn:
    order, short = draw.order, draw.shortfall
    return Drawn(
        draw_id,
        order.key,
        draw.outcome,
        order.amount,
        order.amount - short if short else order.amount,
        short - draw.available if draw.available else short,
        draw.overage,
        draw.currency,
        draw.used_at,
        order.feature,
        order.usage_ref,
        order.policy,
        [(sources[purse.grant_id].public_id, amount) for purse, amount in draw.parts],
        entry_id,
    )


def reserve_ids(count: int) -> list[str]:
    """Ids for draws to come, so that their allocations can be written in one statement."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(nextval('ledger_credit_draw_id_seq')::text, ' ') FROM generate_series(1, %s)", [count]
        )
        return str(cursor.fetchone()[0] or "").split()


def draw_text(
    draw_id: str,
    wallet_id: int,
    *,
    key: str,
    policy: str,
    feature: str,
    amount: Decimal,
    shortfall: Decimal,
    outcome: str,
    used_at: str,
    entry_id: int | None,
    ref: str = "",
    usage_ref: str = "",
    available: Decimal | None = None,
    overage: Decimal | None = None,
    overage_currency: str = "",
) -> str:
    """One draw as a row for :func:`copy_in`; ``used_at`` is text, so that draws that share it write it once."""
    return (
        f"{draw_id}\t{wallet_id}\t{clean(key)}\t{clean(ref)}\t{policy}\t{clean(feature)}\t{clean(usage_ref)}\t{amount!s}\t"
        f"{shortfall!s}\t{_NULL if available is None else available}\t{_NULL if overage is None else overage}\t"
        f"{overage_currency}\t{outcome}\t{used_at}\t{_NULL if entry_id is None else entry_id}\n"
    )


def copy_in(draws: Sequence[str], allocations: Sequence[str]) -> None:
    """Write them, the draws first. Database errors come as Django's."""
    with connection.cursor() as cursor, connection.wrap_database_errors:
        with cursor.copy(f"COPY ledger_credit_draw ({_DRAW}) FROM STDIN") as copy:
            copy.write("".join(draws))
        if allocations:
            with cursor.copy(f"COPY ledger_credit_draw_allocation ({_ALLOCATION}) FROM STDIN") as copy:
                copy.write("".join(allocations))
