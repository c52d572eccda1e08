"""What a period's edge makes due, and which earlier periods may still change."""

from datetime import datetime, timedelta
from hashlib import blake2b

from billing_ops.kit.periods import Period

LATE_USAGE_WINDOW = timedelta(days=36)
"""How long after a period's end late usage is looked for: one day more than the oldest event that is accepted."""


def trigger_of_edge(edge: datetime) -> str:
    """The natural key of the invoice that a period's edge makes due."""
    return f"edge:{edge:%Y-%m-%dT%H:%M:%SZ}"


def trigger_of_late_usage(subscription_key: str, at: datetime) -> str:
    """The natural key of an invoice over late usage of an ended subscription, one a day."""
    digest = blake2b(subscription_key.encode(), digest_size=12).hexdigest()
    return f"late:{digest}:{at:%Y-%m-%d}"


def trigger_of_overage(at: datetime) -> str:
    """The natural key of an invoice over use beyond credits of a customer whom no edge bills, one a day."""
    return f"overage:{at:%Y-%m-%d}"


def owed_in_advance(begun: Period | None, *, starts_at: datetime, ends_at: datetime | None) -> Period | None:
    """The period whose fee an item owes at the edge where ``begun`` begins: the item is in force at that instant."""
    if begun is None or starts_at > begun.start or (ends_at is not None and ends_at <= begun.start):
        return None
    return begun


def owed_in_arrears(ended: Period | None, *, starts_at: datetime, ends_at: datetime | None) -> Period | None:
    """The part of the period just ended in which an item was in force: the service period of its usage line."""
    if ended is None:
        return None
    start = max(ended.start, starts_at)
    end = ended.end if ends_at is None else min(ended.end, ends_at)
    return Period(start, end) if start < end else None
