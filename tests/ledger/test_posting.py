"""The posting door: what it writes, what it answers, what it refuses."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.db import transaction

from billing_ops.kit.actor import Actor
from ledger import closing, posting
from ledger.models import Account, Balance, Entry, Line, Period, Unit
from ledger.posting import EntryDiffers, InvalidEntry, Overdraft, PeriodClosed
from ledger.rules import movements
from ledger.rules.entries import EntryDraft, LineSpec
from tests.ledger.books import AGENT, AT, ROBOT, accrue, period, sql

pytestmark = pytest.mark.django_db


def draft(key: str, amount: str = "1", **other: Any) -> EntryDraft:
    customer = other.pop("customer", "cus-1")
    return EntryDraft(
        movement=movements.USAGE_ACCRUED,
        key=key,
        lines=movements.usage_accrued(customer_key=customer, unit="USD", amount=Decimal(amount)),
        effective_at=other.pop("effective_at", AT),
        actor=ROBOT,
        customer_key=customer,
        **other,
    )


def pay(amount: str, key: str = "pay", unit: str = "USD") -> Entry:
    return posting.post(
        movement=movements.PAYMENT_SUCCEEDED,
        key=key,
        lines=movements.payment_succeeded(
            customer_key="cus-1", currency=unit, amount=Decimal(amount), applied=Decimal(0)
        ),
        at=AT,
        actor=ROBOT,
    )


def test_an_entry_moves_the_stored_balance_and_numbers_its_lines() -> None:
    accrue("a", "12.341273")
    entry = accrue("b", "0.000000000001")
    lines = list(Line.objects.filter(entry=entry).select_related("account").order_by("line_no"))
    assert [(line.account.code_id, line.side, line.account_version, line.balance_after) for line in lines] == [
        ("1110", 1, 2, Decimal("12.341273000001")),
        ("4000", -1, None, None),
    ]
    balance = Balance.objects.get(account=lines[0].account)
    assert (balance.net, balance.version) == (Decimal("12.341273000001"), 2)


def test_two_lines_on_one_account_are_two_steps_of_it() -> None:
    one, other = movements.usage_accrued(customer_key="cus-1", unit="USD", amount=Decimal(3))
    entry = posting.post(
        movement=movements.USAGE_ACCRUED,
        key="a",
        lines=[one, other, replace(one, side="credit"), replace(other, side="debit")],
        at=AT,
        actor=ROBOT,
    )
    steps = Line.objects.filter(entry=entry, account__code="1110").values_list("account_version", "balance_after")
    assert list(steps.order_by("line_no")) == [(1, Decimal(3)), (2, Decimal(0))]


def test_an_entry_keeps_who_when_why_and_about_what() -> None:
    entry = posting.post(
        movement=movements.PAYMENT_FEE,
        key="fee:ch_1",
        lines=movements.payment_fee(currency="USD", amount=Decimal("4.17")),
        at=AT,
        effective_at=AT - timedelta(days=1),
        actor=AGENT,
        source="stripe",
        customer_key="cus-1",
        refs={"invoice": "inv_1", "grant": "gr_1", "stripe": "ch_1", "batch": "b_1"},
        reason_code="fee",
        reason_note="tab\there, back\\slash, new\nline “é”",
        ticket="T-1",
        metadata={"balance_transaction": "txn\t1\\", "n": 3},
    )
    assert (entry.source, entry.idempotency_key, entry.event_type_id) == ("stripe", "fee:ch_1", "payment.fee")
    assert (entry.effective_at, entry.effective_on) == (AT - timedelta(days=1), (AT - timedelta(days=1)).date())
    assert (entry.customer_key, entry.invoice_ref, entry.grant_ref) == ("cus-1", "inv_1", "gr_1")
    assert (entry.stripe_ref, entry.batch_ref, entry.ticket) == ("ch_1", "b_1", "T-1")
    assert (entry.actor_type, entry.actor_id, entry.reason_code) == ("user", "ana", "fee")
    assert entry.reason_note == "tab\there, back\\slash, new\nline “é”"
    assert entry.metadata == {"balance_transaction": "txn\t1\\", "n": 3}
    assert entry.occurred_at is None
    assert abs(entry.recorded_at - datetime.now(UTC)) < timedelta(minutes=1)
    assert sql("SELECT created_xid = pg_current_xact_id() FROM ledger_entry") == [(True,)]


def test_the_same_key_and_content_is_one_entry() -> None:
    first = accrue("a", "1")
    again = accrue("a", "1.000")
    assert again.pk == first.pk
    assert Line.objects.count() == 2
    assert posting.post_many([draft("a"), draft("b"), draft("b")], at=AT)[0].replayed
    assert Entry.objects.count() == 2


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"amount": "2"}, ["lines"]),
        ({"amount": "-1"}, ["lines"]),
        ({"customer": "cus-2"}, ["customer_key", "lines"]),
        ({"effective_at": AT + timedelta(seconds=1)}, ["effective_at"]),
        ({"refs": {"invoice": "inv_1"}}, ["refs"]),
        ({"reason_code": "x"}, ["reason_code"]),
        ({"reason_note": "x"}, ["reason_note"]),
        ({"ticket": "x"}, ["ticket"]),
        ({"metadata": {"a": 1}}, ["metadata"]),
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "later"])
def test_the_same_key_and_other_content_is_refused_by_name(
    change: dict[str, Any], named: list[str], together: bool
) -> None:
    batch = [draft("a"), draft("a", **change)]
    if not together:
        posting.post_many(batch[:1], at=AT)
    with pytest.raises(EntryDiffers) as caught:
        posting.post_many(batch if together else batch[1:], at=AT)
    assert caught.value.details["differs"] == named
    assert Entry.objects.count() == (0 if together else 1)


@pytest.mark.parametrize("count", [2, 120])
def test_a_batch_that_comes_again_whole_or_in_part_is_answered(count: int) -> None:
    batch = [draft(f"k{number}", customer=f"cus-{number % 7}") for number in range(count)]
    first = posting.post_many(batch, at=AT)
    assert not any(posted.replayed for posted in first)
    again = posting.post_many([*batch, draft("new")], at=AT)
    assert [posted.id for posted in again[:-1]] == [posted.id for posted in first]
    assert [posted.replayed for posted in again] == [True] * count + [False]
    with pytest.raises(EntryDiffers) as caught:
        posting.post_many([draft("newer"), *batch[:-1], replace(batch[-1], ticket="x")], at=AT)
    assert caught.value.details == {"differs": ["ticket"], "key": f"k{count - 1}"}
    assert Entry.objects.count() == count + 1


def test_a_large_batch_with_a_mistake_names_it() -> None:
    batch = [draft(f"k{number}") for number in range(80)]
    with pytest.raises(InvalidEntry) as caught:
        posting.post_many([*batch, replace(draft("wrong"), movement="no\tsuch")], at=AT)
    assert caught.value.details["rule"] == "event_type"
    assert not Entry.objects.exists()


def test_one_key_may_be_used_by_two_sources() -> None:
    posting.post_many([draft("a"), draft("a", source="import")], at=AT)
    assert Entry.objects.count() == 2


def test_a_batch_is_written_whole_or_not_at_all() -> None:
    accrue("a", "1")
    with pytest.raises(Overdraft):
        posting.post_many([draft("b"), _use_balance("c", "0.01")], at=AT)
    assert Entry.objects.count() == 1
    assert Account.objects.filter(code="2110").count() == 0


def _use_balance(key: str, amount: str) -> EntryDraft:
    return EntryDraft(
        movement=movements.BALANCE_APPLIED,
        key=key,
        lines=movements.balance_applied(customer_key="cus-1", currency="USD", amount=Decimal(amount)),
        effective_at=AT,
        actor=ROBOT,
    )


def test_no_overdraft_to_the_last_cent() -> None:
    pay("10")
    posting.post_many([_use_balance("a", "9.99")], at=AT)
    with pytest.raises(Overdraft) as caught:
        posting.post_many([_use_balance("b", "0.02")], at=AT)
    assert caught.value.details == {"account": "2110", "customer_key": "cus-1", "short": "0.01", "unit": "USD"}
    posting.post_many([_use_balance("c", "0.01")], at=AT)
    assert Balance.objects.get(account__code="2110").net == 0


def test_an_entry_may_dip_below_the_floor_within_itself_but_not_end_there() -> None:
    lines = movements.balance_applied(customer_key="cus-1", currency="USD", amount=Decimal(5))
    with pytest.raises(Overdraft):
        posting.post(movement=movements.BALANCE_APPLIED, key="a", lines=lines, at=AT, actor=ROBOT)
    specs = movements.invoice_finalized(
        customer_key="cus-1", currency="USD", receivable=Decimal(0), balance_used=Decimal(5), balance_added=Decimal(5)
    )
    posting.post(movement=movements.INVOICE_FINALIZED, key="b", lines=specs, at=AT, actor=ROBOT)
    assert Balance.objects.get(account__code="2110").net == 0


def _line(**change: Any) -> list[LineSpec]:
    one, other = movements.payment_fee(currency="USD", amount=Decimal(1))
    return [replace(one, **change), other]


def _both(**change: Any) -> list[LineSpec]:
    return [replace(line, **change) for line in movements.payment_fee(currency="USD", amount=Decimal(1))]


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (_line(amount=Decimal(2)), "balanced"),
        (_both(amount=Decimal("0.001")), "ledger_line_scale"),
        (_both(amount=Decimal("0.0000000000001")), "amount"),
        (_both(amount=Decimal("1.0000000000001")), "amount"),
        (_both(amount=Decimal(0)), "amount"),
        (_both(amount=Decimal(-1)), "amount"),
        (_both(amount=Decimal("NaN")), "amount"),
        (_both(amount=Decimal("Infinity")), "amount"),
        (_both(amount=Decimal("1e16")), "amount"),
        (_line(code="1234"), "code"),
        (_line(code="1000"), "routing"),
        (_line(customer_key="cus-1"), "customer"),
        (_line(dimension="x"), "dimension"),
        (_line(unit="EUR"), "balanced"),
        ([], "lines"),
        (_line()[:1], "lines"),
    ],
)
def test_lines_that_break_the_books_rules_are_refused_by_name(lines: list[LineSpec], rule: str) -> None:
    with pytest.raises(InvalidEntry) as caught:
        posting.post(movement=movements.PAYMENT_FEE, key="a", lines=lines, at=AT, actor=ROBOT)
    assert caught.value.details["rule"] == rule
    assert not Entry.objects.exists()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"movement": "no.such"}, "event_type"),
        ({"key": ""}, "key"),
        ({"key": "k" * 201}, "key"),
        ({"refs": {"order": "1"}}, "refs"),
        ({"actor": AGENT}, "reason"),
        ({"reason_note": "\0"}, "data"),
        ({"key": "\0"}, "data"),
        ({"customer_key": "\0"}, "data"),
        ({"effective_at": AT.replace(tzinfo=None)}, "effective_at"),
    ],
)
def test_entries_that_break_the_books_rules_are_refused_by_name(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(InvalidEntry) as caught:
        posting.post_many([replace(draft("a"), **change)], at=AT)
    assert caught.value.details["rule"] == rule
    assert not Entry.objects.exists()


def test_an_actor_without_an_id_like_any_other_is_kept() -> None:
    posting.post_many([replace(draft("a"), actor=Actor("api_key", "k1"))], at=AT)
    assert Entry.objects.get().actor_type == "api_key"


@pytest.mark.parametrize(("unit", "scale"), [("USD", 2), ("JPY", 0), ("KWD", 3), ("ISK", 0), ("CLP", 0), ("TND", 3)])
def test_a_currency_becomes_a_unit_with_its_own_decimals(unit: str, scale: int) -> None:
    smallest = Decimal(1).scaleb(-scale)
    pay(str(smallest), unit=unit)
    assert Unit.objects.get(pk=unit).posting_scale == scale
    with pytest.raises(InvalidEntry):
        pay(str(smallest / 10), key="too fine", unit=unit)


def test_a_unit_that_nobody_knows_is_refused() -> None:
    from ledger.opening import UnknownUnit

    with pytest.raises(UnknownUnit):
        pay("1", unit="XYZZY")


def test_credit_units_are_ready() -> None:
    Unit.objects.create(code="credits", kind="credit", posting_scale=0)
    accrue("a", "0.5", unit="credits")
    assert Balance.objects.get().net == Decimal("0.5")


def test_nothing_is_posted_into_a_closed_period() -> None:
    accrue("a", "1")
    march = period()
    closing.close(period=march, at=AT + timedelta(days=40), actor=ROBOT)
    with pytest.raises(PeriodClosed):
        accrue("b", "1")
    with pytest.raises(PeriodClosed):
        posting.enter_period(effective_at=AT)
    assert accrue("c", "1", at=AT + timedelta(days=31)).effective_on.month == 4
    with pytest.raises(PeriodClosed):  # what was closed would change by what came before it
        accrue("d", "1", at=AT - timedelta(days=31))
    (moved,) = posting.post_many([draft("e", effective_at=AT - timedelta(days=31), late="move")], at=AT)
    assert str(Entry.objects.get(pk=moved.id).effective_on) == "2025-04-01"


def test_a_period_is_not_closed_before_it_is_over() -> None:
    with pytest.raises(closing.PeriodStillRuns):
        closing.close(period=period(), at=AT, actor=ROBOT)
    assert period().status == "open"


def test_a_late_fact_goes_to_the_first_open_day_and_keeps_its_date() -> None:
    for month in (3, 4):
        at = datetime(2025, month, 5, tzinfo=UTC)
        accrue(f"before {month}", "1", at=at)
        closing.close(period=Period.objects.get(starts_on__month=month), at=at + timedelta(days=60), actor=ROBOT)
    (posted,) = posting.post_many([draft("late", late="move")], at=AT)
    entry = Entry.objects.get(pk=posted.id)
    assert (entry.effective_at, entry.occurred_at) == (datetime(2025, 5, 1, tzinfo=UTC), AT)
    assert posting.post_many([draft("late", late="move")], at=AT)[0].replayed


def test_a_replay_is_answered_after_its_period_was_closed_and_its_balance_was_spent() -> None:
    pay("10")
    spent = posting.post_many([_use_balance("a", "10")], at=AT)[0]
    closing.close(period=period(), at=AT + timedelta(days=40), actor=ROBOT)
    again = posting.post_many([_use_balance("a", "10")], at=AT)[0]
    assert (again.id, again.replayed) == (spent.id, True)


def test_a_reversal_is_the_mirror_image_and_comes_once() -> None:
    entry = accrue("a", "12.5")
    undo = posting.reverse(entry=entry, key="undo", at=AT, actor=AGENT, reason_code="mistake")
    assert undo.reverses_id == entry.pk
    assert Balance.objects.get().net == 0
    assert posting.reverse(entry=entry, key="undo", at=AT, actor=AGENT, reason_code="mistake").pk == undo.pk
    with pytest.raises(posting.AlreadyReversed):
        posting.reverse(entry=entry, key="again", at=AT, actor=AGENT, reason_code="mistake")
    with pytest.raises(posting.AlreadyReversed):
        posting.reverse(entry=undo, key="third", at=AT, actor=AGENT, reason_code="mistake")


def test_a_refusal_leaves_the_callers_transaction_usable() -> None:
    with transaction.atomic():
        accrue("a", "1")
        with pytest.raises(EntryDiffers):
            accrue("a", "2")
        with pytest.raises(InvalidEntry):
            posting.post(movement="x", key="b", lines=_line(), at=AT, actor=ROBOT)
        accrue("c", "3")
    assert Balance.objects.get().net == 4


def test_posting_asks_a_constant_number_of_questions(django_assert_num_queries: Any) -> None:
    accrue("warm", "1")
    for count in (3, 40):
        accounts_are_new = 3  # units, insert, find
        with django_assert_num_queries(9 + accounts_are_new):
            posting.post_many([draft(f"{count}-{n}", customer=f"cus-{count}-{n}") for n in range(count)], at=AT)
