"""Steps that the stories of drawdown share."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from moneyed import Money

from billing_ops.models import FailedWork
from invoicing import billing, drafting, drawdowns
from invoicing.models import UsageDraw
from ledger import balances, crediting, proofs
from plans.models import Customer
from plans.rules.prices import Tier
from plans.rules.specs import PriceSpec
from tests.invoicing.stories import FEBRUARY_LATER, GENERATED, START, TESTER, usage_price

D = Decimal
HOUR = timedelta(hours=1)

TIERED = PriceSpec(
    key="output",
    name="Output tokens",
    model="graduated",
    included_units=D(1000),
    tiers=(Tier(D(10_000), D("0.001")), Tier(None, D("0.0005"))),
    meter=GENERATED,
    settlement="drawdown",
)
"""1,000 tokens included, then $1.00 a thousand up to 10,000 billable ones, then $0.50 a thousand."""


def drawn_price(unit_amount: str = "0.001", **changes: Any) -> PriceSpec:
    return replace(usage_price("output", unit_amount), settlement="drawdown", **changes)


def credit(amount: str, *, key: str = "", customer: str = "acme", at: datetime = START, **terms: Any) -> Any:
    return crediting.grant(
        customer_key=customer, kind=terms.pop("kind", "goodwill"), amount=Money(amount, "USD"), reason_code="outage",
        actor=TESTER, at=at, key=key or f"credit-{amount}", **terms,
    )  # fmt: skip


def draw(at: datetime) -> int:
    """What the task does."""
    tally = billing.draw_due(at=at, actor=TESTER)
    assert tally.failed == 0, FailedWork.objects.values_list("message", flat=True)
    return tally.done


def steps() -> list[tuple[Decimal, Decimal, Decimal]]:
    """Amount, drawn and overage of each step."""
    return [(one.amount.normalize(), one.drawn.normalize(), one.overage.normalize()) for one in facts()]


def facts() -> list[UsageDraw]:
    """The rows themselves."""
    return list(UsageDraw.objects.order_by("drawdown__service_start", "step"))


def proven(at: datetime = FEBRUARY_LATER) -> None:
    assert drawdowns.violations(at=at) == []
    assert proofs.violations() == []


def books_of(customer: str = "acme") -> balances.CustomerBalances:
    return balances.of(customer_key=customer, unit="USD")


def passed(customer: Customer, edge: datetime) -> None:
    """The edge is billed, and there is nothing to say."""
    assert drafting.draft(customer_id=customer.pk, edge=edge, at=edge, actor=TESTER) == []
