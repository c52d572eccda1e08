"""Usage and fees."""

from ledger.rules import movements, routes
from tests.ledger.journals.case import C, Case, D


def usage() -> dict[str, Case]:
    return {
        "usage-accrued": Case(
            routes.USAGE_ACCRUED,
            "1",
            "The day's usage is rated at 12.341273 and not invoiced yet.",
            movements.usage_accrued(customer_key=C, unit="USD", amount=D("12.341273")),
        ),
        "usage-taken-back": Case(
            routes.USAGE_ACCRUED,
            "1",
            "A late unit crosses a volume tier: the period costs 70.00 less than was accrued.",
            movements.usage_accrued(customer_key=C, unit="USD", amount=D("-70")),
        ),
        "usage-overage": Case(
            routes.USAGE_OVERAGE,
            "2",
            "The allowance is used up; 3.20 more was used and will be invoiced.",
            movements.usage_overage(customer_key=C, unit="USD", amount=D("3.20")),
        ),
        "usage-overage-taken-back": Case(
            routes.USAGE_OVERAGE,
            "2",
            "1.20 of the overage was counted twice.",
            movements.usage_overage(customer_key=C, unit="USD", amount=D("-1.20")),
        ),
        "fee-recognised": Case(
            routes.FEE_RECOGNISED,
            "24",
            "One more day of a fee of 100.00 in advance is earned.",
            movements.fee_recognised(customer_key=C, unit="USD", amount=D("3.225806451613")),
        ),
    }
