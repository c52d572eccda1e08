"""A random walk through the ledger beside an in-memory model: after each step both say the same and all proofs hold."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from billing_ops.kit.errors import BillingError
from ledger import balances, crediting, posting, proofs, voiding
from ledger.models import CreditGrant, Entry, Line
from ledger.rules import movements
from tests.ledger.books import AT, ROBOT, accrue, give

CUSTOMERS = ("cus-1", "cus-2")
amounts = st.integers(1, 3000).map(lambda cents: Decimal(cents).scaleb(-2))
customers = st.sampled_from(CUSTOMERS)


@dataclass
class Granted:
    """A grant as the model keeps it."""

    row: CreditGrant
    left: Decimal
    used: Decimal = Decimal(0)
    expired: Decimal = Decimal(0)
    voided: Decimal = Decimal(0)


@dataclass
class Model:
    """Plain sums: what each account should hold."""

    receivable: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    unbilled: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    balance: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    cash: Decimal = Decimal(0)
    usage: Decimal = Decimal(0)
    grants: list[Granted] = field(default_factory=list)
    reversible: list[tuple[Entry, str, Decimal]] = field(default_factory=list)
    entries: int = 0


class Walk(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.number = 0
        self.now = AT
        self.last: dict[str, Any] | None = None
        self.block = transaction.atomic()
        self.block.__enter__()

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.block.__exit__(None, None, None)

    def key(self) -> str:
        self.number += 1
        return f"k{self.number}"

    @rule(customer=customers, amount=amounts)
    def use(self, customer: str, amount: Decimal) -> None:
        exact = amount + Decimal("0.000000000001")
        entry = accrue(self.key(), str(exact), customer=customer, at=self.now)
        self.model.unbilled[customer] += exact
        self.model.usage += exact
        self.model.entries += 1
        self.model.reversible.append((entry, customer, exact))

    @rule(
        customer=customers,
        amount=amounts,
        kind=st.sampled_from(("paid", "promotional", "goodwill", "included")),
        priority=st.sampled_from((10, 50)),
        days=st.one_of(st.none(), st.integers(1, 3)),
    )
    def grant(self, customer: str, amount: Decimal, kind: str, priority: int, days: int | None) -> None:
        expires = None if days is None else self.now + timedelta(days=days)
        row = give(
            self.key(), str(amount), customer=customer, kind=kind, priority=priority, expires_at=expires, at=self.now
        )
        self.model.grants.append(Granted(row, amount))
        self.model.entries += 1

    def payers(self, customer: str) -> list[Granted]:
        """Who pays next, by the documented order, computed here on its own."""
        able = [
            grant
            for grant in self.model.grants
            if grant.row.customer_key == customer
            and grant.left > 0
            and (grant.row.expires_at is None or self.now < grant.row.expires_at)
        ]
        return sorted(
            able,
            key=lambda g: (
                g.row.priority,
                g.row.expires_at is None,
                g.row.expires_at or self.now,
                g.row.kind == "paid",
                g.row.effective_at,
                g.row.pk,
            ),
        )

    @rule(customer=customers, amount=amounts)
    def invoice(self, customer: str, amount: Decimal) -> None:
        expected: dict[int, Decimal] = {}
        open_amount = amount
        for grant in self.payers(customer):
            part = min(open_amount, grant.left)
            if part:
                expected[grant.row.pk] = part
                grant.left -= part
                grant.used += part
                open_amount -= part
        key = self.key()
        with transaction.atomic():
            needs = [crediting.Need("line", "", amount)]
            terms: dict[str, Any] = {"customer_key": customer, "currency": "USD", "needs": needs, "at": self.now}
            quoted = crediting.quote(**terms)
            applied = crediting.apply(key=key, **terms)
            assert {row.grant_id: row.amount for row in applied} == expected
            assert [(row.grant_id, row.amount) for row in quoted] == [(row.grant_id, row.amount) for row in applied]
            lines = movements.invoice_finalized(
                customer_key=customer,
                currency="USD",
                receivable=open_amount,
                accrued_cleared=amount,
                credits=crediting.uses_of(applied),
            )
            self.last = {
                "movement": movements.INVOICE_FINALIZED,
                "key": key,
                "lines": lines,
                "at": self.now,
                "actor": ROBOT,
                "customer_key": customer,
            }
            posting.post(**self.last)
        self.model.receivable[customer] += open_amount
        self.model.unbilled[customer] -= amount
        self.model.entries += 1

    @rule(customer=customers, amount=amounts)
    def pay(self, customer: str, amount: Decimal) -> None:
        applied = max(min(amount, self.model.receivable[customer]), Decimal(0))
        self.last = {
            "movement": movements.PAYMENT_SUCCEEDED,
            "key": self.key(),
            "at": self.now,
            "actor": ROBOT,
            "lines": movements.payment_succeeded(customer_key=customer, currency="USD", amount=amount, applied=applied),
        }
        posting.post(**self.last)
        self.model.receivable[customer] -= applied
        self.model.balance[customer] += amount - applied
        self.model.cash += amount
        self.model.entries += 1

    @rule(customer=customers, amount=amounts)
    def spend_balance(self, customer: str, amount: Decimal) -> None:
        enough = self.model.balance[customer] >= amount
        draft: dict[str, Any] = {
            "movement": movements.BALANCE_APPLIED,
            "key": self.key(),
            "at": self.now,
            "actor": ROBOT,
            "lines": movements.balance_applied(customer_key=customer, currency="USD", amount=amount),
        }
        if not enough:
            with pytest.raises(posting.Overdraft):
                posting.post(**draft)
            return
        posting.post(**draft)
        self.model.balance[customer] -= amount
        self.model.receivable[customer] -= amount
        self.model.entries += 1

    @precondition(lambda self: self.last is not None)
    @rule(change=st.booleans())
    def send_again(self, change: bool) -> None:
        assert self.last is not None
        if change:
            with pytest.raises(posting.EntryDiffers):
                posting.post(**{**self.last, "reason_note": "changed"})
        else:
            assert posting.post(**self.last).idempotency_key == self.last["key"]

    @precondition(lambda self: bool(self.model.reversible))
    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        entry, customer, exact = data.draw(st.sampled_from(self.model.reversible))
        posting.reverse(entry=entry, key=self.key(), at=self.now, actor=ROBOT, reason_code="test")
        self.model.reversible.remove((entry, customer, exact))
        self.model.unbilled[customer] -= exact
        self.model.usage -= exact
        self.model.entries += 1
        with pytest.raises(posting.AlreadyReversed):
            posting.reverse(entry=entry, key=self.key(), at=self.now, actor=ROBOT, reason_code="test")

    @precondition(lambda self: bool(self.model.grants))
    @rule(data=st.data())
    def void(self, data: st.DataObject) -> None:
        grant = data.draw(st.sampled_from(self.model.grants))
        act: dict[str, Any] = {
            "grant": grant.row,
            "reason_code": "t",
            "actor": ROBOT,
            "at": self.now,
            "key": self.key(),
        }
        if grant.row.kind == "paid" or grant.left == 0:
            with pytest.raises(BillingError):
                voiding.void(**act)
            return
        voiding.void(**act)
        grant.voided += grant.left
        grant.left = Decimal(0)
        self.model.entries += 1

    @rule(days=st.integers(1, 2))
    def days_pass(self, days: int) -> None:
        self.now += timedelta(days=days)
        over = [g for g in self.model.grants if g.left and g.row.expires_at and g.row.expires_at <= self.now]
        assert voiding.expire_due(at=self.now, grace=timedelta(0)) == len(over)
        for grant in over:
            grant.expired += grant.left
            grant.left = Decimal(0)
        self.model.entries += len(over)

    @invariant()
    def the_books_say_what_the_model_says(self) -> None:
        for customer in CUSTOMERS:
            now = balances.of(customer_key=customer, unit="USD")
            assert now.receivable == self.model.receivable[customer]
            assert now.unbilled == self.model.unbilled[customer]
            assert now.customer_balance == self.model.balance[customer]
            assert now.credits_total == sum(
                (g.left for g in self.model.grants if g.row.customer_key == customer), Decimal(0)
            )
        nets = {line.code: line.net for line in balances.trial_balance(unit="USD")}
        assert nets.get("1010", Decimal(0)) == self.model.cash
        assert nets.get("4000", Decimal(0)) == -self.model.usage
        assert Entry.objects.count() == self.model.entries

    @invariant()
    def every_grant_is_accounted_for(self) -> None:
        for found, grant in zip(
            balances.with_balances([g.row for g in self.model.grants], at=self.now), self.model.grants, strict=True
        ):
            assert (found.remaining, found.used, found.expired, found.voided) == (
                grant.left,
                grant.used,
                grant.expired,
                grant.voided,
            )
            assert found.remaining + found.used + found.expired + found.voided == grant.row.amount

    @invariant()
    def every_proof_holds(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        assert proofs.violations() == []
        assert not Line.objects.filter(amount__lte=0).exists()


@pytest.mark.django_db
def test_random_walks() -> None:
    run_state_machine_as_test(
        Walk,
        settings=settings(
            max_examples=25,
            stateful_step_count=12,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        ),
    )
