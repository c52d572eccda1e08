"""Reading holds: what is kept of a customer's credit just now."""

from ledger.models import OpenHold


def open_of(*, customer_key: str, limit: int = 20) -> list[OpenHold]:
    """A customer's open holds in every unit, those that lapse first at the top."""
    rows = OpenHold.objects.filter(wallet__customer_key=customer_key).select_related("hold", "wallet")
    return list(rows.order_by("expires_at", "hold_id")[:limit])
