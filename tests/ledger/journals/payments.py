"""Money that moves."""

from typing import Any

from ledger.rules import movements, routes
from tests.ledger.journals.case import PAID_UNITS, USD, Case, D


def payments() -> dict[str, Case]:
    refund: dict[str, Any] = {"earned": D("30.00"), "unearned": D("12.00"), "tax": {"DE": D("8.00")}}
    return {
        "payment-succeeded": Case(
            routes.PAYMENT_SUCCEEDED,
            "14",
            "An invoice of 133.61 is paid.",
            movements.payment_succeeded(**USD, amount=D("133.61")),
        ),
        "payment-of-a-top-up": Case(
            routes.PAYMENT_SUCCEEDED,
            "4",
            "A top-up of 100.00 and its tax are paid; the credit follows as “Credit bought”.",
            movements.payment_succeeded(**USD, amount=D("120.00")),
        ),
        "payment-above-what-was-owed": Case(
            routes.PAYMENT_SUCCEEDED,
            "14b",
            "150.00 arrive for an invoice of 133.61: the rest is the customer's balance.",
            movements.payment_succeeded(**USD, amount=D("150.00"), applied=D("133.61")),
        ),
        "customer-balance-applied": Case(
            routes.BALANCE_APPLIED,
            "14c",
            "The customer's balance pays a part of an invoice.",
            movements.balance_applied(**USD, amount=D("16.39")),
        ),
        "payment-fee": Case(
            routes.PAYMENT_FEE,
            "15",
            "The processor keeps its fee.",
            movements.payment_fee(currency="USD", amount=D("4.17")),
        ),
        "payment-fee-given-back": Case(
            routes.PAYMENT_FEE,
            "15",
            "The processor gives a fee back.",
            movements.payment_fee(currency="USD", amount=D("-4.17")),
        ),
        "payment-returned": Case(
            routes.PAYMENT_RETURNED,
            "27",
            "A direct debit comes back after it had succeeded, and the bank charges 4.00.",
            movements.payment_returned(**USD, amount=D("133.61"), fee=D("4.00")),
        ),
        "payment-returned-with-balance": Case(
            routes.PAYMENT_RETURNED,
            "27",
            "A payment of 150.00 comes back; 16.39 of it had become balance and paid nothing.",
            movements.payment_returned(**USD, amount=D("150.00"), from_balance=D("16.39")),
        ),
        "payout-created": Case(
            routes.PAYOUT_CREATED,
            "16",
            "The processor sends 900.00 to the bank.",
            movements.payout_created(currency="USD", amount=D("900.00")),
        ),
        "payout-paid": Case(
            routes.PAYOUT_PAID,
            "16",
            "They arrive.",
            movements.payout_paid(currency="USD", amount=D("900.00")),
        ),
        "payout-failed": Case(
            routes.PAYOUT_FAILED,
            "16",
            "Or the bank refuses them.",
            movements.payout_failed(currency="USD", amount=D("900.00")),
        ),
        "refund-requested": Case(
            routes.REFUND_REQUESTED,
            "17",
            "The customer asks for 50.00 of the balance.",
            movements.refund_requested(**USD, from_balance=D("50.00")),
        ),
        "refund-made-at-the-processor": Case(
            routes.REFUND_REQUESTED,
            "17",
            "Refunded at the processor, without a credit note: of 50.00, 30.00 was earned, 12.00 not, 8.00 is tax.",
            movements.refund_requested(**USD, **refund),
        ),
        "refund-succeeded": Case(
            routes.REFUND_SUCCEEDED,
            "17",
            "The promised 50.00 leave.",
            movements.refund_succeeded(currency="USD", amount=D("50.00")),
        ),
        "refund-failed": Case(
            routes.REFUND_FAILED,
            "17",
            "A refund made at the processor did not go out: all stands as before.",
            movements.refund_failed(**USD, **refund),
        ),
        "refund-failed-to-balance": Case(
            routes.REFUND_FAILED,
            "17",
            "A refund out of a credit note did not go out: it is the customer's balance.",
            movements.refund_failed(**USD, from_balance=D("50.00")),
        ),
        "refund-returned": Case(
            routes.REFUND_RETURNED,
            "17",
            "A refund that had left comes back from the bank: it is promised again.",
            movements.refund_returned(currency="USD", amount=D("50.00")),
        ),
        "dispute-opened": Case(
            routes.DISPUTE_OPENED,
            "20",
            "A payment of 133.61 is disputed; the processor takes it, and a fee of 15.00.",
            movements.dispute_opened(dispute="dp-1", currency="USD", amount=D("133.61"), fee=D("15.00")),
        ),
        "dispute-won": Case(
            routes.DISPUTE_WON,
            "21",
            "The dispute is won, the fee stays with the processor.",
            movements.dispute_won(dispute="dp-1", currency="USD", amount=D("133.61")),
        ),
        "dispute-won-with-its-fee": Case(
            routes.DISPUTE_WON,
            "21",
            "The dispute is won, and the fee comes back.",
            movements.dispute_won(dispute="dp-1", currency="USD", amount=D("133.61"), fee_returned=D("15.00")),
        ),
        "dispute-lost": Case(
            routes.DISPUTE_LOST,
            "22",
            "The dispute is lost: 12.34 was earned, 99.00 is for time that had not come, 22.27 of tax is reclaimed.",
            movements.dispute_lost(
                dispute="dp-1", **USD, earned=D("12.34"), unearned=D("99.00"), tax={"US-CA": D("22.27")}
            ),
        ),
        "dispute-lost-of-a-top-up": Case(
            routes.DISPUTE_LOST,
            "22",
            "Credit bought with the disputed money: 70.00 is unused and goes, 30.00 was used, the tax is reclaimed.",
            movements.dispute_lost(
                dispute="dp-1",
                **USD,
                earned=D("30.00"),
                unused_credit={"grant-g": D("70.00")},
                tax={"DE": D("20.00")},
            ),
        ),
        "dispute-lost-of-units": Case(
            routes.DISPUTE_LOST,
            "22",
            "The same of credit units: 250 are unused, which were 5.00.",
            movements.dispute_lost(dispute="dp-1", **USD, earned=D("3.00"), unit="credits", unused_units=[PAID_UNITS]),
            fx_rate=D("0.02"),
        ),
        "paid-in-another-currency": Case(
            routes.FX_SETTLED,
            "29",
            "An invoice of 100.00 USD is paid with 92.00 EUR.",
            movements.fx_settled(**USD, applied=D("100.00"), paid_currency="EUR", paid=D("92.00")),
            fx_rate=D("1.086956521739"),
        ),
        "paid-in-another-currency-with-excess": Case(
            routes.FX_SETTLED,
            "29, 14b",
            "The euros are worth 101.50 USD: the rest is the customer's balance.",
            movements.fx_settled(**USD, applied=D("100.00"), excess=D("1.50"), paid_currency="EUR", paid=D("92.00")),
            fx_rate=D("1.103260869565"),
        ),
        "position-lost": Case(
            routes.FX_REVALUED,
            "29b",
            "At the month's end 92.00 EUR are worth 98.00 USD; they had come for 100.00.",
            movements.fx_revalued(currency="USD", gain=D("-2.00")),
        ),
        "position-gained": Case(
            routes.FX_REVALUED,
            "29b",
            "A month later they are worth 101.00.",
            movements.fx_revalued(currency="USD", gain=D("3.00")),
        ),
    }
