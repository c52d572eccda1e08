"""Tampering by raw SQL, logged in as the application: each rule of the books is held by the database itself."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, ProgrammingError, transaction

from ledger import posting
from ledger.models import Balance, CreditDraw, CreditDrawAllocation, CreditGrant, Entry, Line
from ledger.rules import movements
from tests.ledger.books import (
    AT,
    ROBOT,
    account,
    accrue,
    give,
    period,
    raw_entry,
    raw_lines,
    refused,
    spend,
    sql,
)
from tests.ledger.periods import move_period

pytestmark = pytest.mark.django_db


def test_we_are_neither_owner_nor_superuser() -> None:
    assert sql("SELECT current_user, rolsuper FROM pg_roles WHERE rolname = current_user") == [("billing_app", False)]
    assert sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public' AND tableowner = current_user") == [(0,)]


def pair() -> tuple[int, int]:
    """A shared account and another, so that a raw entry needs no versions."""
    return account("6000").pk, account("1010").pk


def test_a_right_entry_by_raw_sql_is_accepted() -> None:
    fees, clearing = pair()
    entry = raw_entry(movement=movements.PAYMENT_FEE)
    raw_lines((entry, 1, fees, "USD", 1, "4.17", None, None), (entry, 2, clearing, "USD", -1, "4.17", None, None))
    sql("SET CONSTRAINTS ALL IMMEDIATE")


def test_an_entry_that_does_not_balance() -> None:
    fees, clearing = pair()
    with refused("ledger_line_balanced"):
        entry = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines((entry, 1, fees, "USD", 1, "4.17", None, None), (entry, 2, clearing, "USD", -1, "4.16", None, None))


def test_an_entry_that_balances_over_all_units_but_not_in_each() -> None:
    fees, euros = account("6000").pk, account("1010", unit="EUR").pk
    with refused("ledger_line_balanced"):
        entry = raw_entry(movement=movements.PAYMENT_FEE, fx_rate="1.1")
        raw_lines((entry, 1, fees, "USD", 1, "4.17", None, None), (entry, 2, euros, "EUR", -1, "4.17", None, None))


def test_an_entry_across_units_without_its_rate() -> None:
    lines = [account(code, unit=unit).pk for unit in ("USD", "EUR") for code in ("6000", "1010")]
    with refused("ledger_line_one_unit_or_rate"):
        entry = raw_entry(movement=movements.PAYMENT_FEE, lines=4)
        raw_lines(
            *[
                (entry, no, lines[no - 1], "USD" if no < 3 else "EUR", 1 if no % 2 else -1, "1", None, None)
                for no in (1, 2, 3, 4)
            ]
        )


def test_an_entry_across_units_with_its_rate_is_accepted() -> None:
    lines = [account(code, unit=unit).pk for unit in ("USD", "EUR") for code in ("6000", "1010")]
    entry = raw_entry(movement=movements.PAYMENT_FEE, lines=4, fx_rate="1.087")
    raw_lines(
        (entry, 1, lines[0], "USD", 1, "100", None, None),
        (entry, 2, lines[1], "USD", -1, "100", None, None),
        (entry, 3, lines[2], "EUR", 1, "92", None, None),
        (entry, 4, lines[3], "EUR", -1, "92", None, None),
    )
    sql("SET CONSTRAINTS ALL IMMEDIATE")


def test_one_wrong_entry_among_right_ones_of_every_sort() -> None:
    """What a reversal needs is looked at rule by rule; the rest of its batch is too."""
    old = accrue("a", "1")
    fees, clearing = pair()
    with refused("ledger_line_balanced"):
        undo = raw_entry(movement=movements.ENTRY_REVERSED, reverses_id=old.pk)
        fee = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines(
            (undo, 1, account("1110", customer="cus-1").pk, "USD", -1, "1", 2, "0"),
            (undo, 2, account("4000").pk, "USD", 1, "1", None, None),
            (fee, 1, fees, "USD", 1, "2", None, None),
            (fee, 2, clearing, "USD", -1, "1", None, None),
        )


def test_memo_lines_do_not_balance_real_ones() -> None:
    grant = give("g", "5", kind="goodwill")
    balance = Balance.objects.get(account=grant.account)
    with refused("ledger_line_balanced"):
        entry = raw_entry(movement=movements.CREDIT_VOIDED)
        raw_lines(
            (entry, 1, grant.account_id, "USD", 1, "5", balance.version + 1, "0"),
            (entry, 2, account("9000").pk, "USD", -1, "5", None, None),
        )


def test_a_nan_amount() -> None:
    fees, clearing = pair()
    with refused("ledger_line_balanced"):
        entry = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines((entry, 1, fees, "USD", 1, "NaN", None, None), (entry, 2, clearing, "USD", -1, "NaN", None, None))


@pytest.mark.parametrize("amount", ["0", "-1"])
def test_an_amount_that_is_not_positive(amount: str) -> None:
    fees, clearing = pair()
    with refused("ledger_line_positive"):
        entry = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines((entry, 1, fees, "USD", 1, amount, None, None), (entry, 2, clearing, "USD", -1, amount, None, None))


def test_an_entry_without_lines_does_not_commit() -> None:
    with refused("ledger_entry_has_lines"):
        raw_entry(movement=movements.PAYMENT_FEE)


def test_an_entry_of_one_line() -> None:
    with refused("ledger_entry_two_lines"):
        raw_entry(lines=1)


def test_an_entry_with_fewer_lines_than_it_says() -> None:
    fees, clearing = pair()
    with refused("ledger_line_complete"):
        entry = raw_entry(movement=movements.PAYMENT_FEE, lines=3)
        raw_lines((entry, 1, fees, "USD", 1, "1", None, None), (entry, 2, clearing, "USD", -1, "1", None, None))


@pytest.mark.parametrize("numbers", [(3, 4), (1, 2)], ids=["new numbers", "the same numbers"])
def test_lines_added_to_an_entry_later(numbers: tuple[int, int]) -> None:
    entry = accrue("a", "1")
    fees, clearing = pair()
    with pytest.raises(IntegrityError), transaction.atomic():
        raw_lines(
            (entry.pk, numbers[0], fees, "USD", 1, "1", None, None),
            (entry.pk, numbers[1], clearing, "USD", -1, "1", None, None),
        )


def test_lines_of_no_entry() -> None:
    fees, clearing = pair()
    with refused("ledger_line_entry"):
        raw_lines((-7, 1, fees, "USD", 1, "1", None, None), (-7, 2, clearing, "USD", -1, "1", None, None))


def test_a_line_in_another_unit_than_its_account() -> None:
    fees, clearing = pair()
    with refused("ledger_line_account_unit"):
        entry = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines((entry, 1, fees, "EUR", 1, "1", None, None), (entry, 2, clearing, "EUR", -1, "1", None, None))


def test_a_line_to_no_account() -> None:
    fees, _ = pair()
    with refused("ledger_line_account_unit"):
        entry = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines((entry, 1, fees, "USD", 1, "1", None, None), (entry, 2, -9, "USD", -1, "1", None, None))


def test_money_routed_where_its_kind_of_entry_may_not_go() -> None:
    with refused("ledger_line_routed"):
        entry = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines(
            (entry, 1, account("1000").pk, "USD", 1, "1", None, None),
            (entry, 2, account("1010").pk, "USD", -1, "1", None, None),
        )


def test_the_right_accounts_on_the_wrong_sides() -> None:
    fees, clearing = pair()
    with refused("ledger_line_routed"):
        entry = raw_entry(movement=movements.PAYMENT_RETURNED)
        raw_lines((entry, 1, clearing, "USD", 1, "1", None, None), (entry, 2, fees, "USD", -1, "1", None, None))


def test_a_fraction_of_a_cent_in_an_account_that_meets_the_outside() -> None:
    fees, clearing = pair()
    with refused("ledger_line_scale"):
        entry = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines((entry, 1, fees, "USD", 1, "0.001", None, None), (entry, 2, clearing, "USD", -1, "0.001", None, None))


def test_an_overdraft() -> None:
    grant = give("g", "5")
    with refused("ledger_balance_no_overdraft"):
        entry = raw_entry(movement=movements.CREDIT_VOIDED)
        raw_lines(
            (entry, 1, grant.account_id, "USD", 1, "5.000000000001", 2, "-0.000000000001"),
            (entry, 2, account("9000").pk, "USD", -1, "5.000000000001", None, None),
        )


@pytest.mark.parametrize(
    ("version", "after", "rule"),
    [
        (3, "2", "ledger_line_versions"),
        (1, "2", "ledger_line_one_per_version"),
        (2, "3", "ledger_line_balance_after"),
        (None, None, "ledger_line_versioned"),
        (2, None, "ledger_line_versioned"),
    ],
)
def test_a_line_that_misstates_its_place_in_the_account(version: int | None, after: str | None, rule: str) -> None:
    accrue("a", "1")
    with refused(rule):
        entry = raw_entry()
        raw_lines(
            (entry, 1, account("1110", customer="cus-1").pk, "USD", 1, "1", version, after),
            (entry, 2, account("4000").pk, "USD", -1, "1", None, None),
        )


def test_a_version_on_a_shared_account() -> None:
    fees, clearing = pair()
    with refused("ledger_line_versioned"):
        entry = raw_entry(movement=movements.PAYMENT_FEE)
        raw_lines((entry, 1, fees, "USD", 1, "1", 1, "1"), (entry, 2, clearing, "USD", -1, "1", None, None))


def test_a_second_entry_under_one_key() -> None:
    accrue("a", "1")
    with refused("ledger_entry_one_per_key"):
        raw_entry(source="billing", idempotency_key="a")


def test_a_person_without_a_reason() -> None:
    with refused("ledger_entry_user_gives_reason"):
        raw_entry(actor_type="user", actor_id="ana")


def test_an_entry_recorded_at_another_time() -> None:
    with refused("ledger_entry_recorded_now"):
        raw_entry(recorded_at=AT - timedelta(days=1))


def test_an_entry_claiming_another_transaction() -> None:
    with refused("ledger_entry_recorded_now"):
        raw_entry(created_xid="7")


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"event_type": "no.such"}, "ledger_entry_event_type"),
        ({"period_id": -1}, "ledger_entry_period"),
        ({"effective_on": (AT + timedelta(days=1)).date()}, "ledger_entry_effective_day"),
        ({"effective_at": AT + timedelta(days=90), "effective_on": (AT + timedelta(days=90)).date()}, None),
    ],
)
def test_an_entry_misdated_or_of_no_kind(wrong: dict[str, Any], rule: str | None) -> None:
    with refused(rule or "ledger_entry_effective_day"):
        raw_entry(**wrong)


def test_an_entry_is_reversed_once() -> None:
    entry = accrue("a", "1")
    posting.reverse(entry=entry, key="undo", at=AT, actor=ROBOT, reason_code="test")
    with refused("ledger_entry_reversed_once"):
        raw_entry(movement=movements.ENTRY_REVERSED, reverses_id=entry.pk)


def test_a_reversal_is_not_reversed() -> None:
    entry = accrue("a", "1")
    undo = posting.reverse(entry=entry, key="undo", at=AT, actor=ROBOT, reason_code="test")
    with refused("ledger_entry_reverses"):
        raw_entry(movement=movements.ENTRY_REVERSED, reverses_id=undo.pk)


def test_a_reversal_of_nothing() -> None:
    with refused("ledger_entry_reversal_type"):
        raw_entry(movement=movements.ENTRY_REVERSED)
    with refused("ledger_entry_reverses"):
        raw_entry(movement=movements.ENTRY_REVERSED, reverses_id=-3)


@pytest.mark.parametrize(("amount", "side"), [("2", -1), ("1", 1)])
def test_a_reversal_that_is_no_mirror(amount: str, side: int) -> None:
    entry = accrue("a", "1")
    unbilled = account("1110", customer="cus-1").pk
    with refused("ledger_line_mirrors"):
        undo = raw_entry(movement=movements.ENTRY_REVERSED, reverses_id=entry.pk)
        raw_lines(
            (undo, 1, unbilled, "USD", side, amount, 2, "-1" if side < 0 else "2"),
            (undo, 2, account("4000").pk, "USD", -side, amount, None, None),
        )


@pytest.mark.parametrize("table", ["entry", "line", "credit_grant", "credit_draw", "credit_draw_allocation"])
@pytest.mark.parametrize("verb", ["UPDATE {} SET amount = 1", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
def test_facts_cannot_be_changed_by_privilege(table: str, verb: str) -> None:
    column = "ticket = ''" if table == "entry" else "amount = 1"
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        sql(verb.replace("amount = 1", column).format(f"ledger_{table}"))


@pytest.mark.parametrize("statement", ["UPDATE ledger_balance SET credits = credits + 1", "DELETE FROM ledger_balance"])
def test_balances_cannot_be_moved_by_hand(statement: str) -> None:
    accrue("a", "1")
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        sql(statement)


@pytest.mark.parametrize("table", ["account_code", "event_type"])
def test_the_chart_and_the_routes_are_not_the_applications_to_change(table: str) -> None:
    for statement in (f"DELETE FROM ledger_{table}", f"INSERT INTO ledger_{table} SELECT * FROM ledger_{table}"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            sql(statement)


def test_triggers_cannot_be_switched_off() -> None:
    for statement in (
        "ALTER TABLE ledger_line DISABLE TRIGGER ALL",
        "SET session_replication_role = replica",
        "SET ROLE billing_owner",
        "CREATE OR REPLACE FUNCTION ledger_line_guard() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
    ):
        with pytest.raises(ProgrammingError), transaction.atomic():
            sql(statement)


ORM_ATTEMPTS: dict[str, Callable[[], object]] = {
    "update": lambda: Line.objects.update(amount=1),
    "delete": lambda: Entry.objects.all()._raw_delete("default"),
    "bulk_update": lambda: Entry.objects.bulk_update([_changed(Entry.objects.get())], ["ticket"]),
    "save": lambda: _changed(Entry.objects.get()).save(),
    "balance": lambda: Balance.objects.update(credits=0),
    "grant": lambda: CreditGrant.objects.update(amount=1),
    "draw": lambda: CreditDraw.objects.update(shortfall=1),
    "allocation": lambda: CreditDrawAllocation.objects.update(amount=1),
}


def _changed(entry: Entry) -> Entry:
    entry.ticket = "changed"
    return entry


@pytest.mark.parametrize("attempt", ORM_ATTEMPTS)
def test_facts_cannot_be_changed_through_the_orm(attempt: str) -> None:
    accrue("a", "1")
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        ORM_ATTEMPTS[attempt]()


def test_an_account_is_what_its_code_says() -> None:
    sql(
        "INSERT INTO ledger_account (public_id, book_id, code, customer_key, dimension, unit, normal_side,"
        " materialised, memo, for_grant, decimals, status)"
        " SELECT gen_random_uuid(), id, '1100', 'c-1', '', 'USD', -1, false, true, true, 12, 'closed' FROM ledger_book"
    )
    assert sql("SELECT normal_side, materialised, memo, for_grant, decimals, status FROM ledger_account") == [
        (1, True, False, False, 2, "open")
    ]


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        (("1100", "", ""), "ledger_account_customer"),
        (("1010", "cus-1", ""), "ledger_account_customer"),
        (("1010", "", "x"), "ledger_account_dimension"),
        (("2200", "", ""), "ledger_account_dimension"),
        (("2000", "cus-1", ""), "ledger_account_dimension"),
        (("8888", "", ""), "ledger_account_code"),
        (("2000", "cus-1", "no-such-grant"), "ledger_account_has_grant"),
    ],
)
def test_an_account_that_the_chart_has_no_place_for(key: tuple[str, str, str], rule: str) -> None:
    with refused(rule):
        account(key[0], customer=key[1], dimension=key[2])


def test_a_grant_that_no_entry_issued() -> None:
    give("g", "5")
    with refused("ledger_grant_issued"):
        sql(
            "INSERT INTO ledger_account (public_id, book_id, code, customer_key, dimension, unit)"
            " SELECT gen_random_uuid(), book_id, code, customer_key, 'x', unit FROM ledger_account WHERE code = '9010'"
        )
        sql(
            "INSERT INTO ledger_credit_grant (public_id, wallet_id, account_id, customer_key, unit, kind, kind_rank,"
            " amount, priority, effective_at, scope, scope_rank, source_invoice, reason_code, reason_note, ticket,"
            " requested_by_type, requested_by_id, idempotency_key, request, created_at)"
            " SELECT gen_random_uuid(), wallet_id, (SELECT id FROM ledger_account WHERE dimension = 'x'), customer_key,"
            " unit, kind, kind_rank, amount, priority, effective_at, scope, scope_rank, source_invoice, reason_code,"
            " reason_note, ticket, requested_by_type, requested_by_id, 'other', request, created_at"
            " FROM ledger_credit_grant"
        )


def test_a_grant_is_issued_once() -> None:
    grant = give("g", "5")
    with refused("ledger_line_grant_issued_once"):
        entry = raw_entry(movement=movements.CREDIT_GRANTED)
        raw_lines(
            (entry, 1, account("9000").pk, "USD", 1, "5", None, None),
            (entry, 2, grant.account_id, "USD", -1, "5", 2, "10"),
        )


def test_credit_taken_without_a_draw() -> None:
    grant = give("g", "5")
    accrue("a", "5")
    with refused("ledger_line_drawn"):
        entry = raw_entry(movement=movements.INVOICE_FINALIZED, lines=4)
        raw_lines(
            (entry, 1, grant.account_id, "USD", 1, "5", 2, "0"),
            (entry, 2, account("4900").pk, "USD", 1, "5", None, None),
            (entry, 3, account("9000").pk, "USD", -1, "5", None, None),
            (entry, 4, account("1110", customer="cus-1").pk, "USD", -1, "5", 2, "0"),
        )


DRAW_COLUMNS = "wallet_id, idempotency_key, ref, feature, amount, shortfall, outcome, used_at, entry_id"


def draw(entry_id: int | None, *, outcome: str = "accepted", shortfall: str = "0", at: Any = AT) -> int:
    return int(
        sql(
            f"INSERT INTO ledger_credit_draw ({DRAW_COLUMNS})"
            " SELECT id, gen_random_uuid()::text, 'r', '', 2, %s, %s, %s, %s FROM ledger_credit_wallet RETURNING id",
            shortfall,
            outcome,
            at,
            entry_id,
        )[0][0]
    )


def test_a_draw_added_to_an_entry_that_is_there() -> None:
    give("g", "5")
    spend("inv", "3")
    with refused("ledger_draw_before_entry"):
        draw(Entry.objects.get(idempotency_key="inv").pk)


def test_an_allocation_added_to_a_draw_that_was_posted() -> None:
    give("g", "5")
    spend("inv", "3")
    with refused("ledger_allocation_eligible"):
        sql(
            "INSERT INTO ledger_credit_draw_allocation (draw_id, grant_id, amount) SELECT d.id, g.id, 1"
            " FROM ledger_credit_draw d, ledger_credit_grant g"
            " WHERE g.idempotency_key = %s",
            give("h", "5").idempotency_key,
        )


def test_a_draw_without_its_entry_does_not_commit() -> None:
    grant = give("g", "5")
    with refused("ledger_draw_posted"):
        made = draw(posting.reserve_entry_id())
        sql("INSERT INTO ledger_credit_draw_allocation (draw_id, grant_id, amount) VALUES (%s, %s, 2)", made, grant.pk)


@pytest.mark.parametrize(
    ("terms", "at"),
    [
        ({"effective_at": AT + timedelta(days=1)}, AT),
        ({"expires_at": AT + timedelta(days=1)}, AT + timedelta(days=1)),
        ({"scope": ["other"]}, AT),
        ({"customer": "cus-2"}, AT),
    ],
    ids=["not yet", "no longer", "out of scope", "another customer's"],
)
def test_an_allocation_from_a_grant_that_may_not_pay(terms: dict[str, Any], at: Any) -> None:
    give("g", "5")
    grant = give("h", "5", **terms)
    with refused("ledger_allocation_eligible"):
        made = sql(
            "INSERT INTO ledger_credit_draw (wallet_id, idempotency_key, ref, feature, amount, shortfall, outcome,"
            " used_at, entry_id) SELECT id, 'k', 'r', '', 2, 0, 'accepted', %s, %s FROM ledger_credit_wallet"
            " WHERE customer_key = 'cus-1' RETURNING id",
            at,
            posting.reserve_entry_id(),
        )[0][0]
        sql("INSERT INTO ledger_credit_draw_allocation (draw_id, grant_id, amount) VALUES (%s, %s, 2)", made, grant.pk)


def test_a_period_keeps_its_days_and_stays_closed() -> None:
    march = period()
    with refused("ledger_period_apart"):
        sql(
            "INSERT INTO ledger_period (book_id, starts_on, ends_before, status, closed_by)"
            " SELECT book_id, starts_on, ends_before, 'open', '' FROM ledger_period WHERE id = %s",
            march.pk,
        )
    for statement in ("starts_on = starts_on + 1", "status = 'closed', closed_at = now()", "closed_by = 'somebody'"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            sql(f"UPDATE ledger_period SET {statement} WHERE id = %s", march.pk)
    move_period(march.pk, "open", "soft_closed")
    with refused("ledger_entry_period_open"):
        raw_entry(period_id=march.pk)
    move_period(march.pk, "soft_closed", "closed")
    with refused("ledger_period_reopen_approved"):
        move_period(march.pk, "closed", "open", reason="because")
    with refused("ledger_entry_period_open"):
        raw_entry(period_id=march.pk)


def test_a_draw_is_posted_by_an_entry_that_draws() -> None:
    """Its lines would otherwise be compared with nothing, and the grant keep what the draw says it lost."""
    given = give("g", "5")
    fees, clearing = pair()
    with refused("ledger_draw_posted"):
        entry = int(sql("SELECT nextval('ledger_entry_id_seq')")[0][0])
        draw = sql(
            "INSERT INTO ledger_credit_draw (wallet_id, idempotency_key, ref, feature, amount, shortfall, outcome,"
            " used_at, entry_id) VALUES (%s, 'raw', 'line', '', 5, 0, 'accepted', %s, %s) RETURNING id",
            given.wallet_id,
            AT,
            entry,
        )[0][0]
        sql("INSERT INTO ledger_credit_draw_allocation (draw_id, grant_id, amount) VALUES (%s, %s, 5)", draw, given.pk)
        raw_entry(movement=movements.PAYMENT_FEE, id=entry)
        raw_lines((entry, 1, fees, "USD", 1, "4.17", None, None), (entry, 2, clearing, "USD", -1, "4.17", None, None))


@pytest.mark.parametrize(
    "values",
    [
        ("TRY", "fiat", 12),
        ("ISK", "fiat", 2),
        ("IQD", "fiat", 2),
        ("tokens", "fiat", 2),
        ("TRY", "credit", 2),
    ],
    ids=str,
)
def test_a_currency_has_the_decimals_of_its_minor_unit(values: tuple[str, str, int]) -> None:
    with refused("ledger_unit_iso"):
        sql("INSERT INTO ledger_unit (code, kind, posting_scale) VALUES (%s, %s, %s)", *values)


def test_the_databases_decimals_of_each_currency_are_the_codes() -> None:
    from moneyed import CURRENCIES

    from billing_ops.kit.money import exponent

    found = dict(sql("SELECT code, ledger_currency_scale(code) FROM unnest(%s::text[]) code", sorted(CURRENCIES)))
    assert found == {code: exponent(code) for code in CURRENCIES}


@pytest.mark.parametrize(
    ("starts_on", "ends_before", "status"),
    [
        ("1900-01-01", "3000-01-01", "open"),
        ("2031-01-01", "2031-01-31", "open"),
        ("2031-01-02", "2031-02-01", "open"),
        ("2031-01-02", "2031-02-02", "open"),
        ("2031-01-01", "2031-02-01", "closed"),
        ("2031-01-01", "2031-02-01", "soft_closed"),
    ],
)
def test_a_period_is_born_open_as_one_calendar_month(starts_on: str, ends_before: str, status: str) -> None:
    book, closed_at = period().book_id, None if status == "open" else AT + timedelta(days=9999)
    insert = (
        "INSERT INTO ledger_period (book_id, starts_on, ends_before, status, closed_by, closed_at)"
        " VALUES (%s, %s, %s, %s, '', %s)"
    )
    with refused("ledger_period_born"):
        sql(insert, book, starts_on, ends_before, status, closed_at)
    sql(insert, book, "2031-01-01", "2031-02-01", "open", None)


@pytest.mark.parametrize("status", ["closed", "soft_closed"])
def test_a_period_is_closed_after_its_last_day(status: str) -> None:
    with refused("ledger_period_over"):
        move_period(period().pk, "open", status, at="2025-03-31T23:59:59Z")


def test_the_books_zone_is_not_the_applications_to_change() -> None:
    with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
        sql("UPDATE ledger_book SET timezone = 'Pacific/Kiritimati'")


@pytest.mark.parametrize("number", [2**63 - 1, -1])
def test_an_entry_under_an_id_that_was_not_reserved(number: int) -> None:
    """One day the sequence would come to it; and a seal cannot name what is after it."""
    with refused("ledger_entry_id_reserved"):
        raw_entry(id=number)
    ahead = posting.reserve_entry_id() + 5
    with refused("ledger_entry_id_reserved"):
        raw_entry(id=ahead)
