"""Tampering with drawn usage by SQL, as the application and as the owner of the tables: the database refuses."""

from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import ProgrammingError

from billing_ops.kit.errors import BillingError
from invoicing import drawdowns
from invoicing.models import Drawdown
from ledger import drawing, posting, returning
from ledger.rules.draws import METERED
from plans.models import Customer, SubscriptionItem
from tests.invoicing.drawing import HOUR, TIERED, D, credit, draw, drawn_price, facts
from tests.invoicing.stories import CONTEXT, MONTH_LATER, NOON, TESTER, drafted, fee, join, publish, used

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture
def acme(books: Any) -> Customer:
    """Three draws, of which the last was given back in part; the last is owed."""
    made = join(publish("prepaid", TIERED, drawn_price("0.001", key="input", meter=CONTEXT), fee("9.00")))
    credit("5.00")
    for number, units in enumerate((3_000, 4_000, -500)):
        used(number, time=NOON + number * HOUR, generated=units, context=10)
        draw(NOON + number * HOUR + HOUR / 2)
    return made


def refused(statement: str, *values: object, why: str = ".") -> None:
    """The database refuses it, at once or at commit."""
    with pytest.raises((IntegrityError, ProgrammingError), match=why), transaction.atomic():
        _changes(statement, values)


def _changes(statement: str, values: tuple[Any, ...]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        assert cursor.rowcount > 0, "it would have done something"
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


OUTPUT = "(SELECT d.id FROM invoicing_drawdown d JOIN plans_subscriptionitem i ON i.id = d.item_id " \
         "JOIN plans_price p ON p.id = i.price_id WHERE p.key = 'output')"  # fmt: skip
NEXT = "(SELECT steps + 1 FROM invoicing_drawdown WHERE id = drawdown_id)"
SUM = "(SELECT accounted FROM invoicing_drawdown WHERE id = drawdown_id)"
RETURN = "(SELECT max(id) FROM ledger_credit_return)"
COLUMNS = (
    "drawdown_id, step, quantity, cumulative_amount, amount, drawn, overage, watermark, used_at, draw_id, returned_id,"
    " entry_id, drawn_at"
)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE invoicing_usagedraw SET amount = amount + 1, drawn = drawn + 1",
        "UPDATE invoicing_usagedraw SET overage = 0, drawn = amount",
        "DELETE FROM invoicing_usagedraw",
        "DELETE FROM invoicing_drawdown",
        "UPDATE invoicing_drawdown SET accounted = accounted + 1",
        "UPDATE invoicing_drawdown SET accounted = accounted + 1, rated = rated + 1",
        "UPDATE invoicing_drawdown SET rated = accounted + 1",
        "UPDATE invoicing_drawdown SET steps = steps - 1 WHERE steps > 0",
        "UPDATE invoicing_drawdown SET steps = steps + 1",
        "UPDATE invoicing_drawdown SET service_start = service_start + interval '1 second'",
        "UPDATE invoicing_drawdown SET item_id = (SELECT max(item_id) FROM invoicing_drawdown) "
        " WHERE id = (SELECT min(id) FROM invoicing_drawdown)",
        "INSERT INTO invoicing_drawdown (item_id, service_start, service_end, quantity, rated, accounted, steps,"
        " watermark, rated_at) SELECT i.id, i.starts_at, i.starts_at + interval '1 month', 0, 0, 0, 0, 0, now()"
        " FROM plans_subscriptionitem i JOIN plans_price p ON p.id = i.price_id WHERE p.key = 'platform'",
        "INSERT INTO invoicing_drawdown (item_id, service_start, service_end, quantity, rated, accounted, steps,"
        " watermark, rated_at) SELECT item_id, service_start + interval '1 month', service_end + interval '1 month',"
        " 0, 5, 5, 1, 0, now() FROM invoicing_drawdown",
    ],
)
def test_by_raw_sql_what_was_drawn_stays(acme: Customer, statement: str) -> None:
    refused(statement)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        # the same draw once more
        (f"{NEXT}, quantity, {SUM} + amount, amount, drawn, overage, watermark, used_at, draw_id, NULL", "draw_id_key"),
        # a gap in the steps
        (f"{NEXT} + 1, quantity, {SUM} + amount, amount, drawn, overage, watermark, used_at, draw_id, NULL", "follow"),
        # a sum that is not that of the steps
        (f"{NEXT}, quantity, {SUM}, amount, drawn, overage, watermark, used_at, draw_id, NULL", "follow"),
        # another amount than the draw's
        (f"{NEXT}, quantity, {SUM} + 9, 9, 9, 0, watermark, used_at, draw_id, NULL", "did not pay for that usage"),
        # a return of another amount
        (f"{NEXT}, quantity, {SUM} - 9, -9, -9, 0, watermark, NULL, NULL, {RETURN}", "gave back nothing"),
        # neither a draw nor a return
        (f"{NEXT}, quantity, {SUM} + amount, amount, drawn, overage, watermark, used_at, NULL, NULL", "takes_or_gives"),
    ],
)
def test_by_raw_sql_no_step_is_made_up(acme: Customer, values: str, why: str) -> None:
    refused(
        f"INSERT INTO invoicing_usagedraw ({COLUMNS}) SELECT drawdown_id, {values}, entry_id, now()"
        f" FROM invoicing_usagedraw s WHERE drawdown_id = {OUTPUT} AND step = 2",
        why=why,
    )


def test_a_draw_of_one_customer_is_not_anothers(acme: Customer) -> None:
    join(publish("other", drawn_price()), "globex")
    used(50, time=NOON, generated=7, subject="globex")
    draw(NOON + HOUR * 4)
    made = drawing.draw(
        customer_key="acme", unit="USD", amount=D("0.007"), feature="output", key="k", at=NOON, actor=TESTER,
        policy="overage",
    )  # fmt: skip
    theirs = Drawdown.objects.get(item__customer__key="globex")
    refused(
        f"INSERT INTO invoicing_usagedraw ({COLUMNS}) SELECT id, 2, 14, accounted + 0.007, 0.007, %s, %s, watermark,"
        " %s, %s, NULL, %s, now() FROM invoicing_drawdown WHERE id = %s",
        made.drawn, made.overage or 0, made.used_at, made.id, made.entry_id, theirs.pk,
        why="did not pay for that usage",
    )  # fmt: skip


def test_a_draw_for_usage_comes_back_only_by_a_correction_of_the_usage(acme: Customer) -> None:
    made = next(one.draw for one in facts() if one.draw is not None)
    how: dict[str, Any] = {"draw_id": made.pk, "amount": D(1), "at": NOON, "actor": TESTER, "reason_code": "kind"}
    with pytest.raises(returning.DrawOfUsage):
        returning.give_back(key="by hand", **how)
    with pytest.raises(IntegrityError), transaction.atomic():  # noqa: PT012  # deferred
        returning.give_back(key=f"{METERED}by hand", **how)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_nobody_else_draws_under_the_keys_of_usage(acme: Customer) -> None:
    with pytest.raises(BillingError) as found:
        drawing.draw(customer_key="acme", unit="USD", amount=D(1), feature="", key=f"{METERED}1", at=NOON, actor=TESTER)
    assert (found.value.code, found.value.details["field"]) == ("credit.draw_invalid", "key")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO invoicing_invoiceline (invoice_id, position, item_id, price_id, kind, description, service_start,"
        " service_end, revision, currency, quantity, cumulative_amount, unrounded_amount, amount, credits_applied,"
        " tax_jurisdiction, tax_base, tax_rate, tax_amount, rule, working, rated_at)"
        " SELECT %(invoice)s, 99, %(item)s, %(price)s, 'usage', 'x', now() - interval '1 day', now(), 1, 'USD', 1, 1,"
        " 1, 1, 0, '', 0, 0, 0, 'x', '[]', now()",
        "INSERT INTO invoicing_accrual (item_id, service_start, service_end, step, quantity, cumulative_amount,"
        " amount, entry_id, accrued_at) SELECT %(item)s, now() - interval '1 day', now(), 1, 1, 1, 1, max(id), now()"
        " FROM ledger_entry",
    ],
)
def test_by_raw_sql_drawn_usage_is_neither_billed_in_arrears_nor_accrued(acme: Customer, statement: str) -> None:
    item = SubscriptionItem.objects.get(price__key="output")
    values = {"invoice": drafted(acme, MONTH_LATER).pk, "item": item.pk, "price": item.price_id}
    with (
        pytest.raises(IntegrityError, match="settles by drawdown"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, values)


def test_the_proof_finds_an_entry_that_was_reversed(acme: Customer) -> None:
    entry = next(one.entry for one in facts() if one.step == 1)
    assert drawdowns.violations(at=NOON) == []
    posting.reverse(entry=entry, key="oops", at=NOON + HOUR, actor=TESTER, reason_code="mistake")
    assert [one.subject for one in drawdowns.violations(at=NOON)] == [f"entry {entry.pk}"]


def test_the_proof_finds_what_is_rated_wrongly(acme: Customer) -> None:
    Drawdown.objects.filter(item__price__key="output").update(quantity=7)
    (found,) = drawdowns.violations(at=NOON + HOUR * 3)
    assert "its quantity costs 0" in found.detail
