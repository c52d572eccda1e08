"""The stories that finance asks about."""

from typing import Any

from ledger.rules import movements, routes
from ledger.rules.movements import CreditUse
from tests.ledger.journals.case import USD, C, D
from tests.ledger.journals.story import Story, earned, entry, invoiced, on, paid


def _prepaid_plan() -> Story:
    return Story(
        "The life of a prepaid plan (row 24)",
        [
            invoiced("24", on(1, 1), "A year of the plan is invoiced in advance: 1,200.00.", "1200.00", "1200.00"),
            paid(on(1, 3), "1200.00", "The customer pays."),
            earned(on(1, 31), "101.917808219178", "January is earned by the day: 31 of 365."),
            earned(on(2, 28), "92.054794520548", "So is February."),
            earned(on(12, 31), "1006.027397260274", "The other months, and what the first two had rounded off."),
        ],
    )


def _proration() -> Story:
    back = movements.plan_prorated(**USD, unearned=D("40.00"), tax={"DE": D("8.00")}, balance=D("48.00"))
    return Story(
        "A change of plan in the middle of the month (rows 25 and 25b)",
        [
            invoiced("12", on(4, 1), "April of the small plan: 80.00 and 16.00 of tax.", "96.00", "80.00", "16.00"),
            paid(on(4, 2), "96.00", "The customer pays."),
            earned(on(4, 16), "40.00", "Half of the month is earned up to the instant of the change."),
            entry(routes.PLAN_PRORATED, "25", on(4, 16), "The unused half becomes balance, with its tax.", back),
            invoiced(
                "25b, 14c",
                on(4, 16),
                "Half a month of the large plan: 60.00 and 12.00 of tax, of which the balance pays 48.00.",
                "24.00",
                "60.00",
                "12.00",
                "48.00",
            ),
            paid(on(4, 17), "24.00", "The customer pays the rest."),
            earned(on(4, 30), "60.00", "The second half is earned."),
        ],
    )


def _top_up() -> Story:
    ordered = movements.topup_invoiced(**USD, price=D("100.00"), tax={"DE": D("20.00")})
    promo = movements.credit_granted(kind="promotional", customer_key=C, unit="USD", amount=D("20.00"), grant="grant-p")
    first = [CreditUse("promotional", "grant-p", D("20.00")), CreditUse("paid", "grant-g", D("10.00"))]
    rest = movements.credit_drawn(
        customer_key=C, unit="USD", uses=[CreditUse("paid", "grant-g", D("90.00"))], overage=D("3.75")
    )
    return Story(
        "A top-up is bought and used (rows 3, 4 and 7)",
        [
            entry(
                routes.TOPUP_INVOICED,
                "3",
                on(3, 1),
                "100.00 of credit is ordered and invoiced with 20.00 of tax: owed, not spendable.",
                ordered,
            ),
            paid(on(3, 2), "120.00", "It is paid.", "4"),
            entry(
                routes.CREDIT_BOUGHT,
                "4",
                on(3, 2),
                "In the same moment it becomes credit.",
                movements.credit_bought(**USD, price=D("100.00"), grant="grant-g"),
            ),
            entry(routes.CREDIT_GRANTED, "5", on(3, 2), "20.00 of promotional credit come with it.", promo),
            entry(
                routes.CREDIT_DRAWN,
                "7",
                on(3, 4),
                "Usage of 30.00 takes what was given first.",
                movements.credit_drawn(customer_key=C, unit="USD", uses=first),
            ),
            entry(
                routes.CREDIT_DRAWN, "7, 2", on(3, 20), "Usage of 93.75 takes the rest; 3.75 will be invoiced.", rest
            ),
        ],
    )


def _hold() -> Story:
    goodwill: dict[str, Any] = {"customer_key": C, "unit": "USD"}
    return Story(
        "A hold is settled (rows 8 and 7)",
        [
            entry(
                routes.CREDIT_GRANTED,
                "6",
                on(3, 1),
                "10.00 of goodwill credit.",
                movements.credit_granted(**goodwill, kind="goodwill", amount=D("10.00"), grant="grant-s"),
            ),
            entry(
                routes.CREDIT_DRAWN,
                "8, 7b",
                on(3, 4),
                "A request began and held 5.00: no journal. It took 3.20; the other 1.80 are free again without one.",
                movements.credit_drawn(**goodwill, uses=[CreditUse("goodwill", "grant-s", D("3.20"))]),
            ),
            entry(
                routes.CREDIT_EXPIRED,
                "9",
                on(4, 1),
                "What remains expires: the concession was that much smaller.",
                movements.credit_expired(**goodwill, kind="goodwill", amount=D("6.80"), grant="grant-s"),
            ),
        ],
    )


def _refund() -> Story:
    note = movements.credit_note_issued(
        **USD, earned=D("30.00"), unearned=D("20.00"), tax={"DE": D("10.00")}, refund=D("60.00")
    )
    out = movements.refund_succeeded(currency="USD", amount=D("60.00"))
    back = movements.refund_returned(currency="USD", amount=D("60.00"))
    kept = movements.refund_failed(**USD, from_balance=D("60.00"))
    return Story(
        "A paid invoice is credited and the money goes back (rows 19b and 17)",
        [
            invoiced("12", on(5, 1), "May of a plan: 50.00 and 10.00 of tax.", "60.00", "50.00", "10.00"),
            paid(on(5, 2), "60.00", "The customer pays."),
            earned(on(5, 19), "30.00", "30.00 of the fee are earned."),
            entry(
                routes.CREDIT_NOTE_ISSUED,
                "19b",
                on(5, 19),
                "All of it is credited, and promised back. Revenue is reduced here, once.",
                note,
            ),
            entry(routes.REFUND_SUCCEEDED, "17", on(5, 21), "The money leaves.", out),
            entry(routes.REFUND_RETURNED, "17", on(5, 28), "The customer's bank sends it back.", back),
            entry(routes.REFUND_FAILED, "17", on(5, 28), "The credit note stands: it is the customer's balance.", kept),
        ],
    )


def _dispute(*, won: bool) -> Story:
    opened = movements.dispute_opened(dispute="dp-1", currency="USD", amount=D("118.80"), fee=D("15.00"))
    end = (
        entry(
            routes.DISPUTE_WON,
            "21",
            on(7, 20),
            "The dispute is won, and the processor returns its fee.",
            movements.dispute_won(dispute="dp-1", currency="USD", amount=D("118.80"), fee_returned=D("15.00")),
        )
        if won
        else entry(
            routes.DISPUTE_LOST,
            "22",
            on(6, 20),
            "It is lost: what was earned reduces revenue, the rest never will be earned, the tax is reclaimed.",
            movements.dispute_lost(
                dispute="dp-1", **USD, earned=D("33.00"), unearned=D("66.00"), tax={"DE": D("19.80")}
            ),
        )
    )
    return Story(
        "A dispute that is won (rows 20 and 21)" if won else "A dispute that is lost (rows 20 and 22)",
        [
            invoiced("12", on(6, 1), "A plan in advance: 99.00 with 19.80 of tax.", "118.80", "99.00", "19.80"),
            paid(on(6, 2), "118.80", "The customer pays."),
            earned(on(6, 10), "33.00", "Ten days of thirty are earned."),
            entry(routes.DISPUTE_OPENED, "20", on(6, 11), "The card's holder disputes the payment.", opened),
            end,
        ],
    )


def _debt() -> Story:
    tax = {"DE": D("20.00")}
    usage = movements.usage_accrued(customer_key=C, unit="USD", amount=D("100.00"))
    invoice = movements.invoice_finalized(**USD, receivable=D("120.00"), accrued_cleared=D("100.00"), tax=tax)
    lost = movements.debt_written_off(**USD, receivable=D("120.00"), tax_relief=tax, from_allowance=D("50.00"))
    found = movements.debt_recovered(**USD, amount=D("120.00"), tax=tax, to_allowance=D("50.00"))
    provided = movements.allowance_booked(currency="USD", amount=D("50.00"))
    released = movements.allowance_booked(currency="USD", amount=D("-50.00"))
    return Story(
        "A debt is provided for, written off, and paid after all (rows 23 and 23b)",
        [
            entry(routes.USAGE_ACCRUED, "1", on(1, 4), "Usage of 100.00.", usage),
            entry(routes.INVOICE_FINALIZED, "12", on(1, 5), "It is invoiced with 20.00 of tax.", invoice),
            entry(routes.ALLOWANCE_BOOKED, "23b", on(2, 28), "Half of it is expected not to be paid.", provided),
            entry(
                routes.DEBT_WRITTEN_OFF,
                "23",
                on(8, 31),
                "Nothing was paid. The tax is relieved, the allowance is used.",
                lost,
            ),
            entry(
                routes.DEBT_RECOVERED,
                "23b",
                on(10, 1),
                "A collector announces all of it: the write-off is undone, and the tax is payable again.",
                found,
            ),
            paid(on(10, 1), "120.00", "The money arrives."),
            entry(routes.ALLOWANCE_BOOKED, "23b", on(10, 1), "Nobody needs the allowance any more.", released),
        ],
    )


def _fx() -> Story:
    settled = movements.fx_settled(**USD, applied=D("100.00"), paid_currency="EUR", paid=D("92.00"))
    return Story(
        "An invoice in dollars is paid in euros (rows 29 and 29b)",
        [
            invoiced("12", on(3, 1), "A fee of 100.00 USD in advance.", "100.00", "100.00"),
            entry(
                routes.FX_SETTLED,
                "29",
                on(3, 4),
                "It is paid with 92.00 EUR. Each currency balances by its position.",
                settled,
                "1.086956521739",
            ),
            entry(
                routes.FX_REVALUED,
                "29b",
                on(3, 31),
                "At the month's end the euros are worth 98.00 USD: 2.00 are lost.",
                movements.fx_revalued(currency="USD", gain=D("-2.00")),
            ),
        ],
    )


def _migration() -> Story:
    wanted: list[tuple[str, str, str, dict[str, str]]] = [
        ("1010", "5000.00", "The processor's balance", {}),
        ("1100", "240.00", "What a customer owes", {"customer_key": C}),
        ("2100", "900.00", "A fee in advance that is not earned", {"customer_key": C}),
        ("2200", "48.00", "Tax that is not remitted", {"dimension": "DE"}),
        ("2000", "70.00", "Paid credit that is not used", {"customer_key": C, "dimension": "grant-g"}),
        ("9010", "15.00", "Promotional credit that is not used", {"customer_key": C, "dimension": "grant-p"}),
    ]
    return Story(
        "Moving in from another system (row 30)",
        [
            entry(
                routes.OPENING_BALANCE,
                "30",
                on(1, 1),
                f"{words}.",
                movements.opening_balance(code=code, unit="USD", amount=D(amount), **whose),
            )
            for code, amount, words, whose in wanted
        ],
    )


def stories() -> dict[str, Story]:
    """All of them, made anew: a test makes what it looks at."""
    return {
        "prepaid-plan": _prepaid_plan(),
        "proration": _proration(),
        "top-up-bought-and-used": _top_up(),
        "hold-settled": _hold(),
        "refund": _refund(),
        "dispute-won": _dispute(won=True),
        "dispute-lost": _dispute(won=False),
        "debt": _debt(),
        "paid-in-another-currency": _fx(),
        "migration": _migration(),
    }


NAMES = tuple(stories())
