"""Draw usage from credits as it arrives: the difference between what a period costs by now and what was drawn of it.

An item's service period, under the customer's lock:

1. Rate the cumulative quantity as the bill would, and take off what was accounted for.
2. More: draw it, and what credits do not cover is owed. Late use sees the credit that was in force when it happened:
   what arrived is split at the instants where the customer's credit begins or ends, and each part is drawn as of its
   latest use, so the order and the slicing of arrivals do not matter within it.
3. Less (usage was taken back, a cheaper tier was reached): give back the latest draws first, the overage before credit.
4. Write a step for each draw and return, and where the period stands now: all in one transaction, or nothing.

Steps are numbered, and their number is in the key of the draw: nothing is drawn twice, whoever runs when.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.db.models import DecimalField, F, OuterRef, Subquery, Sum, Value
from django.db.models.functions import Coalesce

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError, Conflict
from billing_ops.kit.periods import Period
from invoicing import charges, drawdowns
from invoicing.accruing import lock_customer
from invoicing.models import Drawdown, DrawdownWork, UsageDraw
from invoicing.rules.drawdown import Arrival, Slice, slices
from invoicing.setting_aside import note_set_aside
from ledger import drawing, returning
from ledger.models import CreditReturn
from ledger.rules.draws import METERED
from metering import usage
from plans import catalog
from plans.models import Customer, SubscriptionItem

RETURNS_AT_ONCE = 100
"""So many draws one transaction gives back; a correction that undoes more goes on in the next."""

RETURNS_OF_A_BILL = 1_000
"""The same for a bill, which needs all of them: with more, it waits until they were worked off."""

_TICK = timedelta(microseconds=1)
_STALE = timedelta(minutes=10)
"""When nothing changed, so old may be what is noted of the last look."""
_ZERO = Decimal(0)


class DrawdownBehind(Conflict):
    """A correction undoes so many draws that a bill cannot wait for them; they are being given back."""

    code = "drawdown.behind"
    remedy = "Nothing: the bill is made when they are given back, a few minutes later."


@dataclass(slots=True)
class _Look:
    """An item's service period, what it costs by now, and the steps that this look adds."""

    item: SubscriptionItem
    period: Period
    state: Drawdown
    charge: charges.Charge
    at: datetime
    actor: Actor
    steps: list[UsageDraw] = field(default_factory=list)

    @property
    def watermark(self) -> int:
        return self.charge.watermark or 0

    def add(self, *, quantity: Decimal, drawn: Decimal, overage: Decimal, **what: object) -> None:
        before = self.steps[-1].cumulative_amount if self.steps else self.state.accounted
        self.steps.append(
            UsageDraw(
                drawdown=self.state,
                step=self.next_step,
                quantity=quantity,
                cumulative_amount=before + drawn + overage,
                amount=drawn + overage,
                drawn=drawn,
                overage=overage,
                watermark=self.watermark,
                drawn_at=self.at,
                **what,
            )
        )

    @property
    def next_step(self) -> int:
        return self.state.steps + len(self.steps) + 1

    def key(self, step: int) -> str:
        return f"{METERED}{self.item.pk}:{self.period.start:%Y%m%dT%H%M%S%f}:{step}"


def draw_item(*, item_id: int, at: datetime, actor: Actor, wait: bool = True) -> int:
    """Draw what an item's usage adds; how many draws and returns that took. Nothing to do is 0.

    Without ``wait`` it raises ``CustomerBusy`` when another worker bills the customer.
    """
    owner = SubscriptionItem.objects.values_list("customer_id", flat=True).get(pk=item_id)
    with transaction.atomic():
        customer = lock_customer(owner, wait=wait)
        # Read before the quantity: what is folded in between makes the item due again.
        found = drawdowns.due(at=at, limit=1, item_id=item_id)
        if not found:
            return 0  # another worker was faster
        made, whole = _draw(drawdowns.items().get(pk=item_id), customer, at=at, actor=actor, most=RETURNS_AT_ONCE)
        if whole:
            DrawdownWork.objects.bulk_create(
                [DrawdownWork(item_id=item_id, seen_events=found[0][1], looked_at=at)],
                update_conflicts=True,
                unique_fields=["item"],
                update_fields=["seen_events", "looked_at"],
            )
    return made


def catch_up(*, customer: Customer, at: datetime, actor: Actor) -> int:
    """Draw all that the customer used and that is not drawn yet; how many draws and returns that took.

    A bill calls it first, with the customer locked: what is not covered then is owed on it. Raises
    :class:`DrawdownBehind`.
    """
    total = 0
    for item in drawdowns.items().filter(customer=customer):
        made, whole = _draw(item, customer, at=at, actor=actor, most=RETURNS_OF_A_BILL)
        if not whole:
            raise DrawdownBehind(f"More than {RETURNS_OF_A_BILL} draws of {item} are being given back.")
        total += made
    return total


def _draw(item: SubscriptionItem, customer: Customer, *, at: datetime, actor: Actor, most: int) -> tuple[int, bool]:
    """Bring an item's periods up to date; how many steps, and whether nothing is left to be given back."""
    made, whole = 0, True
    for period in drawdowns.spans(item, at=at):
        state, _ = Drawdown.objects.get_or_create(
            item=item, service_start=period.start, defaults={"service_end": period.end, "rated_at": at}
        )
        charge = charges.drawn_charge(item, period, accounted=state.accounted, at=at)
        note_set_aside([charge], at=at)
        if charge.set_aside:
            continue
        look = _Look(item, period, state, charge, at, actor)
        if charge.amounts.unrounded > 0:
            _take(look, customer)
        elif charge.amounts.unrounded < 0:
            _give_back(look, most)
        _write(look)
        made += len(look.steps)
        whole = whole and state.accounted == state.rated
    return made, whole


def _take(look: _Look, customer: Customer) -> None:
    unit = look.item.price.version.currency
    asked = list(_slices(look, customer.key, unit))
    orders = [
        drawing.Order(
            customer.key,
            unit,
            one.amount,
            look.key(number),
            look.item.price.key,
            one.used_at,
            f"item:{look.item.pk}:{look.period.start:%Y-%m-%dT%H:%M:%SZ}:{look.watermark}:{number}",
            "overage",
        )
        for number, one in enumerate(asked, start=look.next_step)
    ]
    answers = drawing.draw_many(orders=orders, at=look.at, actor=look.actor, metered=True)
    for one, answer in zip(asked, answers, strict=True):
        if isinstance(answer, BillingError):
            raise answer
        look.add(
            quantity=one.quantity,
            drawn=answer.drawn,
            overage=answer.overage or _ZERO,
            used_at=one.used_at,
            draw_id=answer.id,
            entry_id=answer.entry_id,
        )


def _slices(look: _Look, customer_key: str, unit: str) -> Iterator[Slice]:
    period, state, meter = look.period, look.state, look.item.price.meter
    assert meter is not None  # constraint price_meter_iff_usage
    arrived = usage.arrived(
        meter=meter,
        subject=customer_key,
        period=period,
        after=state.watermark,
        through=look.watermark,
        cuts=drawdowns.turns(customer_key=customer_key, unit=unit, period=period),
    )
    now = min(look.at, period.end - _TICK)
    # What is owed at zero units, a first tier's flat amount, is owed from the period's start.
    arrivals = [Arrival(_ZERO, period.start)] if not state.steps else []
    arrivals += [Arrival(one.quantity, min(one.last_at, now)) for one in arrived]
    yield from slices(
        catalog.terms_of(look.item.price),
        accounted=state.accounted,
        before=state.quantity,
        after=look.charge.amounts.quantity,
        arrivals=arrivals,
        otherwise=now,
    )


def _give_back(look: _Look, most: int) -> None:
    owed = -look.charge.amounts.unrounded
    for draw_id, left in _latest_draws(look.state, most):
        part = min(owed, left)
        given = returning.give_back(
            draw_id=draw_id,
            amount=part,
            key=look.key(look.next_step),
            at=look.at,
            actor=look.actor,
            reason_code="usage.corrected",
            note=look.charge.description,
        )
        look.add(
            quantity=look.charge.amounts.quantity,
            drawn=given.overage_money - given.amount,
            overage=-given.overage_money,
            returned_id=given.pk,
            entry_id=given.entry_id,
        )
        owed -= part
        if not owed:
            return


def _latest_draws(state: Drawdown, most: int) -> Sequence[tuple[int, Decimal]]:
    """The period's latest draws of which something was not given back, and how much of each."""
    given = CreditReturn.objects.filter(draw=OuterRef("draw")).order_by().values("draw").annotate(sum=Sum("amount"))
    exact = DecimalField(max_digits=28, decimal_places=12)
    rows = UsageDraw.objects.filter(drawdown=state, draw__isnull=False).annotate(
        left=F("amount") - Coalesce(Subquery(given.values("sum")), Value(_ZERO), output_field=exact)
    )
    found = rows.filter(left__gt=0).order_by("-step").values_list("draw_id", "left")[:most]
    return [(draw_id, left) for draw_id, left in found if draw_id is not None]


def _write(look: _Look) -> None:
    state, amounts = look.state, look.charge.amounts
    changed = look.steps or (state.quantity, state.rated) != (amounts.quantity, amounts.cumulative)
    if not changed and look.at - state.rated_at < _STALE:
        return
    UsageDraw.objects.bulk_create(look.steps)
    before = state.steps
    state.steps += len(look.steps)
    if look.steps:
        state.accounted = look.steps[-1].cumulative_amount
    state.quantity, state.rated = amounts.quantity, amounts.cumulative
    state.watermark, state.rated_at = look.watermark, look.at
    fields = {name: getattr(state, name) for name in _MOVES}
    if not Drawdown.objects.filter(pk=state.pk, steps=before).update(**fields):
        raise RuntimeError(f"drawdown {state.pk} moved under the customer's lock")


_MOVES = ("quantity", "rated", "accounted", "steps", "watermark", "rated_at")
