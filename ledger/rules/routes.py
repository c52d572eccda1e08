"""Every kind of entry and the accounts it may debit and credit. The database enforces this table."""

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Route:
    """A kind of entry: its code, what a person calls it, and where its debits and credits may go.

    ``draws_credit``: what it takes from a grant's account must be accounted for by draws.
    """

    code: str
    label: str
    debits: tuple[str, ...]
    credits: tuple[str, ...]
    draws_credit: bool = False
    template_version: int = 1
    needs_approval_over: Decimal | None = None


USAGE_ACCRUED = "usage.accrued"
FEE_RECOGNISED = "fee.recognised"
INVOICE_FINALIZED = "invoice.finalized"
PAYMENT_SUCCEEDED = "payment.succeeded"
PAYMENT_FEE = "payment.fee"
PAYMENT_RETURNED = "payment.returned"
BALANCE_APPLIED = "balance.applied"
CREDIT_GRANTED = "credit.granted"
CREDIT_VOIDED = "credit.voided"
CREDIT_EXPIRED = "credit.expired"
OPENING_BALANCE = "opening.balance"
ENTRY_REVERSED = "entry.reversed"

_OPENING_ASSETS = ("1000", "1010", "1100", "1110")
_OPENING_LIABILITIES = ("2000", "2010", "2100", "2110")

ROUTES: tuple[Route, ...] = (
    # Both sides: a late unit that crosses a volume tier can take accrued usage back.
    Route(USAGE_ACCRUED, "Usage accrued", ("1110", "4000"), ("4000", "1110")),
    Route(FEE_RECOGNISED, "Prepaid fee recognised", ("2100",), ("4010",)),
    # 1110, 2100 and 2200 on the debit side: an invoice whose corrections outweigh its charges.
    Route(
        INVOICE_FINALIZED,
        "Invoice finalised",
        ("1100", "1110", "2000", "2010", "2100", "2110", "2200", "4900", "6310", "9010"),
        ("1110", "2100", "2110", "2200", "6310", "9000"),
        draws_credit=True,
    ),
    Route(PAYMENT_SUCCEEDED, "Payment succeeded", ("1010",), ("1100", "2110")),
    Route(PAYMENT_FEE, "Processing fee", ("6000",), ("1010",)),
    Route(PAYMENT_RETURNED, "Payment returned", ("1100", "6000"), ("1010",)),
    Route(BALANCE_APPLIED, "Customer balance applied", ("2110",), ("1100",)),
    Route(CREDIT_GRANTED, "Credit granted", ("4910", "9000"), ("2010", "9010")),
    Route(CREDIT_VOIDED, "Credit voided", ("2010", "9010"), ("4910", "9000")),
    Route(CREDIT_EXPIRED, "Credit expired", ("2000", "2010", "9010"), ("4030", "4910", "9000")),
    Route(
        OPENING_BALANCE,
        "Opening balance",
        ("3000", "9000", *_OPENING_ASSETS),
        ("3000", "9010", *_OPENING_LIABILITIES),
    ),
    # What a reversal may touch is what it reverses: the database compares the two line by line.
    Route(ENTRY_REVERSED, "Entry reversed", (), ()),
)

BY_TYPE: dict[str, Route] = {route.code: route for route in ROUTES}
