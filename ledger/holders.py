"""Who may hold credit. The ledger keeps plain customer keys; the layer that knows the customers says who they are."""

from django.conf import settings
from django.utils.module_loading import import_string


def check(*, customer_key: str, unit: str) -> None:
    """Ask the function that ``CREDIT_HOLDER_CHECK`` names, which raises if that customer cannot hold that unit.

    An empty setting lets every key hold everything.
    """
    if settings.CREDIT_HOLDER_CHECK:
        import_string(settings.CREDIT_HOLDER_CHECK)(customer_key=customer_key, unit=unit)
