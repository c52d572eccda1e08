"""Customers over HTTP."""

from typing import Annotated, Any

from ninja import Query
from pydantic import Field

from billing_ops.kit import clock
from billing_ops.kit.http import (
    ApiRequest,
    ApiRouter,
    Body,
    CurrencyCode,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
    paginate,
)
from plans import customers, enrolling
from plans.models import Customer
from plans.rules.details import CustomerDetails

router = ApiRouter(tags=["Customers"])

Text200 = Annotated[str, Field(max_length=200)]
_ADDRESS = ("line1", "line2", "city", "region", "postal_code", "country")


class AddressIn(Body):
    """A postal address, for the invoice and its tax."""

    line1: Text200 = ""
    line2: Text200 = ""
    city: Annotated[str, Field(max_length=100)] = ""
    region: Annotated[str, Field(max_length=100)] = ""
    postal_code: Annotated[str, Field(max_length=32)] = ""
    country: Annotated[str, Field(max_length=2, description="ISO 3166-1, two letters.", examples=["US"])] = ""


class CustomerIn(Body):
    """A new customer."""

    key: Key = Field(description="Your name for the customer: the `subject` of its usage events. It never changes.")
    name: str = Field(min_length=1, max_length=200)
    currency: CurrencyCode
    email: str = Field("", max_length=254)
    time_zone: str = Field("UTC", max_length=64, description="IANA name: where its billing days and months begin.")
    address: AddressIn = AddressIn()
    tax_id: str = Field("", max_length=64)


class CustomerChange(Body):
    """What is sent replaces what is kept; what is left out stays."""

    name: str = Field("", max_length=200)
    currency: CurrencyCode = Field("USD", description="Fixed once there is a subscription.")
    email: str = Field("", max_length=254)
    time_zone: str = Field("UTC", max_length=64, description="Fixed once there is a subscription.")
    address: AddressIn = AddressIn()
    tax_id: str = Field("", max_length=64)


class PaymentIn(Body):
    """How a customer pays; what is left out stays as it is."""

    default_payment_method: str | None = Field(
        None, max_length=64, pattern=r"^(pm_[A-Za-z0-9_]+)?$", description="Stripe's id of it; empty: none any more."
    )
    stripe_id: str | None = Field(
        None, max_length=64, pattern=r"^cus_[A-Za-z0-9_]+$", description="Left out: we create the customer in Stripe."
    )


class AddressOut(Out):
    """A postal address; empty text: not known."""

    line1: str
    line2: str
    city: str
    region: str
    postal_code: str
    country: str


class CustomerOut(Out):
    """A customer."""

    key: str
    name: str
    currency: CurrencyCode
    email: str
    time_zone: str
    address: AddressOut
    tax_id: str
    stripe_id: str | None = Field(description="Stripe's id of the customer, once it has one.")
    default_payment_method: str
    created_at: InstantOut


class CustomersQuery(PageQuery):
    """Filters of the listing."""

    search: str | None = Field(None, max_length=200, description="The beginning of a key or e-mail, or part of a name.")


@router.make("/customers", scope="customers:write", answer=CustomerOut)
def create_customer(request: ApiRequest, body: CustomerIn) -> CustomerOut:
    """Create a customer. Usage that was sent for its key before counts."""
    details = CustomerDetails(**_flat(body.model_dump(exclude={"key"})))
    return _out(enrolling.enroll(key=body.key, details=details, at=clock.now(), actor=request.auth.actor))


@router.read("/customers", scope="customers:read", answer=Page[CustomerOut])
def list_customers(request: ApiRequest, query: Query[CustomersQuery]) -> Page[CustomerOut]:
    """Customers by key."""
    found = paginate(customers.search(query.search or ""), page=query, order=["key"], listing="customers")
    return Page(items=[_out(row) for row in found.items], next_cursor=found.next_cursor)


@router.read("/customers/{customer_key}", scope="customers:read", answer=CustomerOut)
def get_customer(request: ApiRequest, customer_key: str) -> CustomerOut:
    """One customer."""
    return _out(customers.get(customer_key))


@router.change("/customers/{customer_key}", scope="customers:write", answer=CustomerOut)
def change_customer(request: ApiRequest, customer_key: str, body: CustomerChange) -> CustomerOut:
    """Change some of a customer's details. The key never changes."""
    changes = _flat(body.model_dump(exclude_unset=True))
    customer = customers.get(customer_key)
    return _out(enrolling.amend(customer=customer, changes=changes, at=clock.now(), actor=request.auth.actor))


@router.change("/customers/{customer_key}/payment", scope="customers:write", answer=CustomerOut, method="PUT")
def set_customer_payment(request: ApiRequest, customer_key: str, body: PaymentIn) -> CustomerOut:
    """Say what to collect with. An invoice that is already being collected keeps the method it began with."""
    changed = enrolling.attach_payment(
        customer=customers.get(customer_key),
        stripe_id=body.stripe_id,
        default_payment_method=body.default_payment_method,
        at=clock.now(),
        actor=request.auth.actor,
    )
    return _out(changed)


def _flat(sent: dict[str, Any]) -> dict[str, str]:
    address = sent.pop("address", {})
    return {**sent, **address}


def _out(customer: Customer) -> CustomerOut:
    names = (
        "key", "name", "currency", "email", "time_zone", "tax_id", "stripe_id", "default_payment_method", "created_at",
    )  # fmt: skip
    address = {name: getattr(customer, name) for name in _ADDRESS}
    return CustomerOut.model_validate({name: getattr(customer, name) for name in names} | {"address": address})
