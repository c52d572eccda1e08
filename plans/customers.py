"""Finding customers."""

from django.db import connection
from django.db.models import Q, QuerySet

from billing_ops.kit.errors import InvalidInput, NotFound
from ledger.rules.worth import is_own
from plans.models import Customer
from plans.rules.details import FIELDS, CustomerDetails


class CustomerNotFound(NotFound):
    """No customer has that key."""

    code = "customer.not_found"


class CurrencyDiffers(InvalidInput):
    """An amount in another currency than the customer's."""

    code = "customer.currency_differs"


def get(key: str) -> Customer:
    """The customer of that key; raises :class:`CustomerNotFound`."""
    found = Customer.objects.filter(key=key).first()
    if found is None:
        raise CustomerNotFound(f"There is no customer “{key[:128]}”.", field="customer")
    return found


def search(text: str = "") -> QuerySet[Customer]:
    """Customers whose key or e-mail begins with ``text``, in either case, or whose name holds it; by key."""
    found = Customer.objects.order_by("key")
    text = text.strip()
    if text:
        found = found.filter(Q(key__istartswith=text) | Q(email__istartswith=text) | Q(name__icontains=text))
    return found


def details_of(customer: Customer) -> CustomerDetails:
    """What is known of a customer, as a value."""
    return CustomerDetails(**{field: getattr(customer, field) for field in FIELDS})


def check_credit_holder(*, customer_key: str, unit: str) -> None:
    """Whether a customer may hold credit in that unit: a currency must be the customer's own.

    The ledger, which knows no customers, asks this through ``settings.CREDIT_HOLDER_CHECK``. Raises
    :class:`CustomerNotFound` or :class:`CurrencyDiffers`. In a transaction the answer stays true until its end: the
    customer's row is locked, as it is by whoever changes the currency.
    """
    if connection.in_atomic_block:
        Customer.objects.select_for_update(no_key=True).filter(key=customer_key).first()
    currency = get(customer_key).currency
    if unit != currency and not is_own(unit):
        raise CurrencyDiffers(
            f"{customer_key} is billed in {currency}, not in {unit}.", remedy=f"Send {currency}.", field="currency"
        )
