"""Statements run from opening to closing without a gap, on both clocks, and end at the stored balance."""

from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from billing_ops.kit.errors import InvalidInput
from ledger import closing, histories, posting, statements
from ledger.models import Account, Period
from ledger.rules import movements
from ledger.statements import Range, Statement
from tests.ledger.books import AT, ROBOT, accrue, give, spend, sql
from tests.ledger.test_rollups import catch_up
from tests.support.database import Database

DAY = timedelta(days=1)
TODAY = AT.date()


def unbilled(customer: str = "cus-1") -> Account:
    return Account.objects.get(code="1110", customer_key=customer)


def all_pages(account: Account, limit: int, within: Range = statements.EVERYTHING) -> list[Statement]:
    pages = [statements.of_account(account=account, within=within, limit=limit)]
    while pages[-1].next_after:
        pages.append(statements.of_account(account=account, within=within, after=pages[-1].next_after, limit=limit))
    return pages


def months() -> None:
    """Usage of several days, told out of order, and one invoice."""
    accrue("third", "4", at=AT + 2 * DAY)
    accrue("first", "1", at=AT)
    accrue("other customer", "50", customer="cus-2")
    accrue("second", "2.5", at=AT + DAY)
    accrue("first, too", "0.25", at=AT + timedelta(hours=1))
    spend("inv", "3", at=AT + 2 * DAY)


@pytest.mark.django_db
def test_lines_come_by_their_day_with_what_each_left() -> None:
    months()
    found = statements.of_account(account=unbilled())
    assert (found.unit, found.side) == ("USD", 1)
    assert [found.opening, found.brought_forward] == [Decimal(0)] * 2
    shown = [(line.label, line.debit, line.credit, line.balance) for line in found.lines]
    assert shown == [
        ("Usage accrued", Decimal(1), None, Decimal(1)),
        ("Usage accrued", Decimal("0.25"), None, Decimal("1.25")),
        ("Usage accrued", Decimal("2.5"), None, Decimal("3.75")),
        ("Usage accrued", Decimal(4), None, Decimal("7.75")),
        ("Usage accrued", Decimal(3), None, Decimal("10.75")),
        ("Invoice finalised", None, Decimal(3), Decimal("7.75")),
    ]
    assert found.closing == unbilled().balance.net == Decimal("7.75")
    assert found.lines[-1].refs == {"invoice": "inv"}
    assert found.next_after is None


@pytest.mark.parametrize("limit", [1, 2, 5])
@pytest.mark.parametrize("rolled", [False, True])
def test_pages_join_without_a_gap(fresh_db: Database, limit: int, rolled: bool) -> None:
    months()
    if rolled:
        catch_up()
    whole = statements.of_account(account=unbilled())
    pages = all_pages(unbilled(), limit)
    assert [line for page in pages for line in page.lines] == list(whole.lines)
    for page, following in pairwise(pages):
        assert page.lines[-1].balance == following.brought_forward
    assert {page.closing for page in pages} == {whole.closing}
    assert whole.lines[-1].balance == whole.closing


def test_a_page_counts_what_came_in_before_it_meanwhile(fresh_db: Database) -> None:
    months()
    first = statements.of_account(account=unbilled(), limit=3)
    accrue("told late", "100", at=AT - DAY)
    second = statements.of_account(account=unbilled(), limit=3, after=first.next_after)
    assert second.brought_forward == first.lines[-1].balance + 100
    assert second.lines[-1].balance == second.closing == unbilled().balance.net


@pytest.mark.parametrize("rolled", [False, True])
def test_a_range_of_days_opens_and_closes_where_it_should(fresh_db: Database, rolled: bool) -> None:
    months()
    if rolled:
        catch_up()
    within = Range(since=TODAY + DAY, until=TODAY + 2 * DAY)
    found = statements.of_account(account=unbilled(), within=within)
    assert (found.opening, [line.debit for line in found.lines], found.closing) == (
        Decimal("1.25"), [Decimal("2.5")], Decimal("3.75"),
    )  # fmt: skip
    empty = statements.of_account(account=unbilled(), within=Range(since=TODAY + 9 * DAY))
    assert (empty.opening, empty.lines, empty.closing) == (Decimal("7.75"), (), Decimal("7.75"))
    with pytest.raises(InvalidInput):
        statements.of_account(account=unbilled(), within=Range(since=TODAY, until=TODAY - DAY))
    with pytest.raises(InvalidInput):
        statements.of_account(account=unbilled(), limit=0)


@pytest.mark.parametrize("rolled", [False, True])
def test_as_it_was_known_then(fresh_db: Database, rolled: bool) -> None:
    entry = accrue("a", "1")
    accrue("b", "2")
    between = sql("SELECT clock_timestamp()")[0][0]
    posting.reverse(entry=entry, key="undo", at=AT, actor=ROBOT, reason_code="test")
    if rolled:
        catch_up()
    then = statements.of_account(account=unbilled(), within=Range(known=between))
    assert ([line.balance for line in then.lines], then.closing) == ([Decimal(1), Decimal(3)], Decimal(3))
    assert then.lines[0].reversed_by is None, "nobody knew"
    now = statements.of_account(account=unbilled())
    assert (now.closing, len(now.lines)) == (Decimal(2), 3)
    assert now.lines[0].reversed_by == now.lines[2].entry_id
    assert now.lines[2].reverses == now.lines[0].entry_id == entry.public_id


@pytest.mark.django_db
def test_a_late_fact_is_marked_and_keeps_its_date() -> None:
    accrue("a", "1")
    period = Period.objects.get(starts_on__lte=TODAY, ends_before__gt=TODAY)
    closing.close(period=period, at=datetime.combine(period.ends_before, AT.timetz()), actor=ROBOT)
    posting.post(
        movement=movements.USAGE_ACCRUED,
        key="late",
        lines=movements.usage_accrued(customer_key="cus-1", unit="USD", amount=Decimal(5)),
        at=AT,
        actor=ROBOT,
        late="move",
    )
    first, second = statements.of_account(account=unbilled()).lines
    assert (first.late, second.late, second.occurred_at) == (False, True, AT)
    assert second.position.day == period.ends_before


@pytest.mark.django_db
def test_a_customers_statement_ends_at_the_stored_balances() -> None:
    give("g", "2")
    give("paid", "5", kind="paid")
    spend("inv", "10")
    posting.post(
        movement=movements.PAYMENT_SUCCEEDED,
        key="pay",
        lines=movements.payment_succeeded(customer_key="cus-1", currency="USD", amount=Decimal(4), applied=Decimal(3)),
        at=AT + DAY,
        actor=ROBOT,
    )
    for scope, closing_ in (("due", Decimal(-1)), ("credits", Decimal(0)), ("all", Decimal(-1))):
        found = statements.of_customer(customer_key="cus-1", unit="USD", scope=scope)  # type: ignore[arg-type]
        assert found.closing == found.lines[-1].balance == closing_
        assert statements.stored_balance(customer_key="cus-1", unit="USD", scope=scope) == closing_  # type: ignore[arg-type]
    due = statements.of_customer(customer_key="cus-1", unit="USD")
    assert [(line.label, line.account.code_id, line.balance) for line in due.lines] == [
        ("Invoice finalised", "1100", Decimal(3)),
        ("Payment succeeded", "1100", Decimal(0)),
        ("Payment succeeded", "2110", Decimal(-1)),
    ]
    nobody = statements.of_customer(customer_key="nobody", unit="USD")
    assert nobody.lines == ()
    assert [nobody.opening, nobody.closing] == [Decimal(0)] * 2


@pytest.mark.django_db
def test_a_grants_history_says_what_it_paid_for() -> None:
    grant = give("g", "10")
    spend("inv-1", "4", feature="search")
    spend("inv-2", "3")
    found = histories.of_grant(grant=grant)
    shown = [(step.label, step.invoice_ref, step.amount, step.remaining) for step in found.steps]
    assert shown == [
        ("Credit granted", "", Decimal(10), Decimal(10)),
        ("Invoice finalised", "inv-1", Decimal(-4), Decimal(6)),
        ("Invoice finalised", "inv-2", Decimal(-3), Decimal(3)),
    ]
    (draw,) = found.steps[1].draws
    assert (draw.ref, draw.feature, draw.amount, draw.grant_id) == ("line", "search", Decimal(4), grant.public_id)
    assert [step.draw_count for step in found.steps] == [0, 1, 1]
    first = histories.of_grant(grant=grant, limit=2)
    assert first.next_after == 2
    assert histories.of_grant(grant=grant, after=2, limit=2).steps == found.steps[2:]
    with pytest.raises(InvalidInput):
        histories.of_grant(grant=grant, limit=0)


@pytest.mark.django_db
def test_what_stands_under_an_entry_comes_by_page() -> None:
    one, two = give("g", "2", priority=1), give("h", "10")
    spend("inv", "5")
    entry = balances_entry("inv")
    whole = histories.under_entry(entry=entry)
    assert [(draw.grant_id, draw.amount) for draw in whole.items] == [
        (one.public_id, Decimal(2)),
        (two.public_id, Decimal(3)),
    ]
    first = histories.under_entry(entry=entry, limit=1)
    assert first.next_after is not None
    second = histories.under_entry(entry=entry, limit=1, after=first.next_after)
    assert first.items + second.items == whole.items
    assert second.next_after is None


def balances_entry(key: str) -> int:
    return int(sql("SELECT id FROM ledger_entry WHERE idempotency_key = %s", key)[0][0])
