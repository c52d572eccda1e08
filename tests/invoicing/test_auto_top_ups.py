"""Topping up by itself: once below the threshold, never twice at a time, never in a loop, never above the cap."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st
from moneyed import Money

from billing_ops.models import FailedWork
from invoicing import auto_topping_up, topping_up
from invoicing.models import AutoTopUp, AutoTopUpWork, TopUp
from invoicing.rules.auto_top_ups import RETRY_AFTER, decide, month_of
from ledger import balances, crediting, voiding
from ledger.models import CreditGrant
from plans.models import Customer
from tests.invoicing.shop import Shop, collect
from tests.invoicing.stories import START, TESTER, at_once, give_card, join

D = Decimal
NUMBERS = iter(range(1, 10_000))
LATER = START + timedelta(minutes=5)


@pytest.fixture(autouse=True)
def _no_rules_of_others(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tests of this module share a database: a rule is switched off when its test is over."""
    yield
    if "shop" in request.fixturenames:
        AutoTopUpWork.objects.update(enabled=False)
        FailedWork.objects.filter(task=auto_topping_up.TASK).delete()


@pytest.fixture
def buyer(shop: Shop) -> Customer:
    return join(shop.plan("20.00"), f"auto-{next(NUMBERS)}", begin=False)


def rule(customer: Customer, *, at: datetime = START, **other: Any) -> AutoTopUp:
    return auto_topping_up.set_rule(**{
        "customer_id": customer.pk, "unit": "USD", "enabled": True, "threshold": D(10), "quantity": D(50),
        "monthly_cap": Money("120", "USD"), "reason": "asked for", "at": at, "actor": TESTER, **other,
    })  # fmt: skip


def run(at: datetime = LATER) -> int:
    return auto_topping_up.run_due(at=at)


def orders(customer: Customer) -> list[str]:
    return list(TopUp.objects.filter(customer=customer).order_by("pk").values_list("status", flat=True))


def has(customer: Customer, amount: str, at: datetime = START) -> CreditGrant:
    return crediting.grant(
        customer_key=customer.key, kind="promotional", amount=Money(amount, "USD"), reason_code="x", actor=TESTER,
        at=at, key=f"g{next(NUMBERS)}",
    )  # fmt: skip


def lose(grant: CreditGrant, at: datetime = LATER) -> None:
    voiding.void(grant=grant, reason_code="x", actor=TESTER, at=at, key=f"v{next(NUMBERS)}")


_AMOUNT = st.decimals(0, 1000, places=2)


@given(available=_AMOUNT, threshold=_AMOUNT, price=_AMOUNT, spent=_AMOUNT, cap=_AMOUNT)
def test_it_buys_below_the_threshold_and_within_the_cap_only(
    available: Decimal, threshold: Decimal, price: Decimal, spent: Decimal, cap: Decimal
) -> None:
    found = decide(available=available, threshold=threshold, price=price, spent_this_month=spent, monthly_cap=cap)
    assert (found == "enough") == (available >= threshold)
    assert found != "buy" or spent + price <= cap


def test_a_month_is_the_customers() -> None:
    first, following = month_of(datetime(2025, 1, 31, 23, 30, tzinfo=UTC), "Europe/Berlin")
    assert (first, following) == (datetime(2025, 1, 31, 23, tzinfo=UTC), datetime(2025, 2, 28, 23, tzinfo=UTC))


def test_below_the_threshold_one_top_up_is_ordered_collected_and_then_it_is_enough(shop: Shop, buyer: Customer) -> None:
    grant = has(buyer, "10.00")
    rule(buyer)
    assert run() == 0, "ten is not below ten"
    lose(grant)
    assert run() == 1
    assert orders(buyer) == ["open"]
    assert run(LATER + timedelta(minutes=1)) == 0, "one at a time"
    collect(TopUp.objects.get(customer=buyer).invoice, LATER)
    assert balances.of(customer_key=buyer.key, unit="USD").credits_total == 50
    assert run(LATER + timedelta(minutes=2)) == 0
    assert orders(buyer) == ["paid"]


def test_only_customers_with_something_new_are_looked_at(shop: Shop, buyer: Customer) -> None:
    has(buyer, "100.00")
    rule(buyer)
    assert auto_topping_up.due(at=LATER) == [AutoTopUpWork.objects.get(customer=buyer).pk]
    run()
    with CaptureQueriesContext(connection) as queries:
        assert run(LATER + timedelta(minutes=1)) == 0
    assert len(queries) == 1
    has(buyer, "1.00", LATER)
    assert len(auto_topping_up.due(at=LATER + timedelta(minutes=1))) == 1
    run(LATER + timedelta(minutes=1))
    assert len(auto_topping_up.due(at=LATER + timedelta(hours=2))) == 1, "holds make no entry: looked at every hour"


def test_two_workers_order_one(shop: Shop, buyer: Customer) -> None:
    rule(buyer)
    work = AutoTopUpWork.objects.get(customer=buyer)
    found = at_once(*[lambda: auto_topping_up.look(work_id=work.pk, at=LATER)] * 4)
    assert sorted(one.outcome for one in found) == ["ordered", "waits", "waits", "waits"]
    assert orders(buyer) == ["open"]


def test_the_month_has_a_cap_and_the_next_one_another(shop: Shop, buyer: Customer) -> None:
    rule(buyer, quantity=D(50), monthly_cap=Money("60", "USD"))
    run()
    collect(TopUp.objects.get(customer=buyer).invoice, LATER)
    lose_all(buyer)
    assert run(LATER + timedelta(hours=1)) == 0
    assert FailedWork.objects.get(task=auto_topping_up.TASK).code == "auto_top_up.cap_reached"
    assert run(LATER + timedelta(days=5)) == 0
    assert FailedWork.objects.get(task=auto_topping_up.TASK).tries == 1, "nobody looks again before the month is over"
    assert run(datetime(2025, 2, 1, tzinfo=UTC)) == 1
    assert not FailedWork.objects.filter(task=auto_topping_up.TASK).exists()


def lose_all(customer: Customer) -> None:
    for grant in CreditGrant.objects.filter(customer_key=customer.key, kind="paid"):
        from invoicing import refunding

        refunding.refund_credit(grant=grant, reason_code="x", key=f"r{next(NUMBERS)}", at=LATER, actor=TESTER)


def test_a_declined_card_is_tried_again_after_days_and_then_given_up(shop: Shop, buyer: Customer) -> None:
    give_card(buyer, "pm_card_chargeCustomerFail")
    rule(buyer)
    run()
    top_up = TopUp.objects.get(customer=buyer)
    assert collect(top_up.invoice, LATER).status == "failed"
    at = LATER + timedelta(hours=2)
    run(at)
    assert FailedWork.objects.get(task=auto_topping_up.TASK).code == "auto_top_up.declined"
    for minute in range(5):
        run(at + timedelta(minutes=minute))
    assert top_up.invoice.attempts.count() == 1, "no loop of charges"
    for wait in RETRY_AFTER:
        at += wait + timedelta(hours=2)
        run(at)
    top_up.refresh_from_db()
    assert (top_up.status, top_up.invoice.attempts.count()) == ("void", len(RETRY_AFTER))
    now = auto_topping_up.current(customer_id=buyer.pk, unit="USD")
    assert now is not None
    assert (now.enabled, now.set_by_id) == (False, "auto-top-up")
    assert run(at + timedelta(days=30)) == 0
    assert balances.of(customer_key=buyer.key, unit="USD").receivable == 0
    assert orders(buyer) == ["void"]


def test_another_card_pays_the_same_invoice_and_the_rule_goes_on(shop: Shop, buyer: Customer) -> None:
    give_card(buyer, "pm_card_chargeCustomerFail")
    rule(buyer)
    run()
    top_up = TopUp.objects.get(customer=buyer)
    collect(top_up.invoice, LATER)
    run(LATER + timedelta(hours=2))
    give_card(buyer, "pm_card_visa")
    collect(top_up.invoice, LATER + timedelta(hours=3))
    assert orders(buyer) == ["paid"]
    work = AutoTopUpWork.objects.get(customer=buyer)
    assert (work.tries, work.next_try_at) == (0, None)


def test_who_switched_it_when_is_its_history(shop: Shop, buyer: Customer) -> None:
    first = rule(buyer)
    assert rule(buyer) == first
    rule(buyer, enabled=False, reason="too dear", at=LATER)
    rows = AutoTopUp.objects.filter(customer=buyer).order_by("pk")
    assert [(row.enabled, row.reason) for row in rows] == [(True, "asked for"), (False, "too dear")]
    assert run() == 0


@pytest.mark.parametrize(
    ("field", "change"),
    [("threshold", {"threshold": D(-1)}), ("quantity", {"quantity": D(0)}), ("unit", {"unit": "EUR"}),
     ("reason", {"reason": " "}), ("monthly_cap", {"monthly_cap": Money(1, "EUR")})],
)  # fmt: skip
def test_a_rule_that_cannot_be_is_refused(shop: Shop, buyer: Customer, field: str, change: Any) -> None:
    with pytest.raises(auto_topping_up.BadRule) as caught:
        rule(buyer, **change)
    assert caught.value.details["field"] == field


def test_the_database_keeps_one_open_order_of_a_rule(shop: Shop, buyer: Customer) -> None:
    from django.db import IntegrityError, transaction

    made = rule(buyer)
    run()
    with pytest.raises(IntegrityError, match="top_up_one_open_by_rule"), transaction.atomic():
        topping_up.order(
            customer_id=buyer.pk, order=topping_up.Order("USD", D(5)), key="x", at=LATER, actor=TESTER, rule=made
        )
