"""Tampering with bills by SQL, logged in as the application and, where it has the right, as the owner of the tables."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal

import psycopg
import pytest
from django.db import connection, transaction
from psycopg import errors

from billing_ops.kit.money import zero
from invoicing.models import Invoice, InvoiceLine, Payment, PaymentAttempt
from invoicing.rules import lifecycle, numbering
from ledger import posting
from ledger.rules import movements
from tests.invoicing.shop import Shop, collect
from tests.invoicing.stories import (
    MONTH_LATER,
    NOON,
    START,
    TESTER,
    accrue_to,
    at_once,
    drafted,
    fee,
    finalized,
    join,
    publish,
    told,
    usage_price,
)

Role = Literal["app", "owner"]
Made = dict[str, int]


@pytest.fixture(scope="module")
def made(_shop: Shop) -> Made:
    """One customer's first month: a paid invoice, an open one with usage, and a draft of the month after."""
    plan = publish("guarded", fee("20.00"), usage_price("tokens", "0.001"))
    customer = join(plan, "guarded")
    paid = customer.invoices.get()
    collect(paid)
    told(1, time=NOON, at=NOON, subject="guarded", generated=1500)
    accrue_to(NOON, customer)
    opened = finalized(drafted(customer, MONTH_LATER), MONTH_LATER)
    draft = drafted(customer, MONTH_LATER + timedelta(days=28))
    found: Made = {"paid": paid.pk, "open": opened.pk, "draft": draft.pk}
    for name, invoice in (("paid", paid), ("open", opened), ("draft", draft)):
        for line in invoice.lines.all():
            found[f"{name}_{line.agreed_price.key}"] = line.pk
    return found | {"attempt": PaymentAttempt.objects.get().pk, "payment": Payment.objects.get().pk}


@pytest.fixture(params=["app", "owner"])
def sql(request: pytest.FixtureRequest, shop: Shop, made: Made) -> Iterator[psycopg.Connection[Any]]:
    """A connection of each role whose work is rolled back."""
    with shop.database.connect(role=request.param, autocommit=False) as connected:
        yield connected
        connected.rollback()


REFUSED = (errors.CheckViolation, errors.RestrictViolation, errors.InsufficientPrivilege, errors.UniqueViolation)


def refused(sql: psycopg.Connection[Any], statement: str, made: Made) -> None:
    """The statement fails, by a rule and not by a mistake of the test."""
    with pytest.raises(REFUSED):
        sql.execute(statement, made)


@pytest.mark.parametrize(
    "change",
    [
        "subtotal = subtotal + 1, total = total + 1, amount_due = amount_due + 1",
        "total = total + 1, tax_total = tax_total + 1, amount_due = amount_due + 1",
        "credits_applied = credits_applied + 1, total = total - 1, amount_due = amount_due - 1",
        "balance_applied = balance_applied + 1, amount_due = amount_due - 1",
        "number = 'INV-000099'",
        "number = NULL",
        "finalized_at = finalized_at + interval '1 day'",
        "due_at = due_at + interval '1 day'",
        "drafted_at = drafted_at + interval '1 day'",
        "seller = '{}'",
        "bill_to = jsonb_set(bill_to, '{name}', '\"Somebody else\"')",
        "tax_note = 'exempt'",
        "entry_id = NULL",
        "public_id = 'inv_other'",
        "customer_id = customer_id + 1",
        "currency = 'EUR'",
        "trigger = 'edge:other'",
        "auto_finalize_at = now()",
        "status = 'draft'",
        "status = 'draft', number = NULL, finalized_at = NULL",
        "status = 'refunded'",
    ],
)
@pytest.mark.parametrize("which", ["paid", "open"])
def test_a_final_invoice_cannot_be_edited(sql: psycopg.Connection[Any], made: Made, which: str, change: str) -> None:
    refused(sql, f"UPDATE invoicing_invoice SET {change} WHERE id = %({which})s", made)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoicing_invoice SET status = 'void' WHERE id = %(paid)s",
        "UPDATE invoicing_invoice SET status = 'uncollectible' WHERE id = %(paid)s",
        "UPDATE invoicing_invoice SET status = 'paid' WHERE id = %(open)s",
        "UPDATE invoicing_invoice SET stripe_id = 'in_other' WHERE id = %(paid)s",
        "UPDATE invoicing_invoice SET stripe_id = NULL WHERE id = %(paid)s",
        "UPDATE invoicing_invoice SET status = 'paid' WHERE id = %(draft)s",
        "UPDATE invoicing_invoice SET status = 'void' WHERE id = %(draft)s",
        "UPDATE invoicing_invoice SET status = 'open' WHERE id = %(draft)s",
        "UPDATE invoicing_invoice SET number = 'INV-000003' WHERE id = %(draft)s",
        "UPDATE invoicing_invoice SET trigger = 'edge:other' WHERE id = %(draft)s",
        "UPDATE invoicing_invoice SET total = total + 1 WHERE id = %(draft)s",
        "UPDATE invoicing_invoice SET amount_due = amount_due - 1 WHERE id = %(draft)s",
        "DELETE FROM invoicing_invoice WHERE id = %(open)s",
        "DELETE FROM invoicing_invoice WHERE id = %(draft)s",
        "TRUNCATE invoicing_invoice CASCADE",
        "DELETE FROM invoicing_invoiceline WHERE id = %(open_tokens)s",
        "DELETE FROM invoicing_invoiceline WHERE id = %(draft_tokens)s",
        "TRUNCATE invoicing_invoiceline CASCADE",
    ],
)
def test_no_status_is_jumped_and_nothing_is_removed(sql: psycopg.Connection[Any], made: Made, statement: str) -> None:
    refused(sql, statement, made)


@pytest.mark.parametrize(
    "change",
    [
        "amount = amount + 1",
        "unrounded_amount = unrounded_amount + 1",
        "quantity = quantity + 1",
        "description = 'Something else'",
        "credits_applied = 1",
        "tax_amount = 1",
        "working = '[]'",
        "service_end = service_end + interval '1 day'",
        "revision = 2",
        "invoice_id = %(draft)s",
        "position = 9",
    ],
)
def test_a_line_of_a_final_invoice_cannot_be_edited(sql: psycopg.Connection[Any], made: Made, change: str) -> None:
    refused(sql, f"UPDATE invoicing_invoiceline SET {change} WHERE id = %(open_tokens)s", made)


def test_a_temporary_invoice_does_not_thaw_the_lines_of_a_final_one(own_shop: Shop) -> None:
    """Even if the application could make one, which it may not."""
    invoice = own_shop.owing("20.00")
    with own_shop.database.connect(role="admin") as admin:
        admin.execute(f'GRANT TEMPORARY ON DATABASE "{own_shop.database.name}" TO billing_app')
    with own_shop.database.connect() as app:
        app.execute("CREATE TEMPORARY TABLE invoicing_invoice AS SELECT * FROM public.invoicing_invoice")
        app.execute("UPDATE pg_temp.invoicing_invoice SET status = 'draft'")
        with pytest.raises(errors.CheckViolation):
            app.execute("UPDATE invoicing_invoiceline SET amount = amount + 1 WHERE invoice_id = %s", [invoice.pk])


COLUMNS = {
    model: [str(field.column) for field in model._meta.concrete_fields if field.column != "id"]
    for model in (Invoice, InvoiceLine)
}


def copied(**instead: str) -> str:
    """SQL that adds a copy of the draft's usage line with other values in some columns."""
    columns = COLUMNS[InvoiceLine]
    values = [instead.get(column, column) for column in columns]
    return (
        f"INSERT INTO invoicing_invoiceline ({', '.join(columns)}) SELECT {', '.join(values)}"
        " FROM invoicing_invoiceline WHERE id = %(draft_tokens)s"
    )


@pytest.mark.parametrize(
    "instead",
    [
        {"invoice_id": "%(open)s", "position": "9", "revision": "2"},
        {"invoice_id": "%(paid)s", "position": "9", "revision": "2"},
        {"position": "9"},
        {"position": "9", "revision": "2", "currency": "'EUR'"},
        {"position": "1", "revision": "2"},
        {"position": "9", "revision": "2", "service_end": "service_start"},
    ],
    ids=["onto open", "onto paid", "same revision", "other currency", "same position", "no time"],
)
def test_a_line_that_does_not_belong_is_refused(
    sql: psycopg.Connection[Any], made: Made, instead: dict[str, str]
) -> None:
    refused(sql, copied(**instead), made)


def test_a_line_can_be_added_to_a_draft(sql: psycopg.Connection[Any], made: Made) -> None:
    """So the refusals above are not of the statement."""
    assert sql.execute(copied(position="9", revision="2"), made).rowcount == 1


TAKE = "UPDATE invoicing_numberseries SET next_number = next_number + 1"
FINAL = (
    "UPDATE invoicing_invoice SET status = 'open', number = 'INV-000003', finalized_at = now(), seller = '{}'"
    "{more} WHERE id = %(draft)s"
)


@pytest.mark.parametrize(
    "more",
    [
        ", subtotal = subtotal + 1, total = total + 1, amount_due = amount_due + 1",
        ", credits_applied = 1, total = total - 1, amount_due = amount_due - 1",
        ", tax_total = 1, total = total + 1, amount_due = amount_due + 1",
        ", balance_applied = 21, amount_due = total - 21",
    ],
)
def test_an_invoice_is_final_only_when_its_lines_add_up(sql: psycopg.Connection[Any], made: Made, more: str) -> None:
    sql.execute(TAKE)
    refused(sql, FINAL.replace("{more}", more), made)


def test_an_amount_is_due_only_when_it_is_posted(sql: psycopg.Connection[Any], made: Made) -> None:
    sql.execute(TAKE)
    refused(sql, FINAL.replace("{more}", ""), made)


def test_an_amount_that_another_entry_posted_is_not_due(sql: psycopg.Connection[Any], made: Made) -> None:
    sql.execute(TAKE)
    entry = ", entry_id = (SELECT entry_id FROM invoicing_invoice WHERE id = %(open)s)"
    refused(sql, FINAL.replace("{more}", entry), made)


def test_an_invoice_has_an_entry_of_its_own(own_shop: Shop) -> None:
    """Two customers owe the same; the second bill does not stand on what the first one posted."""
    first, second = own_shop.owing("20.00"), own_shop.draft("20.00")
    with own_shop.database.connect(autocommit=False) as app:
        app.execute(TAKE)
        with pytest.raises(errors.IntegrityError):
            app.execute(
                "UPDATE invoicing_invoice SET status = 'open', number = 'INV-000002', finalized_at = now(),"
                " seller = '{}', entry_id = %s WHERE id = %s",
                [first.entry_id, second.pk],
            )


def test_an_entry_says_which_invoice_it_finalises(own_shop: Shop) -> None:
    """Nor on an entry that is nobody's yet, made for another invoice."""
    second = own_shop.draft("20.00")
    customer = second.customer.key
    with transaction.atomic():
        entry = posting.post(
            movement=movements.INVOICE_FINALIZED,
            key="made-up",
            lines=movements.invoice_finalized(
                customer_key=customer,
                currency="USD",
                receivable=Decimal(20),
                accrued_cleared=Decimal(0),
                deferred=Decimal(20),
            ),
            at=START,
            actor=TESTER,
            customer_key=customer,
            refs={"invoice": "inv_other"},
        )
    with own_shop.database.connect(autocommit=False) as app:
        app.execute(TAKE)
        with pytest.raises(errors.CheckViolation, match="did not finalise"):
            app.execute(
                "UPDATE invoicing_invoice SET status = 'open', number = 'INV-000001', finalized_at = now(),"
                " seller = '{}', entry_id = %s WHERE id = %s",
                [entry.pk, second.pk],
            )


@pytest.mark.parametrize(
    "change",
    [
        "status = 'paid', amount_paid = amount_due, paid_at = now()",
        "amount_paid = 0.01",
        "amount_paid = amount_due + 1",
        "amount_paid = -1",
    ],
)
def test_what_is_paid_was_paid(sql: psycopg.Connection[Any], made: Made, change: str) -> None:
    with pytest.raises(errors.CheckViolation):  # noqa: PT012  # at once, or at the commit
        sql.execute(f"UPDATE invoicing_invoice SET {change} WHERE id = %(open)s", made)
        sql.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoicing_invoice SET amount_paid = 1 WHERE id = %(draft)s",
        "UPDATE invoicing_invoice SET amount_paid = amount_paid - 1 WHERE id = %(paid)s",
        "UPDATE invoicing_invoice SET amount_paid = amount_paid - 1, status = 'open' WHERE id = %(paid)s",
    ],
)
def test_what_was_paid_stays_paid(sql: psycopg.Connection[Any], made: Made, statement: str) -> None:
    with pytest.raises(errors.CheckViolation):  # noqa: PT012  # at once, or at the commit
        sql.execute(statement, made)
        sql.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.mark.parametrize("entry", ["paid", "open"], ids=["of another invoice", "of its finalisation"])
def test_a_payment_is_what_its_entry_posted(sql: psycopg.Connection[Any], made: Made, entry: str) -> None:
    statement = (
        "INSERT INTO invoicing_payment (stripe_charge_id, invoice_id, currency, amount, applied, entry_id, paid_at,"
        " recorded_at) SELECT 'ch_made_up', %(open)s, 'USD', 21.5, 21.5, entry_id, now(), now()"
        " FROM invoicing_invoice WHERE id = %({entry})s"
    )
    refused(sql, statement.replace("{entry}", entry), made)


def test_a_number_that_is_taken_is_used(sql: psycopg.Connection[Any], made: Made) -> None:
    sql.execute(TAKE)
    refused(sql, "SET CONSTRAINTS ALL IMMEDIATE", made)


def test_a_number_comes_from_the_series(sql: psycopg.Connection[Any], made: Made) -> None:
    """A draft with nothing to pay would otherwise need no entry and no number."""
    sql.execute("UPDATE invoicing_invoiceline SET amount = 0 WHERE invoice_id = %(draft)s", made)
    sql.execute("UPDATE invoicing_invoice SET subtotal = 0, total = 0, amount_due = 0 WHERE id = %(draft)s", made)
    refused(sql, FINAL.replace("{more}", ""), made)


EVENT = (
    "INSERT INTO invoicing_stripeevent (event_id, type, object_id, api_version, livemode, body, created_at,"
    " received_at, outcome, tries, error)"
    " VALUES ('evt_guarded', 'invoice.paid', '', '', false, '{}', now(), now(), '', 0, '')"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoicing_stripeevent SET body = '[]'",
        "UPDATE invoicing_stripeevent SET event_id = 'evt_other'",
        "UPDATE invoicing_stripeevent SET object_id = 'in_other'",
        "UPDATE invoicing_stripeevent SET livemode = true",
        "UPDATE invoicing_stripeevent SET received_at = now() - interval '1 day'",
        "DELETE FROM invoicing_stripeevent",
        "TRUNCATE invoicing_stripeevent",
    ],
)
def test_an_event_stays_as_it_came(sql: psycopg.Connection[Any], made: Made, statement: str) -> None:
    sql.execute(EVENT)
    sql.execute("UPDATE invoicing_stripeevent SET handled_at = now(), outcome = 'applied', tries = tries + 1")
    refused(sql, statement, made)


def test_an_invoice_is_born_as_a_draft(sql: psycopg.Connection[Any], made: Made) -> None:
    columns = COLUMNS[Invoice]
    values = {"public_id": "'inv_x'", "trigger": "'edge:x'", "number": "'INV-000009'", "stripe_id": "NULL"}
    refused(
        sql,
        f"INSERT INTO invoicing_invoice ({', '.join(columns)})"
        f" SELECT {', '.join(values.get(one, one) for one in columns)} FROM invoicing_invoice WHERE id = %(open)s",
        made,
    )


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoicing_numberseries SET next_number = next_number + 2",
        "UPDATE invoicing_numberseries SET next_number = next_number - 1",
        "UPDATE invoicing_numberseries SET next_number = next_number",
        "UPDATE invoicing_numberseries SET prefix = 'OLD'",
        "DELETE FROM invoicing_numberseries",
        "TRUNCATE invoicing_numberseries",
        "INSERT INTO invoicing_numberseries (prefix, next_number) VALUES ('NEW', 5)",
    ],
)
def test_the_series_of_numbers_goes_up_by_one(sql: psycopg.Connection[Any], made: Made, statement: str) -> None:
    refused(sql, statement, made)


FACTS = ("UPDATE invoicing_{0} SET {1}", "DELETE FROM invoicing_{0}", "TRUNCATE invoicing_{0}")


@pytest.mark.parametrize("table", ["accrual", "recognition", "payment"])
@pytest.mark.parametrize(
    "statement", ["UPDATE invoicing_{} SET {}", "DELETE FROM invoicing_{}", "TRUNCATE invoicing_{}"]
)
def test_facts_stay(sql: psycopg.Connection[Any], made: Made, table: str, statement: str) -> None:
    column = {"accrual": "amount = 1", "recognition": "amount = 1", "payment": "applied = 1"}[table]
    refused(sql, statement.format(table, column), made)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoicing_paymentattempt SET idempotency_key = 'pay:other' WHERE id = %(attempt)s",
        "UPDATE invoicing_paymentattempt SET amount = amount + 1 WHERE id = %(attempt)s",
        "UPDATE invoicing_paymentattempt SET number = 9 WHERE id = %(attempt)s",
        "UPDATE invoicing_paymentattempt SET invoice_id = %(open)s WHERE id = %(attempt)s",
        "UPDATE invoicing_paymentattempt SET currency = 'EUR' WHERE id = %(attempt)s",
        "UPDATE invoicing_paymentattempt SET status = 'pending' WHERE id = %(attempt)s",
        "UPDATE invoicing_paymentattempt SET status = 'failed' WHERE id = %(attempt)s",
        "UPDATE invoicing_paymentattempt SET status = 'refunded' WHERE id = %(attempt)s",
        "DELETE FROM invoicing_paymentattempt WHERE id = %(attempt)s",
        "TRUNCATE invoicing_paymentattempt",
    ],
)
def test_what_an_attempt_asked_for_and_was_answered_stays(
    sql: psycopg.Connection[Any], made: Made, statement: str
) -> None:
    refused(sql, statement, made)


ATTEMPT = (
    "INSERT INTO invoicing_paymentattempt (invoice_id, number, idempotency_key, currency, amount, status, failure_code,"
    " failure_message, payment_method, requested_by, created_at, tries)"
    " VALUES (%(open)s, {number}, {key}, 'USD', 21.5, 'pending', '', '', '', 'test', now(), 0)"
)


def test_an_invoice_has_one_pending_attempt(sql: psycopg.Connection[Any], made: Made) -> None:
    sql.execute(ATTEMPT.format(number=1, key="'one'"), made)
    refused(sql, ATTEMPT.format(number=2, key="'two'"), made)


def test_an_idempotency_key_is_used_once(sql: psycopg.Connection[Any], made: Made) -> None:
    refused(sql, ATTEMPT.format(number=1, key="(SELECT idempotency_key FROM invoicing_paymentattempt LIMIT 1)"), made)


def test_the_application_may_not_delete_what_the_owner_could(shop: Shop, made: Made) -> None:
    """Rights, before any trigger."""
    with shop.database.connect() as sql:
        for table in ("invoice", "invoiceline", "paymentattempt", "payment", "accrual", "recognition", "stripeevent"):
            with pytest.raises(errors.InsufficientPrivilege):
                sql.execute(f"DELETE FROM invoicing_{table}")
            with pytest.raises(errors.InsufficientPrivilege):
                sql.execute(f"ALTER TABLE invoicing_{table} DISABLE TRIGGER ALL")


def test_a_line_that_is_added_while_its_invoice_becomes_final_is_refused(shop: Shop) -> None:
    """The line waits for the finalisation in flight, and then sees its result."""
    plan = publish("slow", fee("1.00"), usage_price("tokens", "0.001"))
    customer = join(plan, "slow")
    draft = drafted(customer, MONTH_LATER)
    line = draft.lines.get(kind="usage")

    def insert() -> None:
        with shop.database.connect() as sql:
            sql.execute(copied(position="9", revision="2"), {"draft_tokens": line.pk})

    def finish() -> Invoice:
        return finalized(draft, MONTH_LATER)

    answers = at_once(finish, insert)
    invoice = Invoice.objects.get(pk=draft.pk)
    if isinstance(answers[1], errors.CheckViolation):
        assert (invoice.status, invoice.lines.count()) == ("open", 2)
    else:  # the line came first: then it is on the bill, rated like the others
        assert answers[1] is None
        assert invoice.lines.count() == 3
    assert zero("USD") + sum((one.amount for one in invoice.lines.all()), zero("USD")) == invoice.subtotal


@pytest.mark.parametrize(
    ("table", "function", "states"),
    [
        (lifecycle.INVOICE, "invoice_status_may_change", [*lifecycle.INVOICE, "unknown"]),
        (lifecycle.ATTEMPT, "attempt_status_may_change", [*lifecycle.ATTEMPT, "unknown"]),
    ],
    ids=["invoice", "attempt"],
)
def test_the_tables_of_states_are_the_databases(shop: Shop, table: Any, function: str, states: list[str]) -> None:
    with connection.cursor() as cursor:
        for before in states:
            for after in states:
                cursor.execute(f"SELECT {function}(%s, %s)", [before, after])
                assert cursor.fetchone() == (lifecycle.allowed(table, before, after),), (before, after)


def test_the_states_are_those_of_the_models() -> None:
    assert set(lifecycle.INVOICE) == set(Invoice.Status.values)
    assert set(lifecycle.ATTEMPT) == set(PaymentAttempt.Status.values)


def test_numbers_have_six_digits_or_more(shop: Shop) -> None:
    written = {1: "INV-000001", 999_999: "INV-999999", 1_000_000: "INV-1000000"}
    assert {number: numbering.write("INV", number) for number in written} == written
    with connection.cursor() as cursor:
        for number, text in written.items():
            cursor.execute("SELECT invoice_number_text('INV', %s)", [number])
            assert cursor.fetchone() == (text,)
