"""When a customer's credits are topped up by themselves, and when a failed try is made again."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final, Literal
from zoneinfo import ZoneInfo

Decision = Literal["enough", "buy", "above_cap"]

RETRY_AFTER: Final = (timedelta(days=1), timedelta(days=3), timedelta(days=7))
"""How long after each failed try the same invoice is tried again; after the last one it is given up."""


def decide(
    *, available: Decimal, threshold: Decimal, price: Decimal, spent_this_month: Decimal, monthly_cap: Decimal
) -> Decision:
    """Whether to buy now. ``available`` is settled less held; ``spent_this_month`` what its top-ups cost so far."""
    if available >= threshold:
        return "enough"
    return "buy" if spent_this_month + price <= monthly_cap else "above_cap"


def month_of(at: datetime, zone: str) -> tuple[datetime, datetime]:
    """The calendar month of an instant in a time zone, half-open."""
    local = at.astimezone(ZoneInfo(zone))
    first = local.replace(day=1, hour=0, minute=0, second=0, microsecond=0, fold=0)
    following = (first + timedelta(days=32)).replace(day=1)
    return first, following
