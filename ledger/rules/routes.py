"""Every kind of entry and the accounts it may debit and credit. The database enforces this table.

A route is as narrow as its movements: an account stands on a side only if some movement puts it there.
"""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Route:
    """A kind of entry: its code, what a person calls it, and where its debits and credits may go.

    ``row``: its rows in the journal table (``JOURNAL.md``), by which finance knows it.
    ``draws_credit``: what it takes from a grant's account must be accounted for by draws. ``returns_credit``: what it
    puts back there must be accounted for by returns. ``adjusts``: a person with a reason may post it into a soft-closed
    period. ``needs_approval``: its entry carries an approval that another person gave.
    """

    code: str
    label: str
    debits: tuple[str, ...]
    credits: tuple[str, ...]
    row: str
    draws_credit: bool = False
    returns_credit: bool = False
    adjusts: bool = False
    needs_approval: bool = False
    template_version: int = 1
    needs_approval_over: Decimal | None = None


USAGE_ACCRUED = "usage.accrued"
USAGE_OVERAGE = "usage.overage"
FEE_RECOGNISED = "fee.recognised"
INVOICE_FINALIZED = "invoice.finalized"
TOPUP_INVOICED = "topup.invoiced"
TOPUP_VOIDED = "topup.voided"
CREDIT_NOTE_ISSUED = "credit_note.issued"
PLAN_PRORATED = "plan.prorated"
PAYMENT_SUCCEEDED = "payment.succeeded"
PAYMENT_FEE = "payment.fee"
PAYMENT_RETURNED = "payment.returned"
BALANCE_APPLIED = "balance.applied"
FX_SETTLED = "fx.settled"
FX_REVALUED = "fx.revalued"
PAYOUT_CREATED = "payout.created"
PAYOUT_PAID = "payout.paid"
PAYOUT_FAILED = "payout.failed"
REFUND_REQUESTED = "refund.requested"
REFUND_SUCCEEDED = "refund.succeeded"
REFUND_FAILED = "refund.failed"
REFUND_RETURNED = "refund.returned"
DISPUTE_OPENED = "dispute.opened"
DISPUTE_WON = "dispute.won"
DISPUTE_LOST = "dispute.lost"
DEBT_WRITTEN_OFF = "debt.written_off"
ALLOWANCE_BOOKED = "allowance.booked"
DEBT_RECOVERED = "debt.recovered"
TAX_REMITTED = "tax.remitted"
CREDIT_GRANTED = "credit.granted"
CREDIT_BOUGHT = "credit.bought"
CREDIT_DRAWN = "credit.drawn"
CREDIT_COVERED = "credit.covered"
CREDIT_RETURNED = "credit.returned"
CREDIT_EXPIRED = "credit.expired"
CREDIT_VOIDED = "credit.voided"
CREDIT_REFUNDED = "credit.refunded"
CREDIT_TRANSFERRED = "credit.transferred"
CREDIT_ROLLED_OVER = "credit.rolled_over"
OPENING_BALANCE = "opening.balance"
ENTRY_REVERSED = "entry.reversed"

_OPENING_ASSETS = ("1000", "1010", "1020", "1100", "1110", "1120")
_OPENING_LIABILITIES = (
    "1190",
    "2000",
    "2005",
    "2010",
    "2015",
    "2020",
    "2025",
    "2050",
    "2100",
    "2110",
    "2200",
    "2300",
    "2500",
)
_GRANTS = ("2000", "2010", "2020", "9010", "9110")
"""Where grants stand."""
_MONEY_OF_UNITS = ("2005", "2015", "2025")
"""Where the money of grants in a company's own unit stands."""
_GIVEN_GRANTS = ("2010", "2015", "2020", "2025", "9010", "9110")
_GIVEN_FROM = ("4910", "6100", "9000", "9100")

ROUTES: tuple[Route, ...] = (
    # Both sides: a late unit that crosses a volume tier can take accrued usage back.
    Route(USAGE_ACCRUED, "Usage accrued", ("1110", "4000"), ("4000", "1110"), "1", adjusts=True),
    Route(USAGE_OVERAGE, "Overage accrued", ("1110", "4020"), ("4020", "1110"), "2", adjusts=True),
    Route(FEE_RECOGNISED, "Prepaid fee recognised", ("2100",), ("4010",), "24", adjusts=True),
    # 1110, 2100 and 2200 on the debit side: an invoice whose corrections outweigh its charges.
    Route(
        INVOICE_FINALIZED,
        "Invoice finalised",
        ("1100", "1110", "2000", "2010", "2020", "2100", "2110", "2200", "4900", "6310", "9010"),
        ("1110", "2100", "2110", "2200", "6310", "9000"),
        "12, 13, 14c, 24, 25b",
        draws_credit=True,
    ),
    Route(TOPUP_INVOICED, "Top-up invoiced", ("1100",), ("2050", "2200"), "3"),
    Route(TOPUP_VOIDED, "Unpaid top-up given up", ("2050", "2200"), ("1100",), "3"),
    # 6310 on both sides: what was deferred is exact, what a document credits is whole.
    Route(
        CREDIT_NOTE_ISSUED,
        "Credit note issued",
        ("4910", "2100", "2200", "6310"),
        ("1100", "2110", "2300", "6310"),
        "19, 19b",
        adjusts=True,
    ),
    Route(PLAN_PRORATED, "Unused time credited", ("2100", "2200", "6310"), ("1100", "2110", "6310"), "25"),
    Route(PAYMENT_SUCCEEDED, "Payment succeeded", ("1010",), ("1100", "2110"), "14, 14b, 4"),
    # Both sides: a processor may give a fee back.
    Route(PAYMENT_FEE, "Processing fee", ("6000", "1010"), ("1010", "6000"), "15"),
    Route(PAYMENT_RETURNED, "Payment returned", ("1100", "2110", "6000"), ("1010",), "27"),
    Route(BALANCE_APPLIED, "Customer balance applied", ("2110",), ("1100",), "14c"),
    Route(FX_SETTLED, "Paid in another currency", ("1010", "3900"), ("3900", "1100", "2110"), "29"),
    # Both sides: a position gains or loses.
    Route(FX_REVALUED, "Currency position revalued", ("3900", "6300"), ("3900", "6300"), "29b", adjusts=True),
    Route(PAYOUT_CREATED, "Payout created", ("1020",), ("1010",), "16"),
    Route(PAYOUT_PAID, "Payout paid", ("1000",), ("1020",), "16"),
    Route(PAYOUT_FAILED, "Payout failed", ("1010",), ("1020",), "16"),
    Route(REFUND_REQUESTED, "Refund requested", ("4920", "2100", "2200", "2110"), ("2300",), "17"),
    Route(REFUND_SUCCEEDED, "Refund succeeded", ("2300",), ("1010",), "17"),
    Route(REFUND_FAILED, "Refund failed", ("2300",), ("4920", "2100", "2200", "2110"), "17"),
    Route(REFUND_RETURNED, "Refund returned", ("1010",), ("2300",), "17"),
    Route(DISPUTE_OPENED, "Dispute opened", ("1120", "6010"), ("1010",), "20"),
    Route(DISPUTE_WON, "Dispute won", ("1010",), ("1120", "6010"), "21"),
    Route(DISPUTE_LOST, "Dispute lost", ("4930", "2100", "2000", "2005", "9110", "2200"), ("1120", "9100"), "22"),
    Route(DEBT_WRITTEN_OFF, "Debt written off", ("6200", "1190", "2100", "2200"), ("1100",), "23", adjusts=True),
    # Both sides: what is not needed is released.
    Route(ALLOWANCE_BOOKED, "Allowance booked", ("6200", "1190"), ("1190", "6200"), "23b", adjusts=True),
    Route(DEBT_RECOVERED, "Written-off debt recovered", ("1100",), ("6200", "1190", "2200"), "23b", adjusts=True),
    Route(TAX_REMITTED, "Tax remitted", ("2200",), ("1000",), "28", adjusts=True),
    Route(CREDIT_GRANTED, "Credit granted", _GIVEN_FROM, _GIVEN_GRANTS, "5, 6"),
    Route(CREDIT_BOUGHT, "Credit bought", ("2050", "9100"), ("2000", "2005", "9110"), "4"),
    Route(
        CREDIT_DRAWN,
        "Credit drawn",
        (*_GRANTS, *_MONEY_OF_UNITS, "4900", "1110"),
        ("4000", "4020", "9000", "9100"),
        "7, 7b, 8, 2",
        draws_credit=True,
    ),
    # 4020 on both sides: units are worth what they were sold for, the overage that they cover its own price.
    Route(
        CREDIT_COVERED,
        "Credit covers accrued usage",
        (*_GRANTS, *_MONEY_OF_UNITS, "4900", "4020"),
        ("1110", "4020", "9000", "9100"),
        "13, 26",
        draws_credit=True,
    ),
    Route(
        CREDIT_RETURNED,
        "Credit given back",
        ("4000", "4020", "4910", "2100", "9000", "9100"),
        (*_GRANTS, *_MONEY_OF_UNITS, "4900", "1110"),
        "11",
        returns_credit=True,
    ),
    Route(CREDIT_EXPIRED, "Credit expired", (*_GRANTS, *_MONEY_OF_UNITS), ("4030", "2500", *_GIVEN_FROM), "9"),
    Route(CREDIT_VOIDED, "Credit voided", _GIVEN_GRANTS, _GIVEN_FROM, "10"),
    Route(
        CREDIT_REFUNDED,
        "Unused credit refunded",
        ("2000", "2005", "9110", "2200", "6310"),
        ("2300", "6310", "9100"),
        "10b, 18",
    ),
    Route(
        CREDIT_TRANSFERRED,
        "Credit transferred",
        (*_GRANTS, *_MONEY_OF_UNITS),
        (*_GRANTS, *_MONEY_OF_UNITS),
        "31",
        needs_approval=True,
    ),
    # Only given credit comes again every period and is carried into the next.
    Route(CREDIT_ROLLED_OVER, "Credit rolled over", _GIVEN_GRANTS, _GIVEN_GRANTS, "32"),
    Route(
        OPENING_BALANCE,
        "Opening balance",
        ("3000", "9000", "9100", *_OPENING_ASSETS),
        ("3000", "9010", "9110", *_OPENING_LIABILITIES),
        "30",
        adjusts=True,
    ),
    # What a reversal may touch is what it reverses: the database compares the two line by line.
    Route(ENTRY_REVERSED, "Entry reversed", (), (), "10b, 12, any", adjusts=True),
)

BY_TYPE: dict[str, Route] = {route.code: route for route in ROUTES}
