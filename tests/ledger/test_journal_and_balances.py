"""Reading: the journal page by page, customers' balances, and the totals of the books."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from billing_ops.kit.errors import InvalidInput
from ledger import balances, journal, posting
from ledger.models import Unit
from ledger.rules import movements
from tests.ledger.books import AGENT, AT, accrue, give, spend

pytestmark = pytest.mark.django_db


def test_the_journal_reads_newest_first_with_names() -> None:
    accrue("a", "12.341273")
    grant = give("g", "5")
    spend("inv", "3")
    page = journal.entries_for(customer_key="cus-1")
    assert [entry.key for entry in page.items] == ["inv", "inv:usage", "credit.granted:g", "a"]
    assert page.next_after is None
    invoice = page.items[0]
    assert (invoice.label, invoice.invoice_ref, invoice.actor_id) == ("Invoice finalised", "inv", "test")
    assert [(line.side, line.code, line.name, line.amount, line.dimension) for line in invoice.lines] == [
        ("debit", "4900", "Promotional credits used", Decimal(3), ""),
        ("credit", "1110", "Unbilled usage", Decimal(3), ""),
        ("debit", "9010", "Promotional credit outstanding (memo)", Decimal(3), str(grant.public_id)),
        ("credit", "9000", "Promotional credit issued (memo)", Decimal(3), ""),
    ]
    assert invoice.lines[1].balance_after == Decimal("12.341273")
    assert journal.entry(public_id=invoice.public_id) == invoice
    with pytest.raises(journal.EntryNotFound):
        journal.entry(public_id=uuid4())


def test_the_journal_is_read_by_customer_invoice_grant_and_stripe_object() -> None:
    grant, other = give("g", "5"), give("h", "5", customer="cus-2")
    spend("inv", "3")
    posting.post(
        movement=movements.PAYMENT_FEE,
        key="fee",
        lines=movements.payment_fee(currency="USD", amount=Decimal(1)),
        at=AT,
        actor=AGENT,
        refs={"stripe": "ch_1"},
        reason_code="fee",
    )

    def keys(**about: Any) -> list[str]:
        return [entry.key for entry in journal.entries_for(**about).items]

    assert keys() == ["fee", "inv", "inv:usage", "credit.granted:h", "credit.granted:g"]
    assert keys(customer_key="cus-2") == ["credit.granted:h"]
    assert keys(invoice="inv") == ["inv"]
    assert keys(grant=grant) == ["inv", "credit.granted:g"]
    assert keys(grant=str(other.public_id)) == ["credit.granted:h"]
    assert keys(stripe="ch_1") == ["fee"]
    assert keys(invoice="inv", customer_key="cus-2") == []


def test_pages_neither_repeat_nor_skip_while_entries_arrive() -> None:
    for number in range(7):
        accrue(f"k{number}", "1")
    seen: list[str] = []
    after: int | None = None
    while True:
        page = journal.entries_for(customer_key="cus-1", after=after, limit=3)
        seen += [entry.key for entry in page.items]
        accrue(f"meanwhile {len(seen)}", "1")
        after = page.next_after
        if after is None:
            break
    assert seen == [f"k{number}" for number in range(6, -1, -1)]


@pytest.mark.parametrize("limit", [0, 501])
def test_a_page_is_bounded(limit: int) -> None:
    with pytest.raises(InvalidInput):
        journal.entries_for(limit=limit)


def test_reading_a_page_asks_a_constant_number_of_questions(django_assert_num_queries: Any) -> None:
    for number in range(12):
        accrue(f"k{number}", "1")
    for limit in (2, 12):
        with django_assert_num_queries(2):
            journal.entries_for(customer_key="cus-1", limit=limit)


def test_balances_stand_apart() -> None:
    assert balances.of(customer_key="cus-1", unit="USD") == balances.CustomerBalances()
    accrue("u", "100")
    give("paid", "1", kind="paid")
    give("good", "2", kind="goodwill")
    give("promo", "4")
    give("incl", "8", kind="included")
    accrue("euro", "7", unit="EUR")
    accrue("other", "9", customer="cus-2")
    now = balances.of(customer_key="cus-1", unit="USD")
    assert [now.unbilled, now.paid_credits, now.goodwill_credits, now.promotional_credits] == [100, 1, 2, 12]
    assert [now.credits_total, now.receivable, now.deferred, now.customer_balance, now.held] == [15, 0, 0, 0, 0]
    assert now.version == 5
    assert balances.units_of(customer_key="cus-1") == ["EUR", "USD"]


def test_what_a_grant_became_is_read_in_one_question(django_assert_num_queries: Any) -> None:
    for number in range(9):
        give(f"g{number}", "2")
    spend("inv", "3")
    with django_assert_num_queries(2):
        found = balances.grants(customer_key="cus-1", at=AT)
    assert [f"{row.remaining:.0f} {row.used:.0f}" for row in found[-3:]] == ["2 0", "1 1", "0 2"]
    assert len(balances.grants(customer_key="cus-1", at=AT, limit=4)) == 4
    assert [row.grant.pk for row in balances.grants(customer_key="cus-1", at=AT, after=found[7].grant.pk)] == [
        found[8].grant.pk
    ]
    assert balances.grants(customer_key="cus-1", unit="EUR", at=AT) == []


def test_customer_accounts_add_up_to_the_companys() -> None:
    for customer, amount in (("cus-1", "10.000000000001"), ("cus-2", "5")):
        accrue(customer, amount, customer=customer)
        give(f"g-{customer}", "3", customer=customer, kind="goodwill")
    assert balances.account_total(code="1110", unit="USD") == Decimal("15.000000000001")
    assert balances.account_total(code="1110", unit="USD", customer_key="cus-2") == 5
    assert balances.account_total(code="4000", unit="USD") == Decimal("15.000000000001")
    assert balances.account_total(code="2010", unit="USD") == 6
    assert balances.account_total(code="1110", unit="EUR") == 0


def test_the_trial_balance_adds_up_to_zero_at_every_instant() -> None:
    accrue("a", "10", at=AT)
    accrue("b", "5", at=AT + timedelta(days=1))
    give("g", "3")

    def nets(**until: Any) -> dict[str, Decimal]:
        rows = balances.trial_balance(unit="USD", **until)
        assert sum(row.net for row in rows) == 0
        return {row.code: row.net for row in rows}

    assert nets() == {"1110": 15, "4000": -15, "9000": 3, "9010": -3}
    assert nets(until=AT + timedelta(days=1)) == {"1110": 10, "4000": -10, "9000": 3, "9010": -3}
    assert nets(until=AT) == {}
    assert balances.trial_balance(unit="EUR") == []


def test_text_shows_all_digits_and_at_least_those_of_the_currency() -> None:
    Unit.objects.create(code="credits", kind="credit", posting_scale=0)
    lines = journal.lines_of(
        movements.usage_accrued(customer_key="cus-1", unit="credits", amount=Decimal("2.50"))
        + movements.usage_accrued(customer_key="cus-1", unit="JPY", amount=Decimal("3.0"))
        + movements.usage_accrued(customer_key="cus-1", unit="USD", amount=Decimal("0.1"))
    )
    text = journal.as_text(lines)
    assert "2.5 credits" in text
    assert "3 JPY" in text
    assert "0.10 USD" in text
