"""A random walk through the whole credits engine beside a model that shares no code with it.

After every step the grants' parts, holds, the money behind units, what is owed and every proof are compared. CI takes
over a thousand steps; ``make soak`` takes over ten thousand (its result: ``tests/properties/SOAK.md``).
"""

import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import override_settings
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from moneyed import Money

from billing_ops.kit import approving
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError, IdempotencyMismatch
from billing_ops.kit.money import round_amount
from ledger import (
    balances,
    buying,
    closing,
    crediting,
    drawing,
    holding,
    posting,
    proofs,
    registering,
    returning,
    scheduling,
    transferring,
    voiding,
)
from ledger.models import Account, CreditGrant, Period
from ledger.rules import movements
from ledger.rules.recurrence import Rollover
from ledger.rules.schedules import ScheduleTerms
from ledger.rules.terms import Terms
from tests.ledger.books import AGENT, ROBOT
from tests.ledger.periods import ANN, BOB, reopened
from tests.properties.credits_model import ZERO, Draw, Grant, Hold, Model, Schedule, price, take

CUSTOMERS = ("cus-1", "cus-2")
MONEY_CODE = {"paid": "2005", "goodwill": "2015"}
NOW = timedelta(0)
AT = datetime(2025, 3, 29, 12, tzinfo=UTC)
"""Near the end of a month, so that walks come to close it."""

customers = st.sampled_from(CUSTOMERS)
units = st.sampled_from(("USD", "credits"))
features = st.sampled_from(("tokens", "tokens", "images", ""))
amounts = st.integers(1, 4000).map(lambda cents: Decimal(cents).scaleb(-2))
policies = st.sampled_from(("all", "partial", "overage"))
agains = st.sampled_from(("", "same", "other"))
days = st.one_of(st.none(), st.integers(1, 6))
Steps = Callable[[], Any]


class Walk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.number = 0
        self.now = AT
        self.steps = 0
        self.accrued: list[tuple[Any, str, Decimal]] = []
        self.block = transaction.atomic()
        self.block.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    def key(self) -> str:
        self.number += 1
        return f"k{self.number}"

    @initialize()
    def sell_units(self) -> None:
        registering.register(code="credits", actor=ROBOT, at=AT)
        registering.set_rate(
            unit="credits", currency="USD", rate=Decimal("0.02"), reason="list price", actor=ROBOT, at=AT
        )
        first: tuple[tuple[str, Any, int], ...] = (
            ("USD", "promotional", 2), ("USD", "goodwill", 9), ("credits", "promotional", 3),
        )  # fmt: skip
        for unit, kind, lasts in first:
            amount: Any = Money(25, unit) if unit == "USD" else Decimal(25)
            other: dict[str, Any] = {} if unit == "USD" else {"unit": unit}
            row = crediting.grant(
                customer_key="cus-1", kind=kind, amount=amount, reason_code="start", actor=ROBOT, at=AT,
                key=self.key(), expires_at=AT + timedelta(days=lasts), **other,
            )  # fmt: skip
            self.keep(row)

    # Credit comes --------------------------------------------------------------------------------------------------

    def keep(self, row: CreditGrant, **other: Any) -> Grant:
        grant = Grant(
            row.pk, row.kind, row.customer_key, row.unit_id, row.amount, row.effective_at, row.expires_at,
            row.priority, tuple(row.scope), row.cost_basis if row.money_code else None, **other,
        )  # fmt: skip
        self.model.grants.append(grant)
        return grant

    @rule(
        customer=customers,
        unit=units,
        amount=amounts,
        kind=st.sampled_from(("paid", "promotional", "goodwill", "included")),
        priority=st.sampled_from((10, 50)),
        starts=st.integers(-2, 2),
        lasts=days,
        scope=st.sampled_from(((), ("tokens",), ("images", "tokens"))),
        again=st.sampled_from(("", "same", "other")),
    )
    def grant(
        self, *, customer: str, unit: str, amount: Decimal, kind: Any, priority: int, starts: int, lasts: int | None,
        scope: tuple[str, ...], again: str,
    ) -> None:  # fmt: skip
        begins = self.now + timedelta(days=starts)
        ends = None if lasts is None else max(begins, self.now) + timedelta(days=lasts)
        terms: dict[str, Any] = {
            "customer_key": customer, "kind": kind, "amount": Money(amount, unit) if unit == "USD" else amount,
            "reason_code": "test", "actor": ROBOT, "at": self.now, "key": self.key(), "priority": priority,
            "effective_at": begins, "expires_at": ends, "scope": scope,
        }  # fmt: skip
        if unit != "USD":
            terms["unit"] = unit
        act: Any = crediting.carry_over if kind == "paid" else crediting.grant
        made = self.keep(act(**terms))
        assert (made.amount, made.left) == (amount, amount)
        if again == "same":
            assert act(**terms).pk == made.pk
        if again == "other":
            with pytest.raises(IdempotencyMismatch):
                act(**terms | {"priority": 77})

    @rule(customer=customers, unit=units, amount=amounts, cents=st.integers(1, 5000), lasts=days)
    def buy(self, customer: str, unit: str, amount: Decimal, cents: int, lasts: int | None) -> None:
        own, key = unit != "USD", self.key()
        cost = Decimal(cents).scaleb(-2) if own else amount
        of: dict[str, Any] = {"customer_key": customer, "currency": "USD"}
        common: dict[str, Any] = {"at": self.now, "actor": ROBOT, "customer_key": customer}
        posting.post(
            movement=movements.TOPUP_INVOICED, key=f"{key}:invoice", lines=movements.topup_invoiced(**of, price=cost),
            **common,
        )  # fmt: skip
        posting.post(
            movement=movements.PAYMENT_SUCCEEDED, key=f"{key}:paid",
            lines=movements.payment_succeeded(**of, amount=cost), **common,
        )  # fmt: skip
        terms = Terms(
            customer, "paid", amount, unit, "top_up",
            expires_at=None if lasts is None else self.now + timedelta(days=lasts), effective_at=self.now,
        )  # fmt: skip
        bought: dict[str, Any] = {
            "terms": terms, "currency": "USD", "price": cost, "rate": Decimal("0.02") if own else None,
            "source_invoice": "inv", "key": key, "actor": ROBOT, "at": self.now,
        }  # fmt: skip
        row = buying.buy(**bought)
        assert buying.buy(**bought).pk == row.pk
        seen["bought"] += 1
        self.keep(row)

    @rule(
        customer=customers,
        unit=units,
        amount=amounts,
        every=st.sampled_from(("day", "week")),
        rollover=st.one_of(st.none(), st.tuples(st.integers(0, 10), st.one_of(st.none(), st.integers(1, 40)))),
    )
    def schedule(
        self, customer: str, unit: str, amount: Decimal, every: Any, rollover: tuple[int, int | None] | None
    ) -> None:
        if len(self.model.schedules) == 2:
            return
        kept = None
        if rollover is not None:
            low, high = rollover
            least, most = Decimal(low), None if high is None else Decimal(max(low, high))
            kept = (least, most)
        terms = ScheduleTerms(
            customer_key=customer, kind="promotional", amount=amount, unit=unit, every=every, anchor_at=self.now,
            reason_code="plan", rollover=None if kept is None else Rollover(*kept),
        )  # fmt: skip
        row = scheduling.schedule(terms=terms, key=self.key(), actor=ROBOT, at=self.now)
        self.model.schedules.append(Schedule(row, customer, unit, amount, every, self.now, kept))
        self.run_schedules()

    def run_schedules(self) -> None:
        scheduling.run_due(at=self.now, grace=NOW)
        for schedule in self.model.schedules:
            while True:
                issue = schedule.start(schedule.next)
                reset = schedule.start(schedule.reset + 1) if schedule.rollover and schedule.next else None
                if reset is not None and reset <= self.now and reset <= issue:
                    self.roll_over(schedule)
                elif issue <= self.now:
                    self.found(schedule, schedule.next, "base", schedule.amount)
                    schedule.next += 1
                else:
                    break

    def found(self, schedule: Schedule, number: int, part: str, amount: Decimal) -> None:
        row = CreditGrant.objects.get(idempotency_key=f"schedule:{schedule.row.public_id}:{number}:{part}")
        assert (row.amount, row.effective_at) == (amount, schedule.start(number))
        assert row.expires_at == schedule.start(number + 1)
        self.keep(row, schedule=schedule, period=number)

    def roll_over(self, schedule: Schedule) -> None:
        least, most = schedule.rollover or (ZERO, None)
        old = [g for g in self.model.grants if g.schedule is schedule and g.period == schedule.reset and g.free > 0]
        old.sort(key=lambda grant: grant.pk)
        remaining = sum((grant.free for grant in old), ZERO)
        kept = max(least, remaining) if most is None else min(most, max(least, remaining))
        moves = min(kept, remaining)
        going: dict[Grant, Decimal] = {}
        for grant in reversed(old):
            going[grant] = min(grant.free, moves)
            moves -= going[grant]
        for grant in old:
            grant.expired += grant.free - going[grant]
            grant.voided += going[grant]
            grant.left = grant.held
            if going[grant]:
                self.found(schedule, schedule.reset + 1, f"rolled:{grant.pk}", going[grant])
        if kept > remaining:
            self.found(schedule, schedule.reset + 1, "minimum", kept - remaining)
        schedule.reset += 1
        seen["rolled over"] += 1

    # Credit is used -----------------------------------------------------------------------------------------------

    def somewhere(self, data: st.DataObject, *, expired: bool = False) -> tuple[str, str, Decimal]:
        """A customer, a unit and an amount; where there is credit (or was), more often, and in proportion to it."""
        rich = sorted({(g.customer, g.unit) for g in self.model.grants if (g.expired if expired else g.free) > 0})
        if not rich or data.draw(st.integers(0, 5)) == 0:
            return data.draw(customers), data.draw(units), data.draw(amounts)
        customer, unit = data.draw(st.sampled_from(rich))
        whole = sum((g.expired if expired else g.free for g in self.model.of(customer, unit)), ZERO)
        part = data.draw(st.sampled_from(("0.1", "0.3", "0.5", "0.8", "1", "1.3")))
        return customer, unit, max((whole * Decimal(part)).quantize(Decimal("0.01")), Decimal("0.01"))

    @rule(data=st.data(), feature=features, again=agains)
    def draw_all_or_nothing(self, data: st.DataObject, feature: str, again: str) -> None:
        self.draw(data, feature=feature, policy="all", ago=0, again=again)

    @rule(data=st.data(), feature=features, again=agains)
    def draw_what_there_is(self, data: st.DataObject, feature: str, again: str) -> None:
        self.draw(data, feature=feature, policy="partial", ago=0, again=again)

    @rule(data=st.data(), feature=features, again=agains)
    def draw_and_owe_the_rest(self, data: st.DataObject, feature: str, again: str) -> None:
        self.draw(data, feature=feature, policy="overage", ago=0, again=again)

    @rule(data=st.data(), feature=features, policy=policies, ago=st.sampled_from((1, 26, 75)))
    def draw_for_earlier(self, data: st.DataObject, feature: str, policy: Any, ago: int) -> None:
        self.draw(data, feature=feature, policy=policy, ago=ago, again="")

    def draw(self, data: st.DataObject, *, feature: str, policy: Any, ago: int, again: str) -> None:
        customer, unit, amount = self.somewhere(data, expired=bool(ago))
        when = self.now - timedelta(hours=ago)
        order: dict[str, Any] = {
            "customer_key": customer, "unit": unit, "amount": amount, "feature": feature, "key": self.key(),
            "policy": policy, "used_at": when if ago else None,
        }  # fmt: skip
        answer = drawing.draw(**order, at=self.now, actor=ROBOT)
        if self.model.undo_breakage(customer, unit, feature=feature, when=when, now=self.now):
            seen["breakage undone"] += 1
        parts, short = self.model.plan(customer, unit, amount, feature=feature, when=when)
        if short and self.model.short_of_holds(customer, unit, self.now):
            parts, short = self.model.plan(customer, unit, amount, feature=feature, when=when)
        outcome = "accepted"
        if short:
            outcome = "overage" if policy == "overage" else "partial" if policy == "partial" and parts else "refused"
        if outcome == "refused":
            parts = []
        assert answer.outcome == outcome
        seen[f"draw {outcome}{' for earlier use' if ago else ''}"] += 1
        assert sorted(part for _, part in answer.allocations) == sorted(part for _, part in parts)
        assert answer.shortfall == short
        for grant, part in parts:
            grant.left -= part
            grant.used += part
        owed = short if outcome == "overage" else ZERO
        if owed:
            assert (answer.overage, answer.overage_currency) == (price(owed, unit), "USD")
            self.model.owe(customer, price(owed, unit))
        self.model.draws.append(Draw(order, answer.id, outcome, dict(parts), short, owed))
        if again:
            self.order_again(self.model.draws[-1], again)

    def order_again(self, draw: Draw, how: str) -> None:
        if how == "same":  # the same answer, a refusal too, though there may be more credit by now
            answer = drawing.draw(**draw.order, at=self.now, actor=ROBOT)
            assert (answer.id, answer.outcome, answer.replayed) == (draw.pk, draw.outcome, True)
            seen[f"draw {draw.outcome} again"] += 1
        else:
            with pytest.raises(drawing.KeyTaken):
                drawing.draw(**draw.order | {"amount": draw.order["amount"] + 1}, at=self.now, actor=ROBOT)

    @precondition(lambda self: bool(self.model.draws))
    @rule(data=st.data(), how=st.sampled_from(("same", "other")))
    def order_an_old_draw_again(self, data: st.DataObject, how: str) -> None:
        self.order_again(data.draw(st.sampled_from(self.model.draws)), how)

    @precondition(lambda self: any(draw.parts or draw.owed for draw in self.model.draws))
    @rule(data=st.data(), part=st.sampled_from(("0.2", "0.6", "1", "1.1")))
    def give_back(self, data: st.DataObject, part: str) -> None:
        draw = data.draw(st.sampled_from([draw for draw in self.model.draws if draw.parts or draw.owed]))
        left = sum(draw.parts.values(), draw.owed)
        amount = max((left * Decimal(part)).quantize(Decimal("0.01")), Decimal("0.01"))
        customer, unit = draw.order["customer_key"], draw.order["unit"]
        act: dict[str, Any] = {
            "draw_id": draw.pk, "amount": amount, "key": self.key(), "at": self.now, "actor": ROBOT,
            "reason_code": "miscounted",
        }  # fmt: skip
        if amount > sum(draw.parts.values(), draw.owed):
            with pytest.raises(returning.TooMuchReturned):
                returning.give_back(**act)
            seen["too much given back"] += 1
            return
        made = returning.give_back(**act)
        assert returning.give_back(**act).pk == made.pk
        less = min(draw.owed, amount)
        seen["overage given back" if less else "credit given back"] += 1
        owed_before, draw.owed = price(draw.owed, unit), draw.owed - less
        self.model.owe(customer, price(draw.owed, unit) - owed_before)
        amount -= less
        for grant in sorted(draw.parts, key=Grant.rank, reverse=True):
            back = min(draw.parts[grant], amount)
            draw.parts[grant] -= back
            grant.left += back
            grant.used -= back
            amount -= back

    # Holds ---------------------------------------------------------------------------------------------------------

    @rule(
        data=st.data(),
        feature=features,
        policy=st.sampled_from(("all", "partial")),
        hours=st.sampled_from((1, 30, 100)),
    )
    def reserve(self, data: st.DataObject, feature: str, policy: Any, hours: int) -> None:
        customer, unit, amount = self.somewhere(data)
        terms: dict[str, Any] = {
            "customer_key": customer, "unit": unit, "amount": amount, "feature": feature, "key": self.key(),
            "at": self.now, "expires_at": self.now + timedelta(hours=hours), "actor": ROBOT, "policy": policy,
        }  # fmt: skip
        parts, short = self.model.plan(customer, unit, amount, feature=feature, when=self.now)
        over = [h for h in self.model.holds if (h.customer, h.unit) == (customer, unit) and h.expires <= self.now]
        if short and over:
            before = [(hold, hold.parts) for hold in over]
            self.model.short_of_holds(customer, unit, self.now)
            parts, short = self.model.plan(customer, unit, amount, feature=feature, when=self.now)
            if not parts or (policy == "all" and short):  # refused: nothing has changed, those holds neither
                for hold, kept in before:
                    self.model.holds.append(hold)
                    for grant, part in kept:
                        grant.held += part
        if not parts or (policy == "all" and short):
            with pytest.raises(holding.CreditShort):
                holding.reserve(**terms)
            seen["hold refused"] += 1
            return
        row = holding.reserve(**terms)
        assert row.amount == amount - short
        seen["hold of a part" if short else "hold"] += 1
        assert holding.reserve(**terms).pk == row.pk
        for grant, part in parts:
            grant.held += part
        self.model.holds.append(Hold(row, customer, unit, feature, self.now, self.now + timedelta(hours=hours), parts))

    @precondition(lambda self: bool(self.model.holds))
    @rule(
        data=st.data(),
        part=st.sampled_from(("0", "0.25", "0.7", "1", "1", "1.5", "4")),
        rest=st.sampled_from(("refuse", "draw", "overage")),
    )
    def settle(self, data: st.DataObject, part: str, rest: Any) -> None:
        hold = data.draw(st.sampled_from(self.model.holds))
        amount = (hold.amount * Decimal(part)).quantize(Decimal("0.01"))
        act: dict[str, Any] = {"hold": hold.row, "actual": amount, "at": self.now, "actor": ROBOT, "rest": rest}
        more = amount - hold.amount
        parts: list[tuple[Grant, Decimal]] = []
        short = ZERO
        if more > 0:
            if rest == "refuse":
                with pytest.raises(holding.HoldExceeded):
                    holding.settle(**act)
                return
            parts, short = self.model.plan(hold.customer, hold.unit, more, feature=hold.feature, when=hold.at)
            if short and rest == "draw":
                with pytest.raises(holding.CreditShort):
                    holding.settle(**act)
                return
        settled = holding.settle(**act)
        assert settled.amount == min(amount, hold.amount)
        seen["settled with more" if more > 0 else "settled"] += 1
        assert holding.settle(**act).amount == settled.amount
        with pytest.raises(holding.HoldResolved):
            holding.settle(**act | {"actual": amount + 1, "rest": "overage"})
        left = settled.amount
        total: dict[Grant, Decimal] = dict(parts)
        for grant, kept in sorted(hold.parts, key=lambda kept: kept[0].rank()):
            taken = min(kept, left)
            left -= taken
            total[grant] = total.get(grant, ZERO) + taken
        self.model.let_go(hold)
        for grant, taken in total.items():
            grant.left -= taken
            grant.used += taken
        if short:
            self.model.owe(hold.customer, price(short, hold.unit))

    @precondition(lambda self: bool(self.model.holds))
    @rule(data=st.data())
    def release(self, data: st.DataObject) -> None:
        hold = data.draw(st.sampled_from(self.model.holds))
        assert holding.release(hold=hold.row, at=self.now, actor=ROBOT).kind == "released"
        seen["released"] += 1
        self.model.let_go(hold)

    # Credit goes ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: bool(self.model.grants))
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        grant = data.draw(st.sampled_from(self.model.grants))
        act: dict[str, Any] = {
            "grant": CreditGrant.objects.get(pk=grant.pk), "reason_code": "t", "actor": ROBOT, "at": self.now,
            "key": self.key(),
        }  # fmt: skip
        if grant.kind == "paid" or grant.free <= 0:
            with pytest.raises(BillingError):
                voiding.void(**act)
            return
        entry = voiding.void(**act)
        assert voiding.void(**act).pk == entry.pk
        seen["voided"] += 1
        grant.voided += grant.free
        grant.left = grant.held

    @precondition(lambda self: any(grant.kind == "paid" for grant in self.model.grants))
    @rule(data=st.data(), part=st.sampled_from((Decimal("0.25"), Decimal(1), Decimal(2))))
    def refund(self, data: st.DataObject, part: Decimal) -> None:
        grant = data.draw(st.sampled_from([grant for grant in self.model.grants if grant.kind == "paid"]))
        amount = (grant.free * part).quantize(Decimal("0.01"))
        act: dict[str, Any] = {
            "grant": CreditGrant.objects.get(pk=grant.pk), "amount": amount, "reason_code": "t", "actor": ROBOT,
            "at": self.now, "key": self.key(),
        }  # fmt: skip
        before, grant.left = grant.money, grant.left - amount
        money = amount if grant.unit == "USD" else before - grant.money
        grant.left += amount
        if not 0 < amount <= grant.free or round_amount(money, "USD") <= 0:
            with pytest.raises((buying.NotRefundable, buying.NothingToPay)):
                buying.refund(**act)
            return
        entry = buying.refund(**act)
        assert buying.refund(**act).pk == entry.pk
        seen["refunded"] += 1
        grant.left -= amount
        grant.voided += amount

    @rule(data=st.data())
    def transfer(self, data: st.DataObject) -> None:
        giver, unit, amount = self.somewhere(data)
        taker = next(customer for customer in CUSTOMERS if customer != giver)
        usable = [g for g in self.model.of(giver, unit) if g.free > 0 and (g.expires is None or self.now < g.expires)]
        parts, short = take(usable, amount)
        wanted: dict[str, Any] = {
            "from_customer": giver, "to_customer": taker, "unit": unit, "amount": amount, "reason_code": "t",
            "key": self.key(), "actor": ANN, "at": self.now,
        }  # fmt: skip
        if short:
            with pytest.raises(transferring.NotEnoughCredit):
                transferring.ask(**wanted)
            return
        request = transferring.ask(**wanted)
        shown = approving.preview(approval=request, at=self.now).fingerprint()
        with pytest.raises(BillingError):
            approving.approve(approval_id=request.pk, seen=shown, actor=ANN, at=self.now)
        approving.approve(approval_id=request.pk, seen=shown, actor=BOB, at=self.now)
        seen["transferred"] += 1
        for (grant, part), one in zip(parts, request.subject["parts"], strict=True):
            before = grant.money
            grant.left -= part
            grant.voided += part
            made = self.keep(CreditGrant.objects.get(public_id=one["becomes"]))
            assert (made.amount, made.customer, made.kind, made.scope) == (part, taker, grant.kind, grant.scope)
            assert (made.cost or ZERO) == before - grant.money
            assert (made.expires, made.priority) == (grant.expires, grant.priority)

    # Time, periods, and entries beside credit -------------------------------------------------------------------------

    @rule(hours=st.sampled_from((3, 24, 48, 24 * 15)))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        over = [hold for hold in self.model.holds if hold.expires <= self.now]
        assert holding.lapse_due(at=self.now) == len(over)
        seen["lapsed"] += len(over)
        for hold in over:
            self.model.let_go(hold)
        self.run_schedules()
        booked = self.model.expire(self.now)
        assert voiding.expire_due(at=self.now, grace=NOW) == booked
        seen["expired"] += booked

    @rule(hours=st.sampled_from((2, 20)))
    def time_passes_and_nobody_works(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.run_schedules()

    @rule(soft=st.booleans())
    def close(self, soft: bool) -> None:
        over = Period.objects.exclude(status="closed").filter(ends_before__lte=self.now.date()).order_by("starts_on")
        period = over.first()
        if period is None:
            return
        if soft and period.status == "open":
            closing.soft_close(period=period, at=self.now, actor=AGENT)
            seen["soft-closed"] += 1
        elif not soft:
            closing.close(period=period, at=self.now, actor=AGENT)
            seen["closed"] += 1

    @precondition(lambda self: self.now.month > AT.month)
    @rule()
    def reopen(self) -> None:
        latest = Period.objects.filter(status="closed").select_related("book").order_by("-starts_on").first()
        if latest is not None:
            reopened(latest, key=self.key(), at=self.now)
            seen["reopened"] += 1

    @rule(
        customer=customers,
        amount=amounts,
        ago=st.sampled_from((0, 3, 20, 40)),
        late=st.sampled_from(("refuse", "move")),
        person=st.booleans(),
    )
    def post_late(self, customer: str, amount: Decimal, ago: int, late: Any, person: bool) -> None:
        when = max(self.now - timedelta(days=ago), AT - timedelta(days=20))
        period = Period.objects.filter(starts_on__lte=when.date(), ends_before__gt=when.date()).first()
        status = period.status if period else "open"
        draft: dict[str, Any] = {
            "movement": movements.USAGE_ACCRUED, "key": self.key(), "at": self.now, "effective_at": when,
            "lines": movements.usage_accrued(customer_key=customer, unit="USD", amount=amount), "late": late,
            "actor": AGENT if person else ROBOT, "reason_code": "late" if person else "",
        }  # fmt: skip
        stays = status == "open" or (status == "soft_closed" and person)
        if not stays and late == "refuse":
            with pytest.raises(posting.PeriodClosed):
                posting.post(**draft)
            seen["late entry refused"] += 1
            return
        entry = posting.post(**draft)
        assert posting.post(**draft).pk == entry.pk
        with pytest.raises(posting.EntryDiffers):
            posting.post(**draft | {"ticket": "T-1"})
        assert (entry.effective_at == when) is stays
        seen[f"entry into {status} days" if stays else "late entry moved"] += 1
        if not stays:
            assert entry.occurred_at == when < entry.effective_at
        self.model.owe(customer, amount)
        self.accrued.append((entry, customer, amount))

    @precondition(lambda self: bool(self.accrued))
    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        one = data.draw(st.sampled_from(self.accrued))
        self.accrued.remove(one)
        entry, customer, amount = one
        undo: dict[str, Any] = {"entry": entry, "at": self.now, "actor": Actor("system", "t"), "reason_code": "t"}
        posting.reverse(**undo, key=self.key())
        with pytest.raises(posting.AlreadyReversed):
            posting.reverse(**undo, key=self.key())
        self.model.owe(customer, -amount)
        seen["reversed"] += 1

    # After every step -----------------------------------------------------------------------------------------------

    @invariant()
    def every_grant_is_where_the_model_has_it(self) -> None:
        grants = self.model.grants
        rows = CreditGrant.objects.in_bulk([grant.pk for grant in grants])
        assert CreditGrant.objects.count() == len(grants)
        found = balances.with_balances([rows[grant.pk] for grant in grants], at=self.now)
        assert [(g.remaining, g.held, g.used, g.expired, g.voided) for g in found] == [
            (g.left, g.held, g.used, g.expired, g.voided) for g in grants
        ]
        for grant in grants:
            assert grant.left + grant.used + grant.expired + grant.voided == grant.amount
            assert 0 <= grant.held <= grant.left

    @invariant()
    def the_money_behind_units_is_in_proportion(self) -> None:
        stored = {
            (account.dimension): account.balance.net
            for account in Account.objects.filter(code__in=("2005", "2015", "2025")).select_related("balance")
        }
        named = dict(CreditGrant.objects.exclude(money_code="").values_list("pk", "public_id"))
        assert {str(named[g.pk]): g.money for g in self.model.grants if g.cost is not None and g.cost > 0} == stored

    @invariant()
    def what_is_owed_is_what_the_model_says(self) -> None:
        for customer in CUSTOMERS:
            found = balances.of(customer_key=customer, unit="USD").unbilled
            assert found == self.model.unbilled.get(customer, ZERO)

    @invariant()
    def every_proof_holds(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        assert proofs.violations() == []
        seen["states compared"] += 1


seen: Counter[str] = Counter()
"""What happened, by name; a soak that misses something has shown nothing of it."""

EXPECTED = {
    "draw accepted", "draw accepted again", "draw accepted for earlier use", "draw partial", "draw partial again",
    "draw partial for earlier use", "draw overage", "draw overage again", "draw overage for earlier use",
    "draw refused", "draw refused again", "draw refused for earlier use", "breakage undone", "credit given back",
    "overage given back", "too much given back", "hold", "hold of a part", "hold refused", "settled",
    "settled with more", "released", "lapsed", "expired", "voided", "refunded", "transferred", "bought", "rolled over",
    "soft-closed", "closed", "reopened", "entry into open days", "entry into soft_closed days", "late entry moved",
    "late entry refused", "reversed",
}  # fmt: skip


@pytest.mark.django_db
def test_random_walks_through_all_credits() -> None:
    seen.clear()
    soak = os.environ.get("LEDGER_WALK") == "soak"
    with override_settings(CREDIT_HOLDER_CHECK=""):  # the customers here are nobody's but the ledger's
        run_state_machine_as_test(
            Walk,
            settings=settings(
                max_examples=700 if soak else 65,
                stateful_step_count=20,
                deadline=None,
                phases=[Phase.explicit, Phase.reuse, Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    for name, times in sorted(seen.items()):
        print(f"{times:6} {name}")
    assert seen["states compared"] > (10_000 if soak else 1_000)
    missed = sorted(name for name in EXPECTED if not seen[name])
    print("not seen:", ", ".join(missed) or "nothing")
    assert not soak or len(missed) <= 6
