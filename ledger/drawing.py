"""Draw credit for what is used, as it is used: all or nothing, partly, or with the rest owed as overage.

A batch of orders (one transaction):

1. keep the period from being closed, and lock the wallets in one order;
2. recognise orders whose key their wallet remembers: the same order is answered as then, a refusal too; another order
   under the key is told what differs;
3. undo booked expiries of credit that was in force when something was used, and let what was held too long go if
   credit is short;
4. decide in memory, in the order of the batch and the documented burn order;
5. copy draws and allocations in under the reserved ids of their entries, and post one entry a wallet and day.

Each order has its own answer. What the database refuses is narrowed down by halves: it harms only itself.
For the needs of an invoice, which post with it, see ``applying``.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from django.db import DataError, IntegrityError, transaction

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError, Conflict, IdempotencyMismatch
from ledger import drawn, lapsing, posting, units, wallets
from ledger.applying import Applied, DrawDiffers, apply, lines_of, quote, uses_of
from ledger.drawn import Drawn
from ledger.models import CreditGrant, Entry, Line
from ledger.rules import draws
from ledger.rules.burndown import Burning
from ledger.rules.draws import Decided, Order, Policy, Rate
from ledger.rules.worth import is_own, released
from ledger.units import NoRate
from ledger.wallets import Source
from ledger.wallets import lock as lock_wallet
from ledger.wallets import lock_all as lock_wallets

__all__ = [
    "Applied",
    "DrawDiffers",
    "DrawRefused",
    "Drawn",
    "KeyTaken",
    "NoRate",
    "Order",
    "Policy",
    "apply",
    "draw",
    "draw_many",
    "lines_of",
    "lock_wallet",
    "lock_wallets",
    "quote",
    "rates_of",
    "uses_of",
]


class KeyTaken(IdempotencyMismatch):
    """A draw with this key is there and asked for something else; ``details["differs"]`` names the fields."""

    code = "credit.draw_differs"


class DrawRefused(Conflict):
    """The books refused a draw; it is not remembered, so the same order may be sent again."""

    code = "credit.draw_refused"
    remedy = "Send the same draw again; if it is refused again, show support the rule."


def draw(
    *,
    customer_key: str,
    unit: str,
    amount: Decimal,
    feature: str,
    key: str,
    at: datetime,
    actor: Actor,
    used_at: datetime | None = None,
    usage_ref: str = "",
    policy: Policy = "all",
) -> Drawn:
    """Draw an amount of a customer's credit; inside a transaction of the caller's it is posted in that one.

    A refusal is an answer (``outcome``), not an error: it is remembered, and the same key gets it again. Raises
    :class:`KeyTaken`, :class:`NoRate`, ``InvalidDraw``, what ``CREDIT_HOLDER_CHECK`` raises, and as ``posting.post``.
    """
    order = Order(customer_key, unit, amount, key, feature, used_at, usage_ref, policy)
    (answer,) = draw_many(orders=[order], at=at, actor=actor)
    if isinstance(answer, BillingError):
        raise answer
    return answer


def draw_many(
    *, orders: Sequence[Order], at: datetime, actor: Actor, metered: bool = False
) -> list[Drawn | BillingError]:
    """Draw for many orders, of one customer or several; the answers are in their order, each its own.

    ``metered``: the caller rates metered usage, whose keys nobody else may use.
    """
    answers: list[Drawn | BillingError] = []
    fine: list[int] = []
    for position, order in enumerate(orders):
        try:
            draws.check(order, at=at)
            draws.not_a_settlement(order)
            if not metered:
                draws.not_metered(order)
            fine.append(position)
            answers.append(_UNANSWERED)
        except BillingError as error:
            answers.append(error)
    for position, answer in zip(fine, _by_halves([orders[each] for each in fine], at, actor), strict=True):
        answers[position] = answer
    return answers


_UNANSWERED = DrawRefused("Not answered.")


def _by_halves(orders: Sequence[Order], at: datetime, actor: Actor) -> list[Drawn | BillingError]:
    if not orders:
        return []
    try:
        with transaction.atomic():
            return _draw(orders, at, actor)
    except (BillingError, IntegrityError, DataError) as error:
        if len(orders) == 1:
            return [error if isinstance(error, BillingError) else _explained(error)]
    middle = len(orders) // 2
    return [*_by_halves(orders[:middle], at, actor), *_by_halves(orders[middle:], at, actor)]


def _explained(error: Exception) -> BillingError:
    rule = posting.violated_rule(error) or "data"
    return DrawRefused(f"The database refused the draw: {rule}.", rule=rule)


def _draw(orders: Sequence[Order], at: datetime, actor: Actor) -> list[Drawn | BillingError]:
    begun = drawn.begin(orders, at=at)
    locked, unknown, known = begun.wallets, begun.unknown, begun.known
    answers: dict[int, Drawn | BillingError] = {}
    fresh: dict[tuple[int, str], int] = {}
    again: list[tuple[int, int]] = []
    rates = rates_of(orders, at=at)
    for position, order in enumerate(orders):
        owner = (order.customer_key, order.unit)
        if owner in unknown:
            answers[position] = unknown[owner]
        elif position in known:
            answers[position] = _as_then(order, known[position])
        elif order.policy == "overage" and isinstance(rate := rates[order.unit], NoRate):
            answers[position] = rate
        else:
            first = fresh.setdefault((locked[owner], order.key), position)
            if first != position:
                again.append((position, first))
    if fresh:
        asked = {wallet: owner for owner, wallet in locked.items()}
        decided = _decide(
            [(wallet, orders[position]) for (wallet, _), position in fresh.items()], begun.sources, rates, at, actor
        )
        written = drawn.write(decided, begun=begun, owners=asked, at=at, actor=actor)
        answers.update(zip(fresh.values(), written, strict=True))
    for position, first in again:
        answers[position] = _as_then(orders[position], answers[first])
    return [answers[position] for position in range(len(orders))]


def _as_then(order: Order, earlier: Drawn | BillingError) -> Drawn | BillingError:
    """The earlier answer to the same order; to another order, what differs."""
    if isinstance(earlier, BillingError):
        return earlier
    if differs := draws.differences(order, earlier.stored()):
        return KeyTaken(f"The key “{order.key}” drew something else: {', '.join(differs)} differ.", differs=differs)
    return earlier.again()


def _decide(
    asked: Sequence[tuple[int, Order]],
    sources: Sequence[Source],
    rates: dict[str, Rate | NoRate],
    at: datetime,
    actor: Actor,
) -> list[tuple[Decided, dict[int, Source]]]:
    """What becomes of fresh orders, each with the grants of its wallet."""
    ids = sorted({wallet for wallet, _ in asked})
    if _undo_breakage(asked, ids, at, actor):
        sources = wallets.sources(ids)
    by_wallet: dict[int, list[Order]] = defaultdict(list)
    for wallet, order in asked:
        by_wallet[wallet].append(order)
    found = _run(by_wallet, ids, sources, rates, at)
    short = [wallet for wallet in ids if any(decided.shortfall for decided in found[wallet][0])]
    if short and lapsing.lapse(wallets=short, at=at):
        found |= _run(by_wallet, short, wallets.sources(short), rates, at)
    following = {wallet: iter(found[wallet][0]) for wallet in ids}
    return [(next(following[wallet]), found[wallet][1]) for wallet, _ in asked]


def _run(
    by_wallet: dict[int, list[Order]],
    ids: Sequence[int],
    sources: Sequence[Source],
    rates: dict[str, Rate | NoRate],
    at: datetime,
) -> dict[int, tuple[list[Decided], dict[int, Source]]]:
    grants: dict[int, dict[int, Source]] = {wallet: {} for wallet in ids}
    for source in sources:
        if source.wallet_id in grants:
            grants[source.wallet_id][source.purse.grant_id] = source
    found = {}
    for wallet in ids:
        burning = Burning(source.purse for source in grants[wallet].values())
        decided = []
        for order in by_wallet[wallet]:
            rate = rates.get(order.unit)
            price = rate if isinstance(rate, Rate) else None
            decided.append(draws.decide(order, wallet_id=wallet, burning=burning, at=at, rate=price))
        found[wallet] = (decided, grants[wallet])
    return found


def _undo_breakage(asked: Sequence[tuple[int, Order]], ids: Sequence[int], at: datetime, actor: Actor) -> bool:
    """Reverse what was booked as expired of credit that an order was in time for; what stays unused expires again."""
    late = [(wallet, order, order.used_at) for wallet, order in asked if order.used_at and order.used_at < at]
    if not late:
        return False
    undone = False
    since = min(used_at for _, _, used_at in late)
    for booked in wallets.booked_breakage(ids, since=since, at=at):
        if any(
            wallet == booked.wallet_id
            and booked.effective_at <= used_at < booked.expires_at
            and (not booked.scope or order.feature in booked.scope)
            for wallet, order, used_at in late
        ):
            entry = Entry.objects.get(pk=booked.entry_id)
            posting.reverse(
                entry=entry,
                money=_money_now(entry),
                key=f"late usage:{booked.entry_id}",
                at=at,
                actor=actor,
                reason_code="late_usage",
                reason_note="Used before it expired, and reported after that.",
            )
            undone = True
    return undone


def _money_now(entry: Entry) -> Decimal | None:
    """The money that comes back with expired units: what they are worth beside what the grant holds by now."""
    if entry.fx_rate is None:
        return None
    grant = CreditGrant.objects.select_related("account__balance").get(public_id=entry.grant_ref)
    units = Line.objects.get(entry=entry, account=grant.account_id).amount
    held = grant.account.balance.net
    return -released(grant.cost_basis, grant.amount, before=held, after=held + units)


def rates_of(orders: Sequence[Order], *, at: datetime) -> dict[str, Rate | NoRate]:
    """What the overage of orders costs, by unit: money is itself, a company's own unit has the rate in force."""
    rates: dict[str, Rate | NoRate] = {}
    for unit in {order.unit for order in orders if order.policy == "overage"}:
        if not is_own(unit):
            rates[unit] = Rate(Decimal(1), unit)
            continue
        try:
            found = units.rate_of(unit=unit, at=at)
            rates[unit] = Rate(found.rate, found.currency)
        except NoRate as error:
            rates[unit] = error
    return rates
