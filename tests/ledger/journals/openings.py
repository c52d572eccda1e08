"""Balances brought over."""

from ledger.rules import movements, routes
from tests.ledger.journals.case import C, Case, D


def openings() -> dict[str, Case]:
    wanted: dict[str, tuple[str, str, str, dict[str, str]]] = {
        "bank": ("1000", "The bank account", "USD", {}),
        "clearing": ("1010", "The processor's balance", "USD", {}),
        "payouts-in-transit": ("1020", "A payout on its way", "USD", {}),
        "receivable": ("1100", "What a customer owes", "USD", {"customer_key": C}),
        "unbilled-usage": ("1110", "Usage that is not invoiced", "USD", {"customer_key": C}),
        "disputed-funds": ("1120", "A dispute that is open", "USD", {"dimension": "dp-1"}),
        "allowance": ("1190", "The allowance for doubtful accounts", "USD", {}),
        "customer-balance": ("2110", "A customer's balance", "USD", {"customer_key": C}),
        "deferred-revenue": ("2100", "A fee in advance", "USD", {"customer_key": C}),
        "tax-payable": ("2200", "Tax that is not remitted", "USD", {"dimension": "DE"}),
        "paid-credit": ("2000", "Paid credit", "USD", {"customer_key": C, "dimension": "grant-g"}),
        "goodwill-credit": ("2010", "Goodwill credit", "USD", {"customer_key": C, "dimension": "grant-s"}),
        "expensed-credit": (
            "2020",
            "Promotional credit that was an expense",
            "USD",
            {"customer_key": C, "dimension": "grant-e"},
        ),
        "unpaid-top-up": ("2050", "A top-up that is not paid", "USD", {"customer_key": C}),
        "refunds-payable": ("2300", "Refunds on their way", "USD", {}),
        "unclaimed-property": ("2500", "Expired credit that is still the customers'", "USD", {}),
        "promotional-credit": ("9010", "Promotional credit", "USD", {"customer_key": C, "dimension": "grant-p"}),
    }
    found = {}
    for name, (code, words, unit, whose) in wanted.items():
        found[f"opening-{name}"] = Case(
            routes.OPENING_BALANCE,
            "30",
            f"{words}, brought over from another system: 80.00.",
            movements.opening_balance(code=code, unit=unit, amount=D("80.00"), **whose),
        )
    for kind, money_code in (("paid", "2005"), ("goodwill", "2015"), ("expensed", "2025")):
        whose = {"customer_key": C, "dimension": f"grant-{kind}"}
        found[f"opening-{kind}-units"] = Case(
            routes.OPENING_BALANCE,
            "30",
            f"4,000 {kind} credit units, brought over with the 80.00 that stand for them.",
            movements.opening_balance(code=money_code, unit="USD", amount=D("80.00"), **whose)
            + movements.opening_balance(code="9110", unit="credits", amount=D("4000"), **whose),
            D("0.02"),
        )
    return found
