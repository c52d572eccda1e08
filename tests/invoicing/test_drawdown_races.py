"""Several workers draw, bill and take credit at the same moment, on a database that commits."""

from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from invoicing import billing, drafting, drawdowns, drawing_down
from invoicing.accruing import CustomerBusy
from invoicing.models import Drawdown, UsageDraw
from invoicing.tasks import draw_down
from ledger import balances, drawing, proofs
from plans.models import SubscriptionItem
from tests.invoicing.drawing import HOUR, TIERED, D, credit, drawn_price
from tests.invoicing.shop import Shop
from tests.invoicing.stories import MONTH_LATER, NOON, START, TESTER, at_once, fee, finalized, join, publish, told, used

WORKERS = 4
_numbers = count(1)  # the module shares one world, and an event is told once


def look() -> billing.Tally:
    return billing.draw_due(at=NOON + HOUR, actor=TESTER)


def proven(at: Any = NOON + HOUR) -> None:
    assert drawdowns.violations(at=at) == []
    assert proofs.violations() == []


def drawn(customer: str) -> list[Decimal]:
    rows = UsageDraw.objects.filter(drawdown__item__customer__key=customer).order_by("step")
    return [one.amount.normalize() for one in rows]


def test_workers_that_look_at_once_draw_once(shop: Shop) -> None:
    plan = publish("raced", TIERED)
    names = [f"raced-{number}" for number in range(5)]
    for name in names:
        join(plan, name)
        credit("1.00", customer=name, key=name)
        used(next(_numbers), time=NOON, subject=name, generated=3_000)
    tallies = at_once(*[look] * WORKERS)
    assert all(isinstance(one, billing.Tally) and not one.failed for one in tallies), tallies
    look()  # what every worker left because another one had its customer
    assert [drawn(name) for name in names] == [[D(2)]] * len(names)
    assert [balances.of(customer_key=name, unit="USD").credits_total for name in names] == [0] * len(names)
    proven()


def test_one_item_is_drawn_by_one_worker_and_the_others_find_nothing(shop: Shop) -> None:
    join(publish("alone", drawn_price()), "alone")
    used(next(_numbers), time=NOON, subject="alone", generated=3_000)
    item = SubscriptionItem.objects.get(customer__key="alone")
    made = at_once(
        *[lambda: drawing_down.draw_item(item_id=item.pk, at=NOON + HOUR, actor=TESTER, wait=True)] * WORKERS
    )
    assert sorted(made) == [0] * (WORKERS - 1) + [1]
    busy = at_once(
        *[lambda: drawing_down.draw_item(item_id=item.pk, at=NOON + 3 * HOUR, actor=TESTER, wait=False)] * WORKERS
    )
    assert all(one == 0 or isinstance(one, CustomerBusy) for one in busy)
    proven()


def test_a_bill_and_a_worker_at_once_owe_it_once(shop: Shop) -> None:
    customer = join(publish("billed", fee("5.00"), drawn_price()), "billed")
    told(next(_numbers), time=NOON, at=MONTH_LATER, subject="billed", generated=3_000)
    at = MONTH_LATER + timedelta(hours=1)
    (invoices, tally) = at_once(
        lambda: drafting.draft(customer_id=customer.pk, edge=MONTH_LATER, at=at, actor=TESTER),
        lambda: billing.draw_due(at=at, actor=TESTER),
    )
    assert tally.failed == 0
    (invoice,) = invoices
    told(next(_numbers), time=NOON, at=at, subject="billed", generated=1_000)
    (final, tally) = at_once(lambda: finalized(invoice, at), lambda: billing.draw_due(at=at, actor=TESTER))
    assert tally.failed == 0
    assert final.lines.get(kind="overage").amount.amount == 4
    assert sum(drawn("billed")) == 4
    assert balances.of(customer_key="billed", unit="USD").unbilled == 0
    proven(at)


def test_a_draw_by_hand_and_usage_take_the_credit_once(shop: Shop) -> None:
    join(publish("shared", drawn_price()), "shared")
    credit("4.00", customer="shared", key="shared")
    used(next(_numbers), time=NOON, subject="shared", generated=3_000)

    def by_hand() -> Any:
        return drawing.draw(
            customer_key="shared", unit="USD", amount=D(3), feature="output", key="by hand", at=NOON + HOUR,
            actor=TESTER, policy="overage",
        )  # fmt: skip

    (answer, tally) = at_once(by_hand, look)
    assert tally.failed == 0
    (step,) = UsageDraw.objects.filter(drawdown__item__customer__key="shared")
    assert step.drawn + answer.drawn == 4
    assert step.overage + answer.shortfall == 2
    proven()


def test_arrivals_during_a_look_are_drawn_by_the_next(shop: Shop, monkeypatch: Any) -> None:
    join(publish("moving", drawn_price()), "moving")
    used(next(_numbers), time=NOON, subject="moving", generated=1_000)
    really = drawing.draw_many

    def and_more_arrives(**asked: Any) -> Any:
        monkeypatch.setattr(drawing, "draw_many", really)
        at_once(lambda: used(next(_numbers), time=NOON, subject="moving", generated=500))
        return really(**asked)

    monkeypatch.setattr(drawing, "draw_many", and_more_arrives)
    look()
    assert drawn("moving") == [D(1)]
    look()
    assert drawn("moving") == [D(1), D("0.5")]
    proven()


def test_the_task_draws_until_nothing_is_left(shop: Shop) -> None:
    names = [f"task-{number}" for number in range(3)]
    plan = publish("task", drawn_price())
    for name in names:
        join(plan, name)
        used(next(_numbers), time=START + HOUR, subject=name, generated=1_000)
    shop.clock.set(NOON)
    assert draw_down() >= len(names)
    assert draw_down() == 0
    assert [drawn(name) for name in names] == [[D(1)]] * len(names)
    assert Drawdown.objects.filter(item__customer__key__in=names).count() == len(names)
