"""The states of an invoice and of a payment attempt, and which changes are allowed.

The database holds the same tables (trigger ``invoice_frozen``, ``payment_attempt_answered``); a test compares them.
"""

from collections.abc import Mapping

INVOICE: Mapping[str, frozenset[str]] = {
    "draft": frozenset({"open"}),
    "open": frozenset({"paid", "void", "uncollectible"}),
    "uncollectible": frozenset({"paid", "void"}),
    "paid": frozenset({"open"}),  # a payment that is returned (ACH) opens the invoice again
    "void": frozenset(),
}

ATTEMPT: Mapping[str, frozenset[str]] = {
    "pending": frozenset({"succeeded", "failed"}),
    "failed": frozenset(),  # an answer: Stripe's later money is a payment, and the next try another attempt
    "succeeded": frozenset(),
}


def allowed(table: Mapping[str, frozenset[str]], before: str, after: str) -> bool:
    """Whether that change of status is in the table."""
    return after in table.get(before, frozenset())
