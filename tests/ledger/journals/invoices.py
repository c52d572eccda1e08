"""Invoices, top-ups, credit notes, debts and tax."""

from collections.abc import Sequence

from ledger.rules import movements, routes
from ledger.rules.entries import LineSpec
from tests.ledger.journals.case import EXPENSED, GOODWILL, INCLUDED, PAID, PROMO, USD, Case, D


def invoices() -> dict[str, Case]:
    def finalised(row: str, words: str, lines: Sequence[LineSpec]) -> Case:
        return Case(routes.INVOICE_FINALIZED, row, words, lines)

    return {
        "invoice-finalised": finalised(
            "12",
            "Usage of 12.341273 is billed as 12.34, the plan's 99.00 in advance, with 22.27 of tax.",
            movements.invoice_finalized(
                **USD,
                receivable=D("133.61"),
                accrued_cleared=D("12.341273"),
                deferred=D("99.00"),
                tax={"US-CA": D("22.27")},
                rounding=D("0.001273"),
            ),
        ),
        "invoice-finalised-rounded-up": finalised(
            "12",
            "Usage of half a cent is billed as one cent.",
            movements.invoice_finalized(**USD, receivable=D("0.01"), accrued_cleared=D("0.005"), rounding=D("-0.005")),
        ),
        "invoice-finalised-with-credits-and-balance": finalised(
            "12, 13, 14c",
            "Every kind of credit and 5.00 of the customer's balance pay a part of the invoice.",
            movements.invoice_finalized(
                **USD,
                receivable=D("89.61"),
                accrued_cleared=D("12.341273"),
                deferred=D("99.00"),
                tax={"US-CA": D("10.00"), "US-CA-SF": D("12.27")},
                rounding=D("0.001273"),
                credits=[PROMO, PAID, GOODWILL, INCLUDED, EXPENSED],
                balance_used=D("5.00"),
            ),
        ),
        "invoice-finalised-below-zero": finalised(
            "12",
            "Corrections outweigh charges: 118.00 is kept as the customer's balance.",
            movements.invoice_finalized(
                **USD,
                receivable=D("0"),
                accrued_cleared=D("-70"),
                deferred=D("-40.00"),
                tax={"DE": D("-8.00")},
                balance_added=D("118.00"),
            ),
        ),
        "invoice-finalised-upgrade": finalised(
            "25b",
            "The rest of the month on the larger plan: 60.00 and 12.00 of tax.",
            movements.invoice_finalized(**USD, receivable=D("72.00"), deferred=D("60.00"), tax={"DE": D("12.00")}),
        ),
        "top-up-invoiced": Case(
            routes.TOPUP_INVOICED,
            "3",
            "100.00 of credit is ordered and invoiced with 20.00 of tax. It cannot be spent until it is paid.",
            movements.topup_invoiced(**USD, price=D("100.00"), tax={"DE": D("20.00")}),
        ),
        "top-up-given-up": Case(
            routes.TOPUP_VOIDED,
            "3",
            "The top-up was never paid and is given up.",
            movements.topup_voided(**USD, price=D("100.00"), tax={"DE": D("20.00")}),
        ),
        "credit-note-before-payment": Case(
            routes.CREDIT_NOTE_ISSUED,
            "19",
            "60.00 of an unpaid invoice is credited: 30.00 was earned, 20.00 not yet, 10.00 is tax.",
            movements.credit_note_issued(
                **USD,
                earned=D("30.00"),
                unearned=D("20.00"),
                tax={"DE": D("10.00")},
                open_invoices=D("60.00"),
            ),
        ),
        "credit-note-to-balance": Case(
            routes.CREDIT_NOTE_ISSUED,
            "19b",
            "The same after it was paid: the customer keeps it as balance.",
            movements.credit_note_issued(
                **USD, earned=D("30.00"), unearned=D("20.00"), tax={"DE": D("10.00")}, balance=D("60.00")
            ),
        ),
        "credit-note-to-refund": Case(
            routes.CREDIT_NOTE_ISSUED,
            "19b",
            "The same, and the money is promised back.",
            movements.credit_note_issued(
                **USD, earned=D("30.00"), unearned=D("20.00"), tax={"DE": D("10.00")}, refund=D("60.00")
            ),
        ),
        "credit-note-rounded": Case(
            routes.CREDIT_NOTE_ISSUED,
            "19",
            "What is exactly deferred, 19.354838709677, is credited as 19.35; 10.00 of it was still open.",
            movements.credit_note_issued(
                **USD,
                unearned=D("19.354838709677"),
                open_invoices=D("10.00"),
                balance=D("9.35"),
                rounding=D("-0.004838709677"),
            ),
        ),
        "credit-note-rounded-up": Case(
            routes.CREDIT_NOTE_ISSUED,
            "19b",
            "What is exactly deferred, 19.357, is credited as 19.36.",
            movements.credit_note_issued(**USD, unearned=D("19.357"), balance=D("19.36"), rounding=D("0.003")),
        ),
        "plan-prorated-rounded-up": Case(
            routes.PLAN_PRORATED,
            "25",
            "What is exactly unearned, 39.9988, is credited as 40.00.",
            movements.plan_prorated(**USD, unearned=D("39.9988"), balance=D("40.00"), rounding=D("0.0012")),
        ),
        "plan-prorated-to-balance": Case(
            routes.PLAN_PRORATED,
            "25",
            "40.00 of a paid fee is for time that is not used, with 8.00 of tax: kept as balance.",
            movements.plan_prorated(**USD, unearned=D("40.00"), tax={"DE": D("8.00")}, balance=D("48.00")),
        ),
        "plan-prorated-unpaid": Case(
            routes.PLAN_PRORATED,
            "25",
            "The same while the invoice is unpaid; what is exactly unearned is a little more than what is credited.",
            movements.plan_prorated(
                **USD,
                unearned=D("40.0012"),
                tax={"DE": D("8.00")},
                open_invoices=D("48.00"),
                rounding=D("-0.0012"),
            ),
        ),
        "debt-written-off": Case(
            routes.DEBT_WRITTEN_OFF,
            "23",
            "120.00 will not be paid: 30.00 is for time that is not used, 20.00 of tax is relieved, 70.00 is lost.",
            movements.debt_written_off(
                **USD, receivable=D("120.00"), unearned=D("30.00"), tax_relief={"DE": D("20.00")}
            ),
        ),
        "debt-written-off-against-allowance": Case(
            routes.DEBT_WRITTEN_OFF,
            "23",
            "The same where an allowance of 50.00 stands for it.",
            movements.debt_written_off(
                **USD,
                receivable=D("120.00"),
                unearned=D("30.00"),
                tax_relief={"DE": D("20.00")},
                from_allowance=D("50.00"),
            ),
        ),
        "allowance-booked": Case(
            routes.ALLOWANCE_BOOKED,
            "23b",
            "80.00 of what is owed is expected not to be paid.",
            movements.allowance_booked(currency="USD", amount=D("80.00")),
        ),
        "allowance-released": Case(
            routes.ALLOWANCE_BOOKED,
            "23b",
            "30.00 of the allowance is not needed.",
            movements.allowance_booked(currency="USD", amount=D("-30.00")),
        ),
        "debt-recovered": Case(
            routes.DEBT_RECOVERED,
            "23b",
            "70.00 that was written off will be paid after all; its payment follows.",
            movements.debt_recovered(**USD, amount=D("70.00")),
        ),
        "debt-recovered-with-tax-and-allowance": Case(
            routes.DEBT_RECOVERED,
            "23b",
            "The same of a debt with tax relief and an allowance: both stand again.",
            movements.debt_recovered(**USD, amount=D("90.00"), tax={"DE": D("15.00")}, to_allowance=D("50.00")),
        ),
        "tax-remitted": Case(
            routes.TAX_REMITTED,
            "28",
            "The quarter's tax is paid to two authorities.",
            movements.tax_remitted(currency="USD", tax={"DE": D("22.27"), "US-CA": D("10.00")}),
        ),
    }
