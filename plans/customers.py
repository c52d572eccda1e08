"""Finding customers."""

from django.db.models import Q, QuerySet

from billing_ops.kit.errors import NotFound
from plans.models import Customer
from plans.rules.details import FIELDS, CustomerDetails


class CustomerNotFound(NotFound):
    """No customer has that key."""

    code = "customer.not_found"


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
