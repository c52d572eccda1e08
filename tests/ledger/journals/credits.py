"""Credit as it is bought, drawn, given back, refunded and moved."""

from typing import Any

from ledger.rules import movements, routes
from ledger.rules.movements import CreditUse
from tests.ledger.journals.case import (
    EXPENSED,
    EXPENSED_UNITS,
    GOODWILL,
    GOODWILL_UNITS,
    INCLUDED_UNITS,
    PAID,
    PAID_UNITS,
    PROMO,
    PROMO_UNITS,
    USD,
    C,
    Case,
    D,
)


def credits_() -> dict[str, Case]:
    units: dict[str, Any] = {"customer_key": C, "unit": "credits"}
    usd: dict[str, Any] = {"customer_key": C, "unit": "USD"}
    return {
        "credit-bought": Case(
            routes.CREDIT_BOUGHT,
            "4",
            "A paid top-up becomes credit.",
            movements.credit_bought(**USD, price=D("100.00"), grant="grant-g"),
        ),
        "credit-bought-units": Case(
            routes.CREDIT_BOUGHT,
            "4",
            "A paid top-up becomes 5,000 credit units.",
            movements.credit_bought(**USD, price=D("100.00"), grant="grant-gu", unit="credits", amount=D("5000")),
            D("0.02"),
        ),
        "credit-drawn": Case(
            routes.CREDIT_DRAWN,
            "7",
            "Usage of 30.00 is paid by 20.00 of promotional and 10.00 of paid credit.",
            movements.credit_drawn(**usd, uses=[PROMO, PAID]),
        ),
        "credit-drawn-goodwill": Case(
            routes.CREDIT_DRAWN,
            "7b",
            "Usage of 3.00 is paid by goodwill credit.",
            movements.credit_drawn(**usd, uses=[GOODWILL]),
        ),
        "credit-drawn-expensed": Case(
            routes.CREDIT_DRAWN,
            "7",
            "Usage of 4.00 is paid by promotional credit that was an expense when it was given.",
            movements.credit_drawn(**usd, uses=[EXPENSED]),
        ),
        "credit-drawn-with-overage": Case(
            routes.CREDIT_DRAWN,
            "7, 2",
            "Usage of 13.20: 10.00 is paid by paid credit, 3.20 will be invoiced.",
            movements.credit_drawn(**usd, uses=[PAID], overage=D("3.20")),
        ),
        "hold-settled": Case(
            routes.CREDIT_DRAWN,
            "8",
            "5.00 were held when a request began, without a journal; it took 3.20. The other 1.80 are free again.",
            movements.credit_drawn(**usd, uses=[CreditUse("paid", "grant-g", D("3.20"))]),
        ),
        "credit-drawn-units": Case(
            routes.CREDIT_DRAWN,
            "7, 7b",
            "Units of every kind pay for usage; each releases the money that stands beside it.",
            movements.credit_drawn(
                **units, uses=[PROMO_UNITS, EXPENSED_UNITS, GOODWILL_UNITS, INCLUDED_UNITS, PAID_UNITS]
            ),
            D("0.02"),
        ),
        "credit-drawn-units-included": Case(
            routes.CREDIT_DRAWN,
            "7",
            "Units included in a plan pay for usage: no revenue, the plan's fee is.",
            movements.credit_drawn(**units, uses=[INCLUDED_UNITS]),
        ),
        "credit-drawn-units-with-overage": Case(
            routes.CREDIT_DRAWN,
            "7, 2",
            "250 paid units and 0.40 of overage.",
            movements.credit_drawn(**units, uses=[PAID_UNITS], overage=D("0.40"), currency="USD"),
            D("0.02"),
        ),
        "credit-covers-overage": Case(
            routes.CREDIT_COVERED,
            "26",
            "Credit of every kind that came late covers 37.00 of earlier overage.",
            movements.credit_covered(**usd, uses=[PROMO, EXPENSED, GOODWILL, PAID]),
        ),
        "credit-covers-overage-units": Case(
            routes.CREDIT_COVERED,
            "26",
            "250 units that were bought for 5.00 cover overage of 6.25: it was 1.25 less of revenue.",
            movements.credit_covered(**units, uses=[PAID_UNITS], accrued=D("6.25"), currency="USD"),
            D("0.02"),
        ),
        "credit-covers-overage-given-units": Case(
            routes.CREDIT_COVERED,
            "26",
            "125 units that were worth 2.50 cover overage of 2.00: it was 0.50 more of revenue.",
            movements.credit_covered(**units, uses=[EXPENSED_UNITS, GOODWILL_UNITS], accrued=D("2.00"), currency="USD"),
            D("0.02"),
        ),
        "credit-covers-overage-included-units": Case(
            routes.CREDIT_COVERED,
            "26",
            "500 units of the plan cover overage of 12.50: it was none.",
            movements.credit_covered(**units, uses=[INCLUDED_UNITS], accrued=D("12.50"), currency="USD"),
            D("0.025"),
        ),
        "credit-given-back": Case(
            routes.CREDIT_RETURNED,
            "11",
            "34.00 of usage had been counted wrongly: the credit goes back, last drawn first.",
            movements.credit_returned(**usd, uses=[PAID, EXPENSED, PROMO]),
        ),
        "credit-given-back-with-overage": Case(
            routes.CREDIT_RETURNED,
            "11",
            "13.20 of usage had been counted wrongly, of which 3.20 was still to be invoiced.",
            movements.credit_returned(**usd, uses=[PAID], overage=D("3.20")),
        ),
        "credit-given-back-as-concession": Case(
            routes.CREDIT_RETURNED,
            "11",
            "3.00 of an issued invoice that credit had paid is credited: the credit goes back.",
            movements.credit_returned(**usd, uses=[GOODWILL], against="4910"),
        ),
        "credit-given-back-of-a-fee": Case(
            routes.CREDIT_RETURNED,
            "11, 25",
            "Unused time of a fee in advance that credit had paid: the credit goes back.",
            movements.credit_returned(**usd, uses=[PROMO, PAID], against="2100"),
        ),
        "credit-given-back-units": Case(
            routes.CREDIT_RETURNED,
            "11",
            "Units of every kind had been drawn wrongly.",
            movements.credit_returned(**units, uses=[PAID_UNITS, GOODWILL_UNITS, EXPENSED_UNITS, PROMO_UNITS]),
            D("0.02"),
        ),
        "credit-refunded": Case(
            routes.CREDIT_REFUNDED,
            "18",
            "70.00 of paid credit is unused and refunded, with the 14.00 of tax that was paid on it.",
            movements.credit_refunded(
                **usd, amount=D("70.00"), grant="grant-g", refund=D("84.00"), tax={"DE": D("14.00")}
            ),
        ),
        "credit-voided-with-refund": Case(
            routes.CREDIT_REFUNDED,
            "10b",
            "A paid grant is voided: 9.994 remain, 9.99 are refunded.",
            movements.credit_refunded(
                **usd, amount=D("9.994"), grant="grant-g", refund=D("9.99"), rounding=D("-0.004")
            ),
        ),
        "credit-refunded-rounded-up": Case(
            routes.CREDIT_REFUNDED,
            "18",
            "9.996 remain, 10.00 are refunded.",
            movements.credit_refunded(
                **usd, amount=D("9.996"), grant="grant-g", refund=D("10.00"), rounding=D("0.004")
            ),
        ),
        "credit-refunded-units": Case(
            routes.CREDIT_REFUNDED,
            "18",
            "3,500 units are refunded for what they were bought for.",
            movements.credit_refunded(
                **units, amount=D("3500"), grant="grant-gu", currency="USD", money=D("70.00"), refund=D("70.00")
            ),
            D("0.02"),
        ),
        **_moved(),
    }


def _moved() -> dict[str, Case]:
    """Credit of every kind that moves: to another customer, or into the next period."""
    accounts: dict[str, tuple[str, str]] = {
        "paid": ("2000", ""),
        "goodwill": ("2010", ""),
        "promotional-expensed": ("2020", ""),
        "promotional": ("9010", ""),
        "paid-units": ("9110", "2005"),
        "goodwill-units": ("9110", "2015"),
        "promotional-units-expensed": ("9110", "2025"),
        "included-units": ("9110", ""),
    }
    found = {}
    for name, (code, money_code) in accounts.items():
        units = code == "9110"
        amount, unit = (D("3500"), "credits") if units else (D("70.00"), "USD")
        what = f"{amount} {unit} of {name.split('-')[0]} credit"
        common: dict[str, Any] = {"unit": unit, "amount": amount, "code": code, "from_customer": C}
        common |= {"from_grant": "grant-old", "to_grant": "grant-new"}
        if money_code:
            common |= {"money": D("70.00"), "currency": "USD", "money_code": money_code}
            what += ", and the 70.00 that stand for it,"
        rate = D("0.02") if money_code else None
        found[f"credit-transferred-{name}"] = Case(
            routes.CREDIT_TRANSFERRED,
            "31",
            f"{what} moves to another customer, by approval.",
            movements.credit_moved(**common, to_customer="cus-2"),
            rate,
        )
        if not name.startswith("paid"):
            found[f"credit-rolled-over-{name}"] = Case(
                routes.CREDIT_ROLLED_OVER,
                "32",
                f"{what} is kept for the next period.",
                movements.credit_moved(**common, to_customer=C),
                rate,
            )
    return found
