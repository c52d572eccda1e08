"""Use beyond credits: on the next invoice once, to the last digit, and nothing of it stays unbilled."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from invoicing import billing, overages, previewing
from invoicing.models import Invoice, InvoiceLine, OverageBill
from ledger import balances, posting, proofs
from ledger.rules import movements
from plans import enrolling
from plans.models import Customer
from plans.rules.details import CustomerDetails
from tests.invoicing.stories import (
    BILLED,
    FEBRUARY_LATER,
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    billed,
    drafted,
    fee,
    finalized,
    join,
    publish,
    usage_price,
    used,
)

D = Decimal
pytestmark = pytest.mark.usefixtures("books")


def beyond(key: str, amount: str, *, at: Any = NOON, customer: str = "acme", currency: str = "USD") -> None:
    posting.post(
        movement=movements.USAGE_OVERAGE, key=key, at=at, actor=TESTER, customer_key=customer,
        lines=movements.usage_overage(customer_key=customer, unit=currency, amount=D(amount)),
    )  # fmt: skip


def line_of(invoice: Invoice) -> InvoiceLine:
    return invoice.lines.get(kind="overage")


def unbilled(customer: str = "acme") -> Decimal:
    return balances.of(customer_key=customer, unit="USD").unbilled


@pytest.fixture
def acme(books: Any) -> Customer:
    return join(publish("two", fee("99.00"), usage_price("output", "0.000015")))


def test_the_next_invoice_takes_it_up_once_with_how_it_came_about(acme: Customer) -> None:
    used(1, time=NOON, generated=123_456)
    beyond("o1", "1.234567")
    beyond("o2", "0.5", at=NOON + timedelta(days=2))
    invoice = billed(acme, MONTH_LATER)
    line = line_of(invoice)
    assert (line.amount.amount, line.unrounded_amount, line.item, line.price) == (D("1.73"), D("1.734567"), None, None)
    assert line.working[0]["label"] == "Overage accrued: 2 entries from 2025-01-11 to 2025-01-13, 1.734567 USD"
    assert invoice.subtotal.amount == D("99.00") + D("1.85") + D("1.73")
    assert unbilled() == 0
    assert not billed(acme, FEBRUARY_LATER).lines.filter(kind="overage").exists()
    assert proofs.violations() == []


def test_roundings_telescope_over_all_bills(acme: Customer) -> None:
    beyond("o1", "0.333333")
    first = line_of(billed(acme, MONTH_LATER))
    beyond("o2", "0.333333", at=MONTH_LATER)
    second = line_of(billed(acme, FEBRUARY_LATER))
    assert [first.amount.amount, second.amount.amount] == [D("0.33"), D("0.34")]
    assert unbilled() == 0


def test_what_comes_between_draft_and_invoice_is_in_it(acme: Customer) -> None:
    draft = drafted(acme, MONTH_LATER)
    assert not draft.lines.filter(kind="overage").exists()
    beyond("o1", "7", at=MONTH_LATER)
    assert line_of(finalized(draft, BILLED)).amount.amount == 7
    assert unbilled() == 0


def test_later_credit_that_covered_billed_use_lowers_the_next_bill(acme: Customer) -> None:
    beyond("o1", "7")
    billed(acme, MONTH_LATER)
    beyond("back", "-2", at=MONTH_LATER + timedelta(days=3))
    line = line_of(billed(acme, FEBRUARY_LATER))
    assert (line.amount.amount, line.description) == (D(-2), "Credit for use that was billed before")
    assert unbilled() == 0


def test_it_is_in_the_preview_and_the_preview_is_the_invoice(acme: Customer) -> None:
    beyond("o1", "7.125")
    (preview,) = previewing.preview(customer=acme, until=MONTH_LATER, at=NOON + timedelta(days=1))
    assert preview.overage is not None
    assert preview.overage.amount == D("7.13")
    invoice = billed(acme, MONTH_LATER)
    assert preview.sums.amount_due == invoice.amount_due.amount
    drafted(acme, FEBRUARY_LATER)


def test_a_customer_without_a_subscription_is_billed_for_it_by_itself(books: Any) -> None:
    details = CustomerDetails(name="Prepaid", currency="USD")
    prepaid = enrolling.enroll(key="prepaid", details=details, at=START, actor=TESTER)
    beyond("o1", "3", customer="prepaid")
    for _ in range(2):
        billing.bill_overage(at=NOON, actor=TESTER)
        billing.finalize_due(at=NOON, actor=TESTER)
    (invoice,) = Invoice.objects.filter(customer=prepaid)
    assert (invoice.status, invoice.amount_due.amount, unbilled("prepaid")) == ("open", D(3), D(0))


def test_an_edge_without_other_charges_bills_it(books: Any) -> None:
    customer = join(publish("u", usage_price("output", "0.000015")), "light")
    beyond("o1", "3", customer="light")
    assert line_of(billed(customer, MONTH_LATER)).amount.amount == 3


def test_what_was_on_a_voided_invoice_is_billed_again(acme: Customer) -> None:
    from invoicing.transitions import move_invoice

    beyond("o1", "7")
    first = billed(acme, MONTH_LATER)
    assert first.entry is not None
    posting.reverse(entry=first.entry, key="void", at=BILLED, actor=TESTER, reason_code="void")
    move_invoice(first, Invoice.Status.VOID)
    beyond("o2", "1", at=MONTH_LATER)
    assert line_of(billed(acme, FEBRUARY_LATER)).amount.amount == 8


def test_nothing_to_bill_is_none(acme: Customer) -> None:
    assert overages.to_bill(customer_key="acme", currency="USD") is None
    assert overages.to_bill(customer_key="nobody", currency="USD") is None
    used(1, time=NOON, generated=1000)
    from tests.invoicing.stories import accrue_to

    accrue_to(NOON + timedelta(days=1), acme)
    assert unbilled() > 0
    assert overages.to_bill(customer_key="acme", currency="USD") is None, "accrued usage is billed by its item"


@pytest.mark.parametrize(
    "change",
    ["after_version = 0", "after_version = through_version + 1, through_version = through_version + 2", "amount = 2"],
)
def test_by_raw_sql_nothing_is_billed_twice_or_left_out(acme: Customer, change: str) -> None:
    beyond("o1", "7")
    invoice = billed(acme, MONTH_LATER)
    beyond("o2", "1", at=MONTH_LATER)
    draft = drafted(acme, FEBRUARY_LATER)
    bill = OverageBill.objects.get(line__invoice=invoice)
    names = "after_version, through_version, amount"
    values = {"after_version": "through_version", "through_version": "through_version + 1", "amount": "1"}
    values |= dict(part.split(" = ") for part in change.split(", "))
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:  # noqa: PT012  # deferred
        cursor.execute(
            f"INSERT INTO invoicing_overagebill (line_id, account_id, cumulative, billed_at, {names})"
            f" SELECT %s, account_id, 8, billed_at, {values['after_version']}, {values['through_version']},"
            f" {values['amount']} FROM invoicing_overagebill WHERE id = %s",
            [line_of(draft).pk, bill.pk],
        )
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
