"""A small desk to work at: customers with history, made through the product's own acts, and one person of each role."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group, User
from moneyed import USD, Money

from billing_ops.kit import failing
from billing_ops.kit.actor import Actor
from billing_ops.kit.http import issuing
from invoicing import accruing, auto_topping_up, billing, drafting, topping_up
from invoicing.models import Invoice, InvoiceLine, StripeEvent
from ledger import approved, crediting, limiting, registering, scheduling
from ledger.rules.limits import Above, Authority
from ledger.rules.recurrence import Rollover
from ledger.rules.schedules import ScheduleTerms
from ledger.rules.terms import Terms
from plans import publishing, subscribing
from plans.models import Customer
from plans.rules.specs import PriceSpec, VersionSpec
from tests.stripe_standin.process import Standin
from tests.support.billing import (
    GENERATED,
    START,
    TESTER,
    World,
    deliver_webhooks,
    event,
    fold,
    send,
)

PASSWORD = "open-sesame-42"  # of test databases
ROLES = ("support", "finance", "engineer")
XSS = "<script>alert(1)</script>"
"""Stored wherever a stranger can put text: it must come out as text."""


@dataclass
class Desk:
    """What the tests look at."""

    now: datetime
    acme: Customer
    declined: Customer
    cardless: Customer

    def paid(self) -> Invoice:
        """A paid invoice with usage."""
        return Invoice.objects.filter(customer=self.acme, status="paid").latest("pk")

    def open(self) -> Invoice:
        """An open one whose card was declined."""
        return Invoice.objects.filter(customer=self.declined, status="open").latest("pk")

    def usage_line(self) -> InvoiceLine:
        """A line with usage on the paid invoice."""
        return self.paid().lines.get(price__key="context")


def make_people() -> None:
    """One member of the staff a role, one without any, and one person who is not staff."""
    for role in ROLES:
        person = User.objects.create_user(role, f"{role}@example.com", PASSWORD, is_staff=True)
        person.groups.set([Group.objects.get(name=role.capitalize())])
    User.objects.create_user("bare", "bare@example.com", PASSWORD, is_staff=True)
    User.objects.create_user("stranger", "stranger@example.com", PASSWORD)


def make_desk(world: World, standin: Standin, clock: Any) -> Desk:
    """Six weeks: two paid months, a declined card, credits, usage of today, a webhook that failed, a draft to come."""
    make_people()
    acme = world.customer("acme", name="Acme Robotics", email="ada@acme.example", country="US", city="Boston")
    declined = world.customer(
        "declined-co", card="pm_card_chargeDeclined", name="Declined & Co", email="bob@declined.example"
    )
    cardless = world.customer("cardless", card="", name=f"Cardless {XSS}", email="eve@cardless.example")
    for customer in (acme, declined, cardless):
        world.subscribe(customer)
    billing.run(until=START, at=START, actor=TESTER)  # the one without a card fails, as it should
    deliver_webhooks(standin, START)
    _grants(START)
    _use(clock)
    second = clock.set(START + timedelta(days=31, hours=2))
    billing.run(until=second, at=second, actor=TESTER)
    deliver_webhooks(standin, second)
    now = clock.set(START + timedelta(days=40, hours=9))
    send(
        [event(9000 + n, subject="acme", time=now - timedelta(hours=n), context=12_000 + 700 * n) for n in range(40)],
        at=now,
    )
    fold(now)
    accruing.accrue(customer_id=acme.pk, at=now, actor=TESTER)
    _prepaid(world, now)
    send([event(9900, subject="acme", time=now - timedelta(minutes=3), context=500, generated=40)], at=now)
    _trouble(now)
    _asked(now)
    _to_come(acme, cardless, now)
    issuing.issue(name=f"collector {XSS}", scopes=["events:write"], at=now, actor=TESTER)
    return Desk(now, acme, declined, cardless)


def _grants(at: datetime) -> None:
    for number, (kind, amount, days) in enumerate((("goodwill", "1.00", None), ("promotional", "5.00", 90))):
        crediting.grant(
            customer_key="acme",
            kind=kind,  # type: ignore[arg-type]
            amount=Money(amount, USD),
            reason_code="service_disruption",
            actor=TESTER,
            at=at,
            key=f"desk-{number}",
            expires_at=at + timedelta(days=days) if days else None,
            ticket="SUP-1",
            note=f"for the outage {XSS}",
        )


def _asked(at: datetime) -> None:
    """A credit above what support may give alone waits for somebody else."""
    agent = Actor("user", "support", "support")
    terms = Terms(
        customer_key="declined-co", kind="goodwill", amount=Decimal("180.00"), unit="USD", reason_code="billing_error",
        ticket="SUP-9", note=f"charged twice {XSS}",
    )  # fmt: skip
    found = limiting.check(terms=terms, actor=agent, authority=Authority(roles=("Support",)), at=at)
    assert isinstance(found, Above)
    approved.ask_for_credit(terms=terms, above=found, key="desk-request", actor=agent, at=at)


def _to_come(acme: Customer, cardless: Customer, at: datetime) -> None:
    """A unit of the company's own, credit that will come again, a top-up that waits to be paid, and a rule."""
    registering.register(code="credits", actor=TESTER, at=at)
    registering.set_rate(
        unit="credits", currency="USD", rate=Decimal("0.01"), reason=f"list price {XSS}", actor=TESTER, at=at
    )
    terms = ScheduleTerms(
        customer_key=acme.key, kind="promotional", amount=Decimal(500), unit="credits", every="month",
        anchor_at=at + timedelta(days=20), reason_code="campaign", rollover=Rollover(Decimal(0), Decimal(250)),
        note=f"spring {XSS}",
    )  # fmt: skip
    scheduling.schedule(terms=terms, key="desk-schedule", actor=TESTER, at=at)
    order = topping_up.Order("USD", Decimal("40.00"), note=f"by phone {XSS}")
    topping_up.order(customer_id=cardless.pk, order=order, key="desk-topup", at=at, actor=TESTER)
    auto_topping_up.set_rule(
        customer_id=acme.pk, unit="USD", enabled=False, threshold=Decimal(5), quantity=Decimal(20),
        monthly_cap=Money(100, USD), reason=f"asked for {XSS}", at=at, actor=TESTER,
    )  # fmt: skip


def _prepaid(world: World, at: datetime) -> None:
    """A customer whose usage is drawn from credit as it arrives: it ran out, and one request was taken back."""
    price = PriceSpec(
        key="drawn", name=f"Drawn {XSS}", model="per_unit", unit_amount=Decimal("0.00015"), meter=GENERATED,
        settlement="drawdown",
    )  # fmt: skip
    plan = publishing.create_plan(key="prepaid", name="Prepaid", at=at, actor=TESTER)
    draft = publishing.draft_version(plan=plan, spec=VersionSpec("USD", (price,)), at=at, actor=TESTER)
    version = publishing.publish(version=draft, at=at, actor=TESTER)
    customer = world.customer("prepaid-co", card="", name="Prepaid Co", email="pat@prepaid.example")
    began = at - timedelta(days=3)
    subscribing.subscribe(customer=customer, version=version, key="prepaid", starts_at=began, at=began, actor=TESTER)
    drafting.draft(customer_id=customer.pk, edge=began, at=began, actor=TESTER)
    crediting.grant(
        customer_key="prepaid-co", kind="goodwill", amount=Money(1, USD), reason_code="launch", actor=TESTER, at=began,
        key="desk-prepaid",
    )  # fmt: skip
    for number, tokens in enumerate((3_000, 5_001, -1_000)):
        used_at = began + timedelta(days=number, hours=5)
        send([event(9500 + number, subject="prepaid-co", time=used_at, generated=tokens)], at=used_at)
        fold(used_at)
        billing.draw_due(at=used_at + timedelta(minutes=1), actor=TESTER)


def _use(clock: Any) -> None:
    """A month of usage: three requests a day, of two customers; one event with hostile text."""
    number = 0
    for day in range(31):
        noon = clock.set(START + timedelta(days=day, hours=12, minutes=30))
        batch = []
        for hour in (0, 3, 7):
            number += 1
            subject = "acme" if number % 4 else "declined-co"
            batch.append(
                event(number, subject=subject, time=noon + timedelta(hours=hour - 8), context=21_113, generated=1_207)
            )
        if day == 5:
            batch[0]["data"]["comment"] = XSS
        send(batch, at=noon)
        fold(noon)


def _trouble(at: datetime) -> None:
    StripeEvent.objects.create(
        event_id="evt_parked1", type="invoice.paid", object_id="in_unknown1", api_version="2026-09-30.endive",
        livemode=False, body=f'{{"id": "evt_parked1", "object": "event", "note": "{XSS}"}}', created_at=at,
        received_at=at - timedelta(hours=3), tries=12, parked_at=at - timedelta(hours=1), error=f"NotFound: {XSS}",
    )  # fmt: skip
    failing.note(task="invoicing.draft", subject="customer 7", error=ValueError(f"broken {XSS}"), at=at)
