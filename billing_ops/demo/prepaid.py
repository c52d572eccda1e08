"""The customers who have credit before they use: one tops up and draws down, one gets our own credits every month."""

import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from moneyed import USD, Money

from billing_ops.demo.cast import CAST, OSPREY, WREN
from billing_ops.kit.actor import Actor
from invoicing import auto_topping_up, billing, topping_up
from ledger import drawing, holding, policies, registering, returning, scheduling
from ledger.rules.recurrence import Rollover
from ledger.rules.schedules import ScheduleTerms
from plans.models import Customer

UNIT: Final = "credits"
_GRACE = timedelta(hours=24)
_JOINED = {member.key: member.joined_day for member in CAST}


def play_day(begin: datetime, day: datetime, end: datetime, actor: Actor) -> None:
    """Everything that credit does on one day, in the order in which the workers would have done it."""
    osprey = begin + timedelta(days=_JOINED[OSPREY] - 1, hours=10)
    wren = begin + timedelta(days=_JOINED[WREN] - 1, hours=10)
    if day <= osprey < end:
        _first_top_up(osprey, actor)
    if day <= wren < end:
        _monthly(wren, actor)
    if end > wren:
        scheduling.run_due(at=end, grace=_GRACE, promo_policy=policies.promo(), breakage=policies.breakage())
        _use(max(day, wren), end, actor)
    billing.draw_due(at=end, actor=actor)
    auto_topping_up.run_due(at=end)


def begin_a_hold(at: datetime, actor: Actor) -> None:
    """A job that is running just now keeps what it may cost."""
    holding.reserve(
        customer_key=WREN,
        unit=UNIT,
        amount=Decimal(40),
        feature="voices",
        key="demo-running-job",
        at=at,
        expires_at=at + timedelta(days=2),
        actor=actor,
        usage_ref="job-7731",
        policy="partial",
    )


def _first_top_up(at: datetime, actor: Actor) -> None:
    osprey = Customer.objects.get(key=OSPREY)
    topping_up.order(
        customer_id=osprey.pk,
        order=topping_up.Order(unit="USD", quantity=Decimal(50)),
        key="demo-first-top-up",
        at=at,
        actor=actor,
    )
    auto_topping_up.set_rule(
        customer_id=osprey.pk,
        unit="USD",
        enabled=True,
        threshold=Decimal(15),
        quantity=Decimal(50),
        monthly_cap=Money(Decimal(400), USD),
        reason="Asked for by the customer when they joined.",
        at=at,
        actor=actor,
    )


def _monthly(at: datetime, actor: Actor) -> None:
    """1,500 credits a month come with a side letter; up to 300 of what is left go on into the next month."""
    registering.register(code=UNIT, actor=actor, at=at)
    registering.set_rate(
        unit=UNIT, currency="USD", rate=Decimal("0.02"), reason="Price list of voices.", actor=actor, at=at
    )
    terms = ScheduleTerms(
        customer_key=WREN,
        kind="included",
        amount=Decimal(1_500),
        unit=UNIT,
        every="month",
        anchor_at=at,
        reason_code="side_letter",
        rollover=Rollover(most=Decimal(300)),
        currency="USD",
    )
    scheduling.schedule(terms=terms, key="demo-monthly", actor=actor, at=at)


def _use(day: datetime, end: datetime, actor: Actor) -> None:
    """A few voices a day; one of them was counted wrongly and is given back in part."""
    chance = random.Random(f"{WREN} {day:%Y%m%d}")  # noqa: S311  # a plot, not a secret
    for number in range(chance.randrange(2, 5)):
        key = f"voices-{day:%Y%m%d}-{number}"
        made = drawing.draw(
            customer_key=WREN,
            unit=UNIT,
            amount=Decimal(chance.randrange(40, 240)) / 10,
            feature="voices",
            key=key,
            at=end,
            used_at=day + timedelta(minutes=chance.randrange(int((end - day).total_seconds() // 60) or 1)),
            usage_ref=f"render-{key}",
            policy="overage",
            actor=actor,
        )
        if number == 0 and day.day == 17 and made.outcome == "accepted":
            returning.give_back(
                draw_id=made.id,
                amount=Decimal(2),
                key=f"return-{key}",
                at=end,
                actor=actor,
                reason_code="over_counted",
                ticket="SUP-2350",
                note="The render failed half-way.",
            )
