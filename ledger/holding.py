"""Keep credit for a use that has begun, and settle it with what was really used.

Nothing is posted when credit is reserved: ``held`` grows on the balances of the grants, moved by triggers on the hold's
own facts, and counts against the floor. A hold ends once: settled (what was used is drawn from what was kept, in the
burn order), released, or lapsed. Its draw has the key ``hold:<id of the hold>``.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal
from uuid import UUID

from django.db import transaction

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import Conflict, IdempotencyMismatch, InvalidInput, NotFound
from billing_ops.kit.money import plain
from ledger import drawn, lapsing, posting, wallets
from ledger.drawing import rates_of
from ledger.models import CreditDraw, Hold, HoldAllocation, HoldResolution
from ledger.rules import draws
from ledger.rules.burndown import Burning, Purse
from ledger.rules.draws import Decided, Order
from ledger.units import NoRate
from ledger.wallets import Source

_ZERO = Decimal(0)

HoldPolicy = Literal["all", "partial"]
Rest = Literal["refuse", "draw", "overage"]


class CreditShort(Conflict):
    """There is less credit than was asked for; nothing is remembered, so it may be asked again."""

    code = "credit.short"


class HoldDiffers(IdempotencyMismatch):
    """A hold with this key is there and keeps something else; ``details["differs"]`` names the fields."""

    code = "credit.hold_differs"


class HoldNotFound(NotFound):
    """No hold has that id."""

    code = "credit.hold_not_found"


class HoldResolved(Conflict):
    """The hold has ended in another way; ``details["kind"]`` says how."""

    code = "credit.hold_resolved"


class HoldExceeded(Conflict):
    """More was used than the hold keeps, and nobody said what to do about the rest."""

    code = "credit.hold_exceeded"
    kept = "The hold is still open."
    remedy = "Settle it with rest “draw” or “overage”."


@dataclass(frozen=True, slots=True)
class Settled:
    """A settled hold: how much of what was kept was used, and the draw; None if nothing was used."""

    hold: Hold
    amount: Decimal
    draw: CreditDraw | None


def reserve(
    *,
    customer_key: str,
    unit: str,
    amount: Decimal,
    feature: str,
    key: str,
    at: datetime,
    expires_at: datetime,
    actor: Actor,
    usage_ref: str = "",
    policy: HoldPolicy = "all",
) -> Hold:
    """Keep an amount of a customer's credit until ``expires_at``. ``partial`` keeps what there is, at least something.

    The same key and content return the hold that is there. Raises :class:`CreditShort`, :class:`HoldDiffers`,
    ``InvalidDraw``, and what ``CREDIT_HOLDER_CHECK`` raises.
    """
    order = Order(customer_key, unit, amount, key, feature, None, usage_ref, policy)
    draws.check(order, at=at)
    if policy not in ("all", "partial"):
        raise InvalidInput("A hold keeps all or what there is.", field="policy")
    if expires_at <= at:
        raise InvalidInput("A hold ends after it begins.", field="expires_at")
    with transaction.atomic():
        posting.enter_period(effective_at=at)
        locked, unknown = wallets.lock_or_make([(customer_key, unit)])
        for error in unknown.values():
            raise error
        wallet = locked[customer_key, unit]
        earlier = Hold.objects.filter(wallet=wallet, idempotency_key=key).first()
        if earlier is not None:
            return _same(earlier, order)
        decided = _kept(order, wallet, at)
        if decided.shortfall and lapsing.lapse(wallets=[wallet], at=at):
            decided = _kept(order, wallet, at)
        if not decided.parts:
            raise CreditShort(
                f"{plain(decided.available or _ZERO)} {unit} is available.", available=plain(decided.available or _ZERO)
            )
        return _keep(decided, at=at, expires_at=expires_at, actor=actor)


def settle(
    *, hold: Hold, actual: Decimal, at: datetime, actor: Actor, rest: Rest = "refuse", usage_ref: str = ""
) -> Settled:
    """End a hold with what was really used, zero too. More than was kept is refused, or the rest is drawn besides:
    from other credit or not at all (``draw``), or what no credit covers is owed (``overage``).

    Settling again with the same amount returns the same. Raises :class:`HoldExceeded`, :class:`HoldResolved`,
    :class:`CreditShort`, ``NoRate``, and as ``posting.post``.
    """
    if not actual.is_finite() or actual < 0:
        raise InvalidInput("What was used is zero or more.", field="actual")
    with transaction.atomic():
        day = posting.enter_period(effective_at=at)
        unit, customer_key = hold.wallet.unit_id, hold.wallet.customer_key
        wallets.lock(customer_key, unit)
        ended = HoldResolution.objects.select_related("draw").filter(hold=hold).first()
        if ended is not None:
            return _settled_as_then(hold, ended, actual)
        if actual > hold.amount and rest == "refuse":
            raise HoldExceeded(f"{plain(actual)} was used, and {plain(hold.amount)} {unit} is held.")
        if not actual:
            _resolve(hold, "settled", _ZERO, None, at=at, actor=actor)
            return Settled(hold, _ZERO, None)
        order = Order(
            customer_key,
            unit,
            actual,
            f"{draws.SETTLEMENT}{hold.public_id}",
            hold.feature,
            hold.used_at,
            usage_ref or hold.usage_ref,
            "overage" if rest == "overage" else "all",
        )
        draws.check(order, at=at)
        settled = min(actual, hold.amount)
        remembered = drawn.remember(
            [_used(order, hold, settled, at)],
            day=day,
            owners={hold.wallet_id: (customer_key, unit)},
            at=at,
            actor=actor,
        )
        draw_id = remembered.answers[0].id
        _resolve(
            hold, "settled", settled, draw_id, at=at, actor=actor
        )  # what was held is free before it leaves the balance
        drawn.post(remembered, day=day, at=at)
        return Settled(hold, settled, CreditDraw.objects.get(pk=draw_id))


def release(*, hold: Hold, at: datetime, actor: Actor) -> HoldResolution:
    """Give back all that a hold keeps. Releasing again, or what lapsed, returns how it ended.

    Raises :class:`HoldResolved` if it was settled.
    """
    with transaction.atomic():
        wallets.lock(hold.wallet.customer_key, hold.wallet.unit_id)
        ended = HoldResolution.objects.filter(hold=hold).first()
        if ended is None:
            return _resolve(hold, "released", _ZERO, None, at=at, actor=actor)
        if ended.kind == "settled":
            raise HoldResolved("The hold was settled.", kind=ended.kind)
        return ended


def lapse_due(*, at: datetime, limit: int = 200) -> int:
    """End holds whose time is over, one transaction a wallet; the number of holds."""
    ended = 0
    for customer_key, unit in lapsing.wallets_due(at=at, limit=limit):
        with transaction.atomic():
            ended += lapsing.lapse(wallets=[wallets.lock(customer_key, unit)], at=at)
    return ended


def get(*, public_id: UUID) -> Hold:
    """The hold with that id. Raises :class:`HoldNotFound`."""
    found = Hold.objects.select_related("wallet").filter(public_id=public_id).first()
    if found is None:
        raise HoldNotFound(f"There is no hold {public_id}.")
    return found


def _kept(order: Order, wallet: int, at: datetime) -> Decided:
    burning = Burning(source.purse for source in wallets.sources([wallet]))
    return draws.decide(order, wallet_id=wallet, burning=burning, at=at, rate=None)


def _keep(decided: Decided, *, at: datetime, expires_at: datetime, actor: Actor) -> Hold:
    order = decided.order
    hold = Hold.objects.create(
        wallet_id=decided.wallet_id,
        idempotency_key=order.key,
        feature=order.feature,
        usage_ref=order.usage_ref,
        asked=order.amount,
        amount=order.amount - decided.shortfall,
        policy=order.policy,
        used_at=at,
        expires_at=expires_at,
        actor_type=actor.type,
        actor_id=actor.id,
    )
    HoldAllocation.objects.bulk_create(
        HoldAllocation(hold=hold, grant_id=purse.grant_id, amount=amount) for purse, amount in decided.parts
    )
    return hold


def _same(earlier: Hold, order: Order) -> Hold:
    asked = {
        "amount": order.amount,
        "feature": order.feature,
        "usage_ref": order.usage_ref,
        "policy": order.policy,
    }
    stored = {
        "amount": earlier.asked,
        "feature": earlier.feature,
        "usage_ref": earlier.usage_ref,
        "policy": earlier.policy,
    }
    if differs := [name for name, value in asked.items() if stored[name] != value]:
        raise HoldDiffers(f"The key “{order.key}” holds something else: {', '.join(differs)} differ.", differs=differs)
    return earlier


def _used(order: Order, hold: Hold, settled: Decimal, at: datetime) -> tuple[Decided, dict[int, Source]]:
    """What the use takes: first of what was kept, in the burn order, then of other credit."""
    kept = HoldAllocation.objects.filter(hold=hold).values_list("grant_id", "amount")
    found = {source.purse.grant_id: source for source in wallets.sources([hold.wallet_id], held_too=True)}
    held = Burning(replace(found[grant].purse, available=amount) for grant, amount in kept)
    parts, _ = held.take(settled, feature=order.feature, used_at=hold.used_at)
    decided = Decided(order, hold.wallet_id, hold.used_at, parts, _ZERO, "accepted")
    if order.amount > settled:
        decided = _with_rest(order, hold, decided, found, at=at)
    return decided, found


def _with_rest(order: Order, hold: Hold, decided: Decided, found: dict[int, Source], *, at: datetime) -> Decided:
    """Besides what was kept (all of it), what other credit pays, and what is owed."""
    rate = rates_of([order], at=at).get(order.unit)
    if isinstance(rate, NoRate):
        raise rate
    others = Burning(source.purse for source in found.values())
    rest = draws.decide(
        _of(order, order.amount - hold.amount), wallet_id=hold.wallet_id, burning=others, at=hold.used_at, rate=rate
    )
    if rest.outcome == "refused":
        raise CreditShort("Other credit does not pay the rest.", kept="The hold is still open.")
    sums: dict[int, tuple[Purse, Decimal]] = {}
    for purse, amount in [*decided.parts, *rest.parts]:
        sums[purse.grant_id] = (purse, sums.get(purse.grant_id, (purse, _ZERO))[1] + amount)
    return Decided(
        order,
        hold.wallet_id,
        hold.used_at,
        list(sums.values()),
        rest.shortfall,
        rest.outcome,
        None,
        rest.overage,
        rest.currency,
    )


def _of(order: Order, amount: Decimal) -> Order:
    return Order(
        order.customer_key, order.unit, amount, order.key, order.feature, order.used_at, order.usage_ref, order.policy
    )


def _settled_as_then(hold: Hold, ended: HoldResolution, actual: Decimal) -> Settled:
    if ended.kind != "settled":
        raise HoldResolved(f"The hold was {ended.kind}.", kind=ended.kind)
    used = ended.draw.amount if ended.draw is not None else _ZERO
    if used != actual:
        raise HoldResolved(
            f"The hold was settled with {plain(used)}.", kind=ended.kind, differs=["actual"], actual=plain(used)
        )
    return Settled(hold, ended.amount, ended.draw)


def _resolve(
    hold: Hold, kind: str, amount: Decimal, draw_id: int | None, *, at: datetime, actor: Actor
) -> HoldResolution:
    return HoldResolution.objects.create(
        hold=hold,
        kind=kind,
        amount=amount,
        draw_id=draw_id,
        actor_type=actor.type,
        actor_id=actor.id,
        resolved_at=at,
    )
