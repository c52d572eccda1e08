"""A committed world that the tests of one module share: each takes customers of its own."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from django.test import override_settings

from invoicing import collecting
from invoicing.models import Invoice, PaymentAttempt
from invoicing.stripe import gateway
from plans.models import PlanVersion
from tests.invoicing.stories import START, TESTER, billed, drafted, fee, join, publish
from tests.stripe_standin.conformance import assert_requests_conform
from tests.stripe_standin.process import Json, Standin
from tests.support.billing import World, make_world
from tests.support.clock import VirtualClock
from tests.support.database import Database


@dataclass
class Shop:
    """The database, the clock, the stand-in, and a way to owe money."""

    database: Database
    clock: VirtualClock
    standin: Standin
    world: World
    _plans: dict[str, PlanVersion] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def draft(self, amount: str = "20.00", card: str = "pm_card_visa") -> Invoice:
        """A new customer's draft over a fee of that amount."""
        return drafted(join(self.plan(amount), f"buyer-{next(self._numbers)}", card=card, begin=False), START)

    def owing(self, amount: str = "20.00", card: str = "pm_card_visa") -> Invoice:
        """A new customer's open invoice over a fee of that amount."""
        customer = join(self.plan(amount), f"buyer-{next(self._numbers)}", card=card, begin=False)
        return billed(customer, START, at=START)

    def plan(self, amount: str) -> PlanVersion:
        """The plan that costs that much a month."""
        if amount not in self._plans:
            self._plans[amount] = publish(f"fee-{len(self._plans) + 1}", fee(amount))
        return self._plans[amount]

    def charges(self, invoice: Invoice) -> list[Json]:
        """What the stand-in took for an invoice, by its number."""
        found = f"Payment for Invoice {invoice.number}"
        return [one for one in self.standin.objects("charge") if one["description"] == found and one["paid"]]

    def mirrors(self, invoice: Invoice) -> list[Json]:
        """The mirrors of an invoice at the stand-in."""
        return [one for one in self.standin.objects("invoice") if one["number"] == invoice.number]


def collect(invoice: Invoice, at: datetime = START) -> PaymentAttempt:
    """Collect it."""
    return collecting.collect(public_id=invoice.public_id, at=at, actor=TESTER)


def again(invoice: Invoice) -> Invoice:
    """The row as it is now."""
    return Invoice.objects.get(pk=invoice.pk)


@contextmanager
def opened(database: Database, folder: Path) -> Iterator[Shop]:
    """Start a stand-in and make the world in that database; at the end every request must be one that Stripe takes."""
    clock = VirtualClock(folder / "clock")
    clock.set(START)
    standin = Standin(folder, "--webhook-url", "http://127.0.0.1:1/", clock_file=clock.path)
    standin.start()
    settings: dict[str, Any] = {
        "BILLING_CLOCK_FILE": str(clock.path),
        "STRIPE_API_BASE": standin.url,
        "STRIPE_SECRET_KEY": standin.api_key,
        "STRIPE_WEBHOOK_SECRETS": [standin.secret],
    }
    try:
        with override_settings(**settings):
            yield Shop(database, clock, standin, make_world())
        assert_requests_conform(standin)
    finally:
        gateway._client_for.cache_clear()
        standin.stop()
