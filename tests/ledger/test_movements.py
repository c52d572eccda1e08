"""Every movement as finance reads it: one golden journal each, posted through the door as well.

Write them anew with ``UPDATE_GOLDEN=1`` and read the difference before keeping it.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from django.db import connection, transaction

from ledger import balances, crediting, journal, posting, proofs
from ledger.rules import movements, routes
from ledger.rules.entries import imbalance
from ledger.rules.movements import CreditUse
from tests.ledger.books import AT, ROBOT, accrue, give
from tests.ledger.journals import NAMES, cases
from tests.ledger.journals.case import C, D
from tests.ledger.journals.scene import Scene
from tests.ledger.journals.stories import NAMES as TOLD
from tests.ledger.journals.stories import stories

GOLDEN = Path(__file__).parents[1] / "golden" / "journals"


def _is_golden(name: str, shown: str) -> None:
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(shown)
    assert shown == path.read_text()


@pytest.mark.parametrize("name", NAMES)
def test_golden_journal(name: str) -> None:
    case = cases()[name]
    _is_golden(name, case.as_text())
    route = routes.BY_TYPE[case.movement]
    assert imbalance(case.lines) == {}
    if case.movement != routes.ENTRY_REVERSED:
        assert {line.code for line in case.lines if line.side == "debit"} <= set(route.debits)
        assert {line.code for line in case.lines if line.side == "credit"} <= set(route.credits)


@pytest.mark.parametrize("name", TOLD)
def test_golden_story(name: str) -> None:
    _is_golden(f"story-{name}", stories()[name].as_text())


def test_every_golden_journal_has_its_movement_and_every_movement_its_journal() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(NAMES) | {f"story-{name}" for name in TOLD}
    assert {case.movement for case in cases().values()} == set(routes.BY_TYPE)


def test_each_account_of_a_route_is_shown_by_some_journal() -> None:
    """A route that is wider than its journals lets an entry go where nobody has said what that would mean."""
    shown = {(case.movement, line.side, line.code) for case in cases().values() for line in case.lines}
    unshown = {
        (route.code, side, code)
        for route in routes.ROUTES
        for side, codes in (("debit", route.debits), ("credit", route.credits))
        for code in codes
        if (route.code, side, code) not in shown
    }
    assert unshown == set()


_APPROVED = [name for name, case in cases().items() if routes.BY_TYPE[case.movement].needs_approval]


@pytest.mark.django_db
@pytest.mark.parametrize("name", _APPROVED)
def test_the_database_wants_an_approval(name: str) -> None:
    """How they are approved and then taken is the tests of transfers."""
    scene = Scene()
    with transaction.atomic():
        scene.prepare(cases()[name])
        with pytest.raises(posting.InvalidEntry, match="needs an approval"):
            scene.post(cases()[name])
        transaction.set_rollback(True)


@pytest.mark.django_db
@pytest.mark.parametrize("name", [name for name in NAMES if name not in _APPROVED])
def test_the_database_takes_it(name: str) -> None:
    case, scene = cases()[name], Scene()
    with transaction.atomic():
        if case.movement == routes.ENTRY_REVERSED:
            undone = cases()["invoice-finalised-with-credits-and-balance"]
            scene.prepare(undone)
            entry = posting.reverse(entry=scene.post(undone), key="undo", at=case.at, actor=ROBOT, reason_code="test")
        else:
            scene.prepare(case)
            entry = scene.post(case)
        found = journal.entry(public_id=entry.public_id).lines
        assert [(line.code, line.side, line.amount, line.unit) for line in found] == [
            (line.code, line.side, line.amount, line.unit) for line in case.lines
        ]
        transaction.set_rollback(True)  # the grants here have no terms: those are the tests of crediting


@pytest.mark.django_db
@pytest.mark.parametrize("name", TOLD)
def test_the_books_agree_with_the_story(name: str) -> None:
    story = stories()[name]
    scene = Scene(story.cases)
    for case, nets in zip(story.cases, story.nets(), strict=True):
        scene.post(case)
        found = {
            (unit, line.code): line.net
            for unit in {unit for unit, _ in nets}
            for line in balances.trial_balance(unit=unit)
        }
        assert found == nets
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    assert proofs.violations() == []


@pytest.mark.django_db
def test_an_invoice_with_all_that_it_can_have_goes_through_the_door() -> None:
    give("g", "10.00", kind="paid")
    give("p", "20.00", priority=1)
    accrue("u", "42.341273")
    posting.post(
        movement=routes.PAYMENT_SUCCEEDED,
        key="pay",
        lines=movements.payment_succeeded(customer_key=C, currency="USD", amount=D("5.00"), applied=D("0")),
        at=AT,
        actor=ROBOT,
    )
    applied = crediting.apply(
        customer_key=C, currency="USD", needs=[crediting.Need("l1", "", D("42.34"))], at=AT, key="inv"
    )
    lines = movements.invoice_finalized(
        customer_key=C,
        currency="USD",
        receivable=D("108.57"),
        accrued_cleared=D("42.341273"),
        deferred=D("99.00"),
        tax={"US-CA": D("2.23")},
        rounding=D("0.001273"),
        credits=crediting.uses_of(applied),
        balance_used=D("5.00"),
    )
    posting.post(movement=routes.INVOICE_FINALIZED, key="inv", lines=lines, at=AT, actor=ROBOT, customer_key=C)
    now = balances.of(customer_key=C, unit="USD")
    assert (now.receivable, now.unbilled, now.deferred) == (D("108.57"), D("0"), D("99"))
    assert now.customer_balance == now.credits_total == 0
    nets = {line.code: line.net for line in balances.trial_balance(unit="USD")}
    assert sum(nets.values()) == 0
    assert (nets["4000"], nets["4900"], nets["6310"], nets["2200"]) == (
        D("-42.341273"),
        D("20"),
        D("0.001273"),
        D("-2.23"),
    )


@pytest.mark.parametrize(
    "build",
    [
        lambda: movements.fee_recognised(customer_key=C, unit="USD", amount=D("-1")),
        lambda: movements.payment_succeeded(customer_key=C, currency="USD", amount=D("0")),
        lambda: movements.payment_succeeded(customer_key=C, currency="USD", amount=D("1"), applied=D("2")),
        lambda: movements.payment_succeeded(customer_key=C, currency="USD", amount=D("1"), applied=D("-1")),
        lambda: movements.payment_returned(customer_key=C, currency="USD", amount=D("1"), fee=D("-1")),
        lambda: movements.balance_applied(customer_key=C, currency="USD", amount=D("0")),
        lambda: movements.credit_granted(kind="paid", customer_key=C, unit="USD", amount=D("1"), grant="g"),
        lambda: movements.credit_voided(kind="paid", customer_key=C, unit="USD", amount=D("1"), grant="g"),
        lambda: movements.credit_expired(kind="paid", customer_key=C, unit="USD", amount=D("0"), grant="g"),
        lambda: movements.credit_used(customer_key=C, unit="USD", uses=[CreditUse("paid", "g", D("0"))]),
        lambda: movements.opening_balance(code="1100", unit="USD", amount=D("-1"), customer_key=C),
        lambda: movements.invoice_finalized(customer_key=C, currency="USD", receivable=D("-1")),
        lambda: movements.invoice_finalized(customer_key=C, currency="USD", receivable=D("1")),
        lambda: movements.invoice_finalized(customer_key=C, currency="USD", receivable=D("1"), balance_used=D("-1")),
        lambda: movements.invoice_finalized(
            customer_key=C, currency="USD", receivable=D("1"), accrued_cleared=D("1"), rounding=D("0.01")
        ),
    ],
)
def test_movements_that_make_no_sense_are_a_mistake_of_the_program(build: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|balance|not given"):
        build()


def test_what_is_zero_makes_no_line() -> None:
    assert movements.usage_accrued(customer_key=C, unit="USD", amount=D("0")) == ()
    assert movements.fee_recognised(customer_key=C, unit="USD", amount=D("0.00")) == ()
    assert movements.invoice_finalized(customer_key=C, currency="USD", receivable=D("0")) == ()
    assert len(movements.payment_succeeded(customer_key=C, currency="USD", amount=D("1"))) == 2
