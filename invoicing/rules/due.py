"""What a period's edge makes due, and which earlier periods may still change."""

from datetime import datetime, timedelta

LATE_USAGE_WINDOW = timedelta(days=36)
"""How long after a period's end late usage is looked for: one day more than the oldest event that is accepted."""


def trigger_of_edge(edge: datetime) -> str:
    """The natural key of the invoice that a period's edge makes due."""
    return f"edge:{edge:%Y-%m-%dT%H:%M:%SZ}"


def may_still_change(service_end: datetime, at: datetime) -> bool:
    """Whether usage of a period that ended then can still arrive at ``at``."""
    return at < service_end + LATE_USAGE_WINDOW
