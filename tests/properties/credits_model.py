"""The credits engine in a few plain sums: what a walk through the real one is compared with after every step.

It shares no code with the ledger: its own burn order, rounding, rollover and clock.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

ZERO = Decimal(0)
EXACT = Decimal("0.000000000001")
RATE = Decimal("0.02")
"""What a unit of ``credits`` is worth in USD."""

NEVER = datetime(9999, 1, 1, tzinfo=UTC)
EVERY = {"day": 1, "week": 7}


@dataclass(eq=False)
class Grant:
    """A grant, and where its amount is."""

    pk: int
    kind: str
    customer: str
    unit: str
    amount: Decimal
    effective: datetime
    expires: datetime | None
    priority: int = 50
    scope: tuple[str, ...] = ()
    cost: Decimal | None = None
    left: Decimal = ZERO
    held: Decimal = ZERO
    used: Decimal = ZERO
    expired: Decimal = ZERO
    voided: Decimal = ZERO
    schedule: "Schedule | None" = None
    period: int = 0

    def __post_init__(self) -> None:
        self.left = self.amount

    @property
    def free(self) -> Decimal:
        return self.left - self.held

    @property
    def money(self) -> Decimal:
        """What stands for what is left, of a grant in units that has money."""
        if self.cost is None:
            return ZERO
        return (self.cost * self.left / self.amount).quantize(EXACT, ROUND_HALF_UP)

    def in_force(self, when: datetime, feature: str) -> bool:
        over = self.expires is not None and self.expires <= when
        return self.effective <= when and not over and (self.scope == () or feature in self.scope)

    def rank(self) -> tuple[Any, ...]:
        return (self.priority, self.expires or NEVER, self.kind == "paid", self.scope == (),
                self.effective, self.pk)  # fmt: skip


@dataclass(eq=False)
class Hold:
    row: Any
    customer: str
    unit: str
    feature: str
    at: datetime
    expires: datetime
    parts: list[tuple[Grant, Decimal]]

    @property
    def amount(self) -> Decimal:
        return sum((part for _, part in self.parts), ZERO)


@dataclass(eq=False)
class Draw:
    """An order and its answer; ``parts`` and ``owed`` are what was not given back yet."""

    order: dict[str, Any]
    pk: int
    outcome: str
    parts: dict[Grant, Decimal]
    short: Decimal
    owed: Decimal


@dataclass(eq=False)
class Schedule:
    row: Any
    customer: str
    unit: str
    amount: Decimal
    every: str
    anchor: datetime
    rollover: tuple[Decimal, Decimal | None] | None
    next: int = 0
    reset: int = 0

    def start(self, number: int) -> datetime:
        return self.anchor + timedelta(days=number * EVERY[self.every])


@dataclass
class Model:
    grants: list[Grant] = field(default_factory=list)
    holds: list[Hold] = field(default_factory=list)
    draws: list[Draw] = field(default_factory=list)
    schedules: list[Schedule] = field(default_factory=list)
    unbilled: dict[str, Decimal] = field(default_factory=dict)

    def of(self, customer: str, unit: str) -> list[Grant]:
        return [grant for grant in self.grants if (grant.customer, grant.unit) == (customer, unit)]

    def owe(self, customer: str, money: Decimal) -> None:
        self.unbilled[customer] = self.unbilled.get(customer, ZERO) + money

    def plan(
        self, customer: str, unit: str, amount: Decimal, *, feature: str, when: datetime
    ) -> tuple[list[tuple[Grant, Decimal]], Decimal]:
        """Who pays how much, and what nobody pays."""
        able = [grant for grant in self.of(customer, unit) if grant.free > 0 and grant.in_force(when, feature)]
        return take(able, amount)

    def short_of_holds(self, customer: str, unit: str, now: datetime) -> bool:
        """Let holds go whose time is over; whether there were any."""
        over = [h for h in self.holds if (h.customer, h.unit) == (customer, unit) and h.expires <= now]
        for hold in over:
            self.let_go(hold)
        return bool(over)

    def let_go(self, hold: Hold) -> None:
        for grant, part in hold.parts:
            grant.held -= part
        self.holds.remove(hold)

    def undo_breakage(self, customer: str, unit: str, *, feature: str, when: datetime, now: datetime) -> bool:
        """Credit that was in force at an earlier use comes back; whether there was any."""
        undone = False
        if when >= now:
            return undone
        for grant in self.of(customer, unit):
            if grant.expires is not None and grant.expires <= now and grant.in_force(when, feature):
                undone = undone or grant.expired > 0
                grant.left += grant.expired
                grant.expired = ZERO
        return undone

    def expire(self, now: datetime) -> int:
        """Book what is over; how many entries. What a schedule rolls over is left to it."""
        booked = 0
        for grant in self.grants:
            waits = grant.schedule is not None and grant.schedule.rollover and grant.schedule.reset <= grant.period
            if grant.expires is not None and grant.expires <= now and grant.free > 0 and not waits:
                grant.expired += grant.free
                grant.left = grant.held
                booked += 1
        return booked


def take(grants: Iterable[Grant], amount: Decimal) -> tuple[list[tuple[Grant, Decimal]], Decimal]:
    """Take an amount of what is free, in the documented order."""
    parts = []
    for grant in sorted(grants, key=Grant.rank):
        part = min(grant.free, amount)
        if part > 0:
            parts.append((grant, part))
            amount -= part
    return parts, amount


def price(short: Decimal, unit: str) -> Decimal:
    """What overage costs."""
    return short if unit == "USD" else (short * RATE).quantize(EXACT, ROUND_HALF_UP)
