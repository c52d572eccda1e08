"""Every movement as finance reads it: one golden journal each, posted through the door as well.

Write them anew with ``UPDATE_GOLDEN=1`` and read the difference before keeping it.
"""

import os
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from ledger import journal, posting
from ledger.rules import movements, routes
from ledger.rules.entries import LineSpec, imbalance, mirror
from ledger.rules.movements import CreditUse
from tests.ledger.books import AT, ROBOT, accrue, give

GOLDEN = Path(__file__).parents[1] / "golden" / "journals"

C = "cus-1"


def D(text: str) -> Decimal:  # noqa: N802  # reads as in an account book
    return Decimal(text)


def _composed() -> tuple[LineSpec, ...]:
    return movements.invoice_finalized(
        customer_key=C,
        currency="USD",
        receivable=D("93.61"),
        accrued_cleared=D("12.341273"),
        deferred=D("99.00"),
        tax={"US-CA": D("10.00"), "US-CA-SF": D("12.27")},
        rounding=D("0.001273"),
        credits=[
            CreditUse("promotional", "grant-p", D("20.00")),
            CreditUse("paid", "grant-g", D("10.00")),
            CreditUse("goodwill", "grant-s", D("3.00")),
            CreditUse("included", "grant-i", D("2.00")),
        ],
        balance_used=D("5.00"),
    )


CASES: dict[str, tuple[str, Callable[[], tuple[LineSpec, ...]]]] = {
    "usage-accrued": (
        routes.USAGE_ACCRUED,
        lambda: movements.usage_accrued(customer_key=C, unit="USD", amount=D("12.341273")),
    ),
    "usage-taken-back": (
        routes.USAGE_ACCRUED,
        lambda: movements.usage_accrued(customer_key=C, unit="USD", amount=D("-70")),
    ),
    "fee-recognised": (
        routes.FEE_RECOGNISED,
        lambda: movements.fee_recognised(customer_key=C, unit="USD", amount=D("3.225806451613")),
    ),
    "invoice-finalised": (
        routes.INVOICE_FINALIZED,
        lambda: movements.invoice_finalized(
            customer_key=C,
            currency="USD",
            receivable=D("133.61"),
            accrued_cleared=D("12.341273"),
            deferred=D("99.00"),
            tax={"US-CA": D("22.27")},
            rounding=D("0.001273"),
        ),
    ),
    "invoice-finalised-rounded-up": (
        routes.INVOICE_FINALIZED,
        lambda: movements.invoice_finalized(
            customer_key=C, currency="USD", receivable=D("0.01"), accrued_cleared=D("0.005"), rounding=D("-0.005")
        ),
    ),
    "invoice-finalised-with-credits-and-balance": (routes.INVOICE_FINALIZED, _composed),
    "invoice-finalised-below-zero": (
        routes.INVOICE_FINALIZED,
        lambda: movements.invoice_finalized(
            customer_key=C,
            currency="USD",
            receivable=D("0"),
            accrued_cleared=D("-70"),
            deferred=D("-40.00"),
            tax={"DE": D("-8.00")},
            balance_added=D("118.00"),
        ),
    ),
    "payment-succeeded": (
        routes.PAYMENT_SUCCEEDED,
        lambda: movements.payment_succeeded(customer_key=C, currency="USD", amount=D("133.61")),
    ),
    "payment-above-what-was-owed": (
        routes.PAYMENT_SUCCEEDED,
        lambda: movements.payment_succeeded(customer_key=C, currency="USD", amount=D("150.00"), applied=D("133.61")),
    ),
    "customer-balance-applied": (
        routes.BALANCE_APPLIED,
        lambda: movements.balance_applied(customer_key=C, currency="USD", amount=D("16.39")),
    ),
    "payment-fee": (routes.PAYMENT_FEE, lambda: movements.payment_fee(currency="USD", amount=D("4.17"))),
    "payment-returned": (
        routes.PAYMENT_RETURNED,
        lambda: movements.payment_returned(customer_key=C, currency="USD", amount=D("133.61"), fee=D("4.00")),
    ),
    "opening-receivable": (
        routes.OPENING_BALANCE,
        lambda: movements.opening_balance(code="1100", unit="USD", amount=D("80.00"), customer_key=C),
    ),
    "opening-customer-balance": (
        routes.OPENING_BALANCE,
        lambda: movements.opening_balance(code="2110", unit="USD", amount=D("80.00"), customer_key=C),
    ),
    "opening-paid-credit": (
        routes.OPENING_BALANCE,
        lambda: movements.opening_balance(
            code="2000", unit="USD", amount=D("80.00"), customer_key=C, dimension="grant-g"
        ),
    ),
    "opening-promotional-credit": (
        routes.OPENING_BALANCE,
        lambda: movements.opening_balance(
            code="9010", unit="USD", amount=D("80.00"), customer_key=C, dimension="grant-p"
        ),
    ),
}
for _kind in ("promotional", "goodwill", "included"):
    CASES[f"credit-granted-{_kind}"] = (
        routes.CREDIT_GRANTED,
        lambda kind=_kind: movements.credit_granted(  # type: ignore[misc]
            kind=kind, customer_key=C, unit="USD", amount=D("50.00"), grant="grant-1"
        ),
    )
    CASES[f"credit-voided-{_kind}"] = (
        routes.CREDIT_VOIDED,
        lambda kind=_kind: movements.credit_voided(  # type: ignore[misc]
            kind=kind, customer_key=C, unit="USD", amount=D("30.00"), grant="grant-1"
        ),
    )
for _kind in ("paid", "promotional", "goodwill", "included"):
    CASES[f"credit-expired-{_kind}"] = (
        routes.CREDIT_EXPIRED,
        lambda kind=_kind: movements.credit_expired(  # type: ignore[misc]
            kind=kind, customer_key=C, unit="USD", amount=D("30.00"), grant="grant-1"
        ),
    )
CASES["entry-reversed"] = (routes.ENTRY_REVERSED, lambda: mirror(_composed()))


@pytest.mark.parametrize("name", CASES)
def test_golden_journal(name: str) -> None:
    movement, build = CASES[name]
    lines = build()
    route = routes.BY_TYPE[movement]
    shown = f"{route.label} ({route.code})\n\n{journal.as_text(journal.lines_of(lines))}\n"
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(shown)
    assert shown == path.read_text()
    assert imbalance(lines) == {}
    if movement != routes.ENTRY_REVERSED:
        assert {line.code for line in lines if line.side == "debit"} <= set(route.debits)
        assert {line.code for line in lines if line.side == "credit"} <= set(route.credits)


def test_every_golden_journal_has_its_movement_and_every_movement_its_journal() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)
    assert {movement for movement, _ in CASES.values()} == set(routes.BY_TYPE)


_WITHOUT_GRANTS = [name for name, (_, build) in CASES.items() if not any("grant" in line.dimension for line in build())]


@pytest.mark.django_db
@pytest.mark.parametrize("name", _WITHOUT_GRANTS)
def test_the_database_takes_it(name: str) -> None:
    """Those that touch a grant are posted by the tests of crediting, through a real grant."""
    movement, build = CASES[name]
    accrue("some usage", "200")
    posting.post(
        movement=routes.INVOICE_FINALIZED,
        key="some fees and balance",
        lines=movements.invoice_finalized(
            customer_key=C, currency="USD", receivable=D("500"), deferred=D("400"), balance_added=D("100")
        ),
        at=AT,
        actor=ROBOT,
    )
    entry = posting.post(movement=movement, key="k", lines=build(), at=AT, actor=ROBOT)
    assert len(journal.entry(public_id=entry.public_id).lines) == len(build())


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
    from ledger import balances, crediting

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
