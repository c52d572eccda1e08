"""Steps that several stories of the bill share."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from invoicing import accruing, drafting, finalizing
from invoicing.models import Invoice
from plans import enrolling, publishing, subscribing
from plans.models import Customer, PlanVersion
from plans.rules.details import CustomerDetails
from plans.rules.specs import PriceSpec, VersionSpec
from tests.support.billing import CONTEXT, GENERATED, MONTH_LATER, START, TESTER, bill, event, fold, send

GRACE = timedelta(hours=1)
BILLED = MONTH_LATER + GRACE
"""When the first month's draft is old enough to be final."""
NOON = START + timedelta(days=10, hours=12)
FEBRUARY_LATER = MONTH_LATER + timedelta(days=28)


def usage_price(key: str, unit_amount: str, *, meter: str = GENERATED, included: int = 0) -> PriceSpec:
    """A price for each unit of a meter."""
    return PriceSpec(
        key=key,
        name=key.title(),
        model="per_unit",
        unit_amount=Decimal(unit_amount),
        meter=meter,
        included_units=Decimal(included),
    )


def fee(amount: str) -> PriceSpec:
    """A flat fee a period, in advance."""
    return PriceSpec(key="platform", name="Platform fee", model="flat", unit_amount=Decimal(amount))


def publish(key: str, *prices: PriceSpec, currency: str = "USD", at: datetime = START) -> PlanVersion:
    """A published plan on the meters of the world."""
    plan = publishing.create_plan(key=key, name=key.title(), at=at, actor=TESTER)
    version = publishing.draft_version(plan=plan, spec=VersionSpec(currency, prices), at=at, actor=TESTER)
    return publishing.publish(version=version, at=at, actor=TESTER)


def join(
    version: PlanVersion,
    key: str = "acme",
    *,
    currency: str = "USD",
    starts_at: datetime = START,
    anchor: datetime | None = None,
    card: str = "pm_card_visa",
    begin: bool = True,
    **details: str,
) -> Customer:
    """A customer with a card, subscribed to a plan; with ``begin`` its first edge is billed."""
    made = enrolling.enroll(
        key=key,
        details=CustomerDetails(name=details.pop("name", key.title()), currency=currency, **details),
        at=START,
        actor=TESTER,
    )
    if card:
        made = give_card(made, card)
    subscribing.subscribe(
        customer=made,
        version=version,
        key=f"sub-{key}",
        starts_at=starts_at,
        anchor=anchor,
        at=START,
        actor=TESTER,
    )
    if begin:
        for invoice in drafting.draft(customer_id=made.pk, edge=starts_at, at=starts_at, actor=TESTER):
            finalized(invoice, starts_at)
    return made


def give_card(customer: Customer, card: str) -> Customer:
    """From now on it pays with that card."""
    return enrolling.attach_payment(customer=customer, at=START, actor=TESTER, default_payment_method=card)


def used(number: int, *, time: datetime, subject: str = "acme", context: int = 0, generated: int = 0) -> None:
    """One request was served, told at once."""
    told(number, time=time, at=time, subject=subject, context=context, generated=generated)


def told(
    number: int, *, time: datetime, at: datetime, subject: str = "acme", context: int = 0, generated: int = 0
) -> None:
    """One request was served at ``time`` and we hear of it at ``at``."""
    result = send([event(number, subject=subject, time=time, context=context, generated=generated)], at=at)
    assert [outcome.outcome for outcome in result.outcomes] == ["accepted"]
    fold(at)


def drafted(customer: Customer, edge: datetime, *, at: datetime | None = None) -> Invoice:
    """The draft of an edge."""
    (invoice,) = drafting.draft(customer_id=customer.pk, edge=edge, at=at or edge, actor=TESTER)
    return invoice


def finalized(invoice: Invoice, at: datetime) -> Invoice:
    """The same, final."""
    return finalizing.finalize(public_id=invoice.public_id, at=at, actor=TESTER)


def billed(customer: Customer, edge: datetime, *, at: datetime | None = None) -> Invoice:
    """The final invoice of an edge, an hour after it."""
    at = at or edge + GRACE
    return finalized(drafted(customer, edge, at=at), at)


def accrue_to(at: datetime, *customers: Customer) -> None:
    """Bring revenue up to an instant."""
    for customer in customers:
        accruing.accrue(customer_id=customer.pk, at=at, actor=TESTER)


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """Run works at the same moment, each in a thread with its own connection; results or exceptions, in order."""
    barrier = threading.Barrier(len(works))
    found: list[Any] = [None] * len(works)

    def run(index: int, work: Callable[[], Any]) -> None:
        try:
            barrier.wait(30)
            found[index] = work()
        except Exception as error:  # whatever it is, it is the result that the test looks at
            found[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=one) for one in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return found


def by_price(invoice: Invoice) -> list[tuple[str, int, Decimal, Decimal]]:
    """Price, revision, quantity and amount of each line."""
    return [
        (line.agreed_price.key, line.revision, line.quantity.normalize(), line.amount.amount)
        for line in invoice.lines.select_related("price")
    ]


def amounts(invoices: Sequence[Invoice]) -> list[Decimal]:
    """What is due of each."""
    return [one.amount_due.amount for one in invoices]


__all__ = [
    "BILLED", "CONTEXT", "FEBRUARY_LATER", "GENERATED", "GRACE", "MONTH_LATER", "NOON", "START", "TESTER", "accrue_to",
    "amounts", "at_once", "bill", "billed", "by_price", "drafted", "event", "fee", "finalized", "fold", "give_card",
    "join", "publish", "send", "told", "usage_price", "used",
]  # fmt: skip
