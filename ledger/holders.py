"""Who may hold credit. The ledger keeps plain customer keys; the layer that knows the customers says who they are."""

from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


class HolderCheck(Protocol):
    """Raises if that customer cannot hold credit in that unit."""

    def __call__(self, *, customer_key: str, unit: str) -> None: ...


def check(*, customer_key: str, unit: str) -> None:
    """Ask the function that ``CREDIT_HOLDER_CHECK`` names, which raises if that customer cannot hold that unit.

    An empty setting lets every key hold everything.
    """
    if settings.CREDIT_HOLDER_CHECK:
        import_string(settings.CREDIT_HOLDER_CHECK)(customer_key=customer_key, unit=unit)
