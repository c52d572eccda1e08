"""The states of a subscription and which changes are allowed.

The database holds the same table (constraint ``subscription_due_iff_active``, trigger ``subscription_guard``); a test
compares them.
"""

from collections.abc import Mapping

SUBSCRIPTION: Mapping[str, frozenset[str]] = {
    "active": frozenset({"ended"}),
    "ended": frozenset(),
}


def allowed(before: str, after: str) -> bool:
    """Whether a subscription may go from one state to the other."""
    return after in SUBSCRIPTION.get(before, frozenset())
