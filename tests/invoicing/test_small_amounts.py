"""Amounts too small to charge wait for company; other currencies are charged in their own units."""

from datetime import timedelta
from decimal import Decimal

import pytest
from moneyed import Money

from invoicing import billing, collecting
from tests.invoicing.proof import prove
from tests.invoicing.shop import Shop, again, collect
from tests.invoicing.stories import (
    BILLED,
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    billed,
    fee,
    give_card,
    join,
    publish,
    usage_price,
    used,
)
from tests.support.billing import ledger_of

APRIL = FEBRUARY_LATER + timedelta(days=31)


def dollars(amount: str) -> Money:
    return Money(amount, "USD")


def test_a_small_invoice_is_carried_by_the_next_and_one_charge_pays_both(shop: Shop) -> None:
    customer = join(publish("small", usage_price("tokens", "0.01")), "small")
    used(1, time=NOON, subject="small", generated=49)
    used(2, time=MONTH_LATER + timedelta(days=1), subject="small", generated=1000)
    shop.clock.set(BILLED)
    small = billed(customer, MONTH_LATER)
    assert billing.collect_due(at=BILLED, actor=TESTER).failed == 0
    assert (again(small).status, again(small).stripe_id) == ("open", None)
    assert ledger_of(customer).receivable == Decimal("0.49")

    shop.clock.set(FEBRUARY_LATER)
    large = billed(customer, FEBRUARY_LATER, at=FEBRUARY_LATER)
    attempt = collect(large, FEBRUARY_LATER)

    assert (attempt.status, attempt.amount) == ("succeeded", dollars("10.49"))
    assert [one["amount"] for one in shop.charges(large)] == [1049]
    assert {again(one).status for one in (small, large)} == {"paid"}
    assert (again(small).collected_with, again(small).amount_paid) == (large, dollars("0.49"))
    payment = large.payments.get()
    assert (payment.amount, payment.applied) == (dollars("10.49"), dollars("10.49"))
    (mirror,) = shop.mirrors(large)
    lines = shop.standin.client().v1.invoices.line_items.list(mirror["id"]).data
    assert sorted(line.amount for line in lines) == [49, 1000]
    prove(shop.standin)


def test_small_invoices_that_are_enough_together_are_charged_together(shop: Shop) -> None:
    customer = join(publish("tiny", fee("0.20")), "tiny", begin=False)
    first = billed(customer, START, at=START)
    with pytest.raises(collecting.TooSmallToCharge):
        collect(first)
    second = billed(customer, MONTH_LATER, at=MONTH_LATER)
    with pytest.raises(collecting.TooSmallToCharge):
        collect(second, MONTH_LATER)
    assert again(first).collected_with is None  # nothing came of it
    third = billed(customer, FEBRUARY_LATER, at=FEBRUARY_LATER)
    shop.clock.set(FEBRUARY_LATER)
    assert collect(third, FEBRUARY_LATER).amount == dollars("0.60")
    assert [one["amount"] for one in shop.charges(third)] == [60]
    assert {again(one).status for one in (first, second, third)} == {"paid"}
    prove(shop.standin)


def test_a_carried_invoice_waits_for_its_carrier(shop: Shop) -> None:
    customer = join(publish("patient", usage_price("tokens", "0.01")), "patient", card="pm_card_chargeCustomerFail")
    used(11, time=NOON, subject="patient", generated=10)
    used(12, time=MONTH_LATER, subject="patient", generated=100)
    small = billed(customer, MONTH_LATER)
    large = billed(customer, FEBRUARY_LATER)
    assert collect(large, FEBRUARY_LATER).status == "failed"
    with pytest.raises(collecting.NotCollectable, match="collected together with"):
        collect(small, FEBRUARY_LATER)
    assert collecting.due(at=APRIL).count(small.public_id) == 0
    give_card(customer, "pm_card_visa")
    assert collect(large, FEBRUARY_LATER).status == "succeeded"
    assert [one["amount"] for one in shop.charges(large)] == [110]
    assert again(small).status == "paid"
    prove(shop.standin)


CURRENCIES = {
    "JPY": ("0.3", 4001, "1200", 1200),
    "XOF": ("0.0123", 100_100, "1231", 1231),
    "EUR": ("0.005", 1002, "5.01", 501),
    "ISK": ("0.5", 2001, "1001", 100_100),
}


@pytest.mark.parametrize("currency", CURRENCIES)
def test_other_currencies_are_rounded_and_paid_as_stripe_counts_them(shop: Shop, currency: str) -> None:
    unit_amount, quantity, amount, minor = CURRENCIES[currency]
    plan = publish(currency.lower(), usage_price("tokens", unit_amount), currency=currency)
    customer = join(plan, currency, currency=currency)
    used(quantity, time=NOON, subject=currency, generated=quantity)
    shop.clock.set(BILLED)
    invoice = billed(customer, MONTH_LATER)
    assert (invoice.currency, invoice.amount_due) == (currency, Money(amount, currency))
    assert collect(invoice, BILLED).status == "succeeded"
    assert shop.standin.state()["paid_minor"][currency.lower()] == minor
    assert again(invoice).status == "paid"
    prove(shop.standin, currency=currency)
