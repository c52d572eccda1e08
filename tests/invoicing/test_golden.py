"""Invoices with their journal as finance reads them, compared to the letter with ``tests/golden/invoices``.

After an intended change, look at the difference and then write the files anew: ``UPDATE_GOLDEN=1 pytest <this file>``.
"""

import os
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from moneyed import Money

from billing_ops.kit.money import round_amount
from invoicing import taxing
from invoicing.models import Invoice
from ledger import crediting
from plans.models import Customer
from tests.invoicing.proof import prove
from tests.invoicing.rendering import render
from tests.invoicing.shop import Shop, collect
from tests.invoicing.stories import (
    BILLED,
    CONTEXT,
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    accrue_to,
    billed,
    fee,
    join,
    publish,
    told,
    usage_price,
    used,
)
from tests.support.billing import World

FOLDER = Path(__file__).resolve().parents[1] / "golden" / "invoices"


def compare(name: str, *invoices: Invoice) -> None:
    """The invoices say what the file says."""
    path = FOLDER / f"{name}.txt"
    text = f"\n{'=' * 100}\n\n".join(render(one) for one in invoices)
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def vat(customer: Customer, currency: str, bases: Sequence[Decimal]) -> taxing.TaxAnswer:
    """19 % in Germany."""
    rate = Decimal("0.19")
    rows = tuple(taxing.LineTax("DE", base, rate, round_amount(base * rate, currency)) for base in bases)
    return taxing.TaxAnswer(rows, "19 % USt.")


def credit(amount: str, kind: Any, **terms: Any) -> None:
    crediting.grant(
        customer_key="acme",
        kind=kind,
        amount=Money(amount, "USD"),
        reason_code="outage",
        actor=TESTER,
        at=START,
        key=f"{kind}-{amount}",
        **terms,
    )


def test_a_first_month_with_usage_and_a_credit_that_is_paid(own_shop: Shop) -> None:
    acme = join(own_shop.world.version, name="Acme Corp", line1="1 Main Street", city="Springfield", country="US")
    credit("0.50", "goodwill")
    used(1, time=NOON, context=350_000, generated=40_001)
    accrue_to(NOON + timedelta(hours=12), acme)
    used(2, time=NOON + timedelta(days=1), context=300_000, generated=2)
    own_shop.clock.set(BILLED)
    invoice = billed(acme, MONTH_LATER)
    collect(invoice, BILLED)
    accrue_to(MONTH_LATER + timedelta(days=14), acme)
    compare("first_month", invoice)
    prove()


def test_tax_late_usage_and_promotional_credit_in_one_feature(books: World, settings: Any) -> None:
    settings.TAX_RESOLVER = f"{__name__}.vat"
    plan = publish(
        "two", fee("99.00"), usage_price("input", "0.000003", meter=CONTEXT), usage_price("output", "0.000015")
    )
    acme = join(
        plan,
        name="Beispiel GmbH",
        line1="Lange Straße 5",
        postal_code="10117",
        city="Berlin",
        country="DE",
        tax_id="DE123456789",
        time_zone="UTC",
    )
    credit("5.00", "promotional", scope=["output"])
    used(1, time=NOON, context=1_234_567, generated=123_456)
    january = billed(acme, MONTH_LATER)
    told(2, time=NOON, at=MONTH_LATER + timedelta(days=3), context=10_001, generated=100_000)
    february = billed(acme, FEBRUARY_LATER)
    compare("tax_and_late_usage", january, february)
    prove()


def test_yen_that_go_back_to_the_customer_balance_and_pay_the_next_bill(books: World) -> None:
    acme = join(
        publish("yen", usage_price("output", "0.15"), currency="JPY"), currency="JPY", name="Rei KK", country="JP"
    )
    used(1, time=NOON, generated=10_003)
    january = billed(acme, MONTH_LATER)
    told(2, time=NOON, at=MONTH_LATER + timedelta(days=3), generated=-4001)
    february = billed(acme, FEBRUARY_LATER)
    march_first = FEBRUARY_LATER + timedelta(days=1)
    told(3, time=march_first, at=march_first, generated=5000)
    march = billed(acme, FEBRUARY_LATER + timedelta(days=31))
    compare("yen_and_customer_balance", january, february, march)
    prove(currency="JPY")
