"""What a customer used and was not billed for is read in a number of queries that their history does not raise."""

from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from django.db import connection
from django.test.utils import CaptureQueriesContext

from invoicing import accruals, drafting
from plans import subscribing
from tests.invoicing.stories import START, TESTER, fold, join, publish, usage_price, used

if TYPE_CHECKING:
    from tests.support.billing import World


def test_subscriptions_that_ended_long_ago_cost_no_query(books: "World") -> None:
    plan = publish("p", usage_price("tokens", "0.01"))
    acme = join(plan, "acme", begin=False)
    asked: list[int] = []
    for number in range(7):
        running = acme.subscriptions.latest("pk")
        at = running.starts_at + timedelta(hours=3)
        if number:
            drafting.draft(customer_id=acme.pk, edge=running.starts_at, at=at, actor=TESTER)
        if number == 6:
            used(number, time=running.starts_at + timedelta(hours=1), generated=100)
            fold(at)
        with CaptureQueriesContext(connection) as queries:
            found = accruals.unbilled(acme, at=at)["USD"]
        asked.append(len(queries))
        assert found == Decimal(number == 6), number
        ended = subscribing.end(subscription=running, at=running.starts_at, actor=TESTER)
        assert ended.ends_at is not None
        for edge in {ended.starts_at, ended.ends_at}:
            drafting.draft(customer_id=acme.pk, edge=edge, at=ended.ends_at, actor=TESTER)
        subscribing.subscribe(
            customer=acme, version=plan, key=f"s{number}", starts_at=ended.ends_at, at=ended.ends_at, actor=TESTER
        )
    assert asked[-1] == asked[-2] == asked[3], asked
    assert running.starts_at - timedelta(days=150) > START
