"""Building blocks of billing stories: a small world made through the product's own acts."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.test import Client

from billing_ops.kit.actor import Actor, system
from invoicing import billing
from invoicing.models import Invoice
from invoicing.stripe import handling
from ledger import balances
from metering import aggregating, defining, ingesting
from metering.models import Meter
from plans import enrolling, publishing, subscribing
from plans.models import Customer, PlanVersion, Subscription
from plans.rules.details import CustomerDetails
from plans.rules.prices import Tier
from plans.rules.specs import PriceSpec, VersionSpec
from tests.stripe_standin.process import Standin

START = datetime(2025, 1, 1, tzinfo=UTC)
TESTER: Actor = system("test")
CONTEXT = "context-tokens"
GENERATED = "generated-tokens"

PRO = VersionSpec(
    currency="USD",
    prices=(
        PriceSpec(key="platform", name="Platform fee", model="flat", unit_amount=Decimal(20)),
        PriceSpec(
            key="context",
            name="Context tokens",
            model="graduated",
            included_units=Decimal(100_000),
            tiers=(Tier(Decimal(400_000), Decimal("0.000003")), Tier(None, Decimal("0.0000024"))),
            meter=CONTEXT,
        ),
        PriceSpec(
            key="generated",
            name="Generated tokens",
            model="per_unit",
            unit_amount=Decimal("0.000015"),
            meter=GENERATED,
        ),
    ),
)
"""$20 a month in advance, 100,000 context tokens included, then $3.00 a million to 400,000 billable tokens, then $2.40;
generated tokens $15.00 a million."""


@dataclass
class World:
    """A catalogue with one published plan."""

    version: PlanVersion
    at: datetime

    def customer(self, key: str = "acme", card: str = "pm_card_visa", **details: str) -> Customer:
        """A customer with a test card (empty: none)."""
        wanted = CustomerDetails(name=details.pop("name", key.title()), currency="USD", **details)
        made = enrolling.enroll(key=key, details=wanted, at=self.at, actor=TESTER)
        if card:
            made = enrolling.attach_payment(customer=made, at=self.at, actor=TESTER, default_payment_method=card)
        return made

    def subscribe(self, customer: Customer, *, starts_at: datetime | None = None) -> Subscription:
        """Subscribe it to the plan."""
        return subscribing.subscribe(
            customer=customer,
            version=self.version,
            key=f"sub-{customer.key}",
            starts_at=starts_at or self.at,
            at=self.at,
            actor=TESTER,
        )


def make_world(at: datetime = START, spec: VersionSpec = PRO) -> World:
    """Two token meters and a plan, published."""
    for key, path in ((CONTEXT, "context_tokens"), (GENERATED, "generated_tokens")):
        defining.define(
            key=key,
            name=key.replace("-", " ").title(),
            event_type="llm.request",
            aggregation="sum",
            value_path=path,
            unit="tokens",
            at=at,
            actor=TESTER,
        )
    plan = publishing.create_plan(key="pro", name="Pro", at=at, actor=TESTER)
    version = publishing.draft_version(plan=plan, spec=spec, at=at, actor=TESTER)
    return World(publishing.publish(version=version, at=at, actor=TESTER), at)


def event(number: int, *, subject: str, time: datetime, context: int = 0, generated: int = 0) -> dict[str, Any]:
    """One served request as a CloudEvent."""
    return {
        "specversion": "1.0",
        "id": f"req-{number}",
        "source": "gateway",
        "type": "llm.request",
        "subject": subject,
        "time": time.isoformat(),
        "data": {"context_tokens": context, "generated_tokens": generated},
    }


def send(events: Iterable[dict[str, Any]], *, at: datetime) -> ingesting.IngestResult:
    """Accept events at the edge of the domain, as the API does."""
    return ingesting.accept(events=[json.dumps(one).encode() for one in events], at=at, actor=TESTER)


def fold(at: datetime) -> None:
    """Let the aggregator work until nothing is left."""
    while aggregating.advance(at=at).batches:
        pass


def bill(at: datetime) -> None:
    """One whole billing run; nothing in it may fail."""
    tallies = billing.run(until=at, at=at, actor=TESTER)
    assert not [name for name, tally in tallies.items() if tally.failed], tallies


def deliver_webhooks(standin: Standin, at: datetime) -> list[dict[str, Any]]:
    """Hand Stripe's webhooks to our address, then handle what was stored."""

    def receive(body: bytes, headers: dict[str, str]) -> int:
        signature = {key.lower(): value for key, value in headers.items()}.get("stripe-signature", "")
        answer = Client().post(
            "/webhooks/stripe", body, content_type="application/json", headers={"stripe-signature": signature}
        )
        return answer.status_code

    outcomes = standin.deliver_to(receive)
    handling.handle_due(at=at)
    return outcomes


def ledger_of(customer: Customer) -> balances.CustomerBalances:
    """What the ledger says of a customer."""
    return balances.of(customer_key=customer.key, unit="USD")


def only_invoice(customer: Customer) -> Invoice:
    """The customer's one invoice."""
    return Invoice.objects.get(customer=customer)


def meter(key: str) -> Meter:
    """A meter by its key."""
    return Meter.objects.get(key=key)


MONTH_LATER = START + timedelta(days=31)
