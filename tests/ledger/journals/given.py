"""Credit as it is given, expires and is voided."""

from typing import Any

from ledger.rules import movements, routes
from tests.ledger.journals.case import C, Case, D


def given() -> dict[str, Case]:
    """Credit as it comes, expires and is voided: each kind, in a currency and in the company's own unit."""
    usd = {"unit": "USD", "amount": D("50.00")}
    money = {"money": D("1.00"), "currency": "USD"}
    units = {"unit": "credits", "amount": D("50"), "code": "9110"}
    kinds: dict[str, tuple[str, str, dict[str, Any]]] = {
        "promotional": ("promotional", "promotional credit", usd),
        "goodwill": ("goodwill", "goodwill credit", usd),
        "included": ("included", "credit included in a plan", usd),
        "promotional-expensed": ("promotional", "promotional credit, an expense by policy", {**usd, "code": "2020"}),
        "promotional-units": ("promotional", "promotional credit units", units),
        "goodwill-units": (
            "goodwill",
            "goodwill credit units, worth 1.00",
            {**units, **money, "money_code": "2015"},
        ),
        "included-units": ("included", "credit units included in a plan", units),
        "promotional-units-expensed": (
            "promotional",
            "promotional credit units, worth 1.00, an expense by policy",
            {**units, **money, "money_code": "2025"},
        ),
    }
    found = {}
    for name, (kind, words, terms) in kinds.items():
        row = "6" if kind == "goodwill" else "5"
        rate = D("0.02") if "money_code" in terms else None
        size = "50" if "units" in name else "50.00"
        common: dict[str, Any] = {"kind": kind, "customer_key": C, "grant": f"grant-{name}", **terms}
        found[f"credit-granted-{name}"] = Case(
            routes.CREDIT_GRANTED,
            row,
            f"{size} of {words}.",
            movements.credit_granted(**common),
            rate,
        )
        found[f"credit-voided-{name}"] = Case(
            routes.CREDIT_VOIDED,
            "10",
            f"The {size} that remain of {words} are taken back.",
            movements.credit_voided(**common),
            rate,
        )
        found[f"credit-expired-{name}"] = Case(
            routes.CREDIT_EXPIRED,
            "9",
            f"The {size} that remain of {words} expire.",
            movements.credit_expired(**common),
            rate,
        )
    paid: dict[str, Any] = {"kind": "paid", "customer_key": C, "grant": "grant-g", **usd}
    paid_units: dict[str, Any] = {
        "kind": "paid",
        "customer_key": C,
        "grant": "grant-gu",
        **units,
        **money,
        "money_code": "2005",
    }
    return found | {
        "credit-expired-paid": Case(
            routes.CREDIT_EXPIRED,
            "9",
            "50.00 of paid credit expire: breakage.",
            movements.credit_expired(**paid),
        ),
        "credit-expired-paid-unclaimed": Case(
            routes.CREDIT_EXPIRED,
            "9",
            "50.00 of paid credit expire where the law keeps them the customer's.",
            movements.credit_expired(**paid, breakage="2500"),
        ),
        "credit-expired-paid-units": Case(
            routes.CREDIT_EXPIRED,
            "9",
            "50 paid credit units expire, for which 1.00 stood: breakage.",
            movements.credit_expired(**paid_units),
            D("0.02"),
        ),
        "credit-expired-paid-units-unclaimed": Case(
            routes.CREDIT_EXPIRED,
            "9",
            "50 paid credit units expire where the law keeps their money the customer's.",
            movements.credit_expired(**paid_units, breakage="2500"),
            D("0.02"),
        ),
    }
