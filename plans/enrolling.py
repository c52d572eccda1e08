"""Customers: who is billed, and what may change about them."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, replace
from datetime import datetime

from django.db import IntegrityError, transaction

from billing_ops.kit.actor import Actor
from billing_ops.kit.audit import record
from billing_ops.kit.errors import Conflict, IdempotencyMismatch
from ledger import balances
from plans import customers
from plans.models import Customer
from plans.rules.details import FIELDS, CustomerDetails, CustomerInvalid, check_details, check_key

_TERMS = ("currency", "time_zone")  # what the amounts and the days of every bill are counted in


class CustomerDiffers(IdempotencyMismatch):
    """A customer of that key exists with other details; ``details["differs"]`` names the fields."""

    code = "customer.differs"
    remedy = "Change the customer, or use another key for another one."


class CustomerTermsFixed(Conflict):
    """Currency or time zone were to change although there is a subscription, or the currency although money moved."""

    code = "customer.terms_fixed"
    remedy = "Create a second customer for the other currency or time zone."


class StripeCustomerTaken(Conflict):
    """Another customer has that Stripe customer: its payments would be taken for this one's."""

    code = "customer.stripe_id_taken"
    remedy = "Give the Stripe customer that belongs to this customer, or none: one is made when it is needed."


def enroll(*, key: str, details: CustomerDetails, at: datetime, actor: Actor) -> Customer:
    """Create a customer. Its key is the ``subject`` of its usage events, which may already be there.

    The same key with the same details is the old row; with others it raises :class:`CustomerDiffers`. Raises
    :class:`CustomerInvalid` or ``BadCurrency`` for details that cannot be used.
    """
    check_key(key)
    check_details(details)
    with transaction.atomic():
        customer, created = Customer.objects.get_or_create(key=key, defaults={**asdict(details), "created_at": at})
        if not created:
            differing = list(_changes(customers.details_of(customer), details))
            if differing:
                raise CustomerDiffers(
                    f"The customer “{key}” exists and differs in {', '.join(differing)}.",
                    differs=differing,
                    field=differing[0],
                )
            return customer
        _audit(customer, at, actor, "customer.created", f"Customer {details.name} created")
    return customer


def amend(*, customer: Customer, changes: Mapping[str, str], at: datetime, actor: Actor) -> Customer:
    """Change some of a customer's details, by field name, and return the row as it is now.

    Currency and time zone are fixed once there is a subscription, and the currency once the books know the customer
    (credit in the old one could never be used): :class:`CustomerTermsFixed`. The key never changes.
    Raises :class:`CustomerInvalid` or ``BadCurrency`` for details that cannot be used.
    """
    unknown = sorted(set(changes) - set(FIELDS))
    if unknown:
        raise CustomerInvalid(f"{unknown[0]}: it cannot be changed.", field=unknown[0])
    with transaction.atomic():
        locked = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        before = customers.details_of(locked)
        after = replace(before, **changes)
        check_details(after)
        changed = _changes(before, after)
        if not changed:
            return locked
        _check_terms(locked, changed)
        for field in changed:
            setattr(locked, field, getattr(after, field))
        locked.save(update_fields=list(changed))
        _audit(locked, at, actor, "customer.changed", f"Changed {', '.join(changed)}", changes=changed)
    return locked


def _check_terms(customer: Customer, changed: Collection[str]) -> None:
    """Refuse to change what the amounts and days so far are counted in; whoever gives credit locks the row as well."""
    fixed = [field for field in _TERMS if field in changed]
    if fixed and customer.subscriptions.exists():
        raise CustomerTermsFixed(
            f"The {fixed[0].replace('_', ' ')} of “{customer.key}” is fixed: it has a subscription.", field=fixed[0]
        )
    if "currency" in fixed and (units := balances.units_of(customer_key=customer.key)):
        raise CustomerTermsFixed(
            f"The currency of “{customer.key}” is fixed: the books hold {', '.join(units)} of it.", field="currency"
        )


_PAYMENT_WORDS = {"stripe_id": "Stripe customer", "default_payment_method": "payment method"}


def attach_payment(
    *,
    customer: Customer,
    at: datetime,
    actor: Actor,
    stripe_id: str | None = None,
    default_payment_method: str | None = None,
) -> Customer:
    """Remember Stripe's id of the customer and the payment method to collect with; None leaves one as it is.

    Raises :class:`StripeCustomerTaken` for the Stripe customer of another.
    """
    wanted = {"stripe_id": stripe_id, "default_payment_method": default_payment_method}
    with transaction.atomic():
        locked = Customer.objects.select_for_update(no_key=True).get(pk=customer.pk)
        changed = {
            field: [getattr(locked, field) or "", value]
            for field, value in wanted.items()
            if value is not None and value != getattr(locked, field)
        }
        for field, (_before, value) in changed.items():
            setattr(locked, field, value)
        if changed:
            _save_payment(locked, changed)
            said = ", ".join(_PAYMENT_WORDS[field] for field in changed)
            _audit(locked, at, actor, "customer.payment_attached", f"Changed the {said}", changes=changed)
    return locked


def _save_payment(customer: Customer, changed: Collection[str]) -> None:
    try:
        with transaction.atomic():
            customer.save(update_fields=list(changed))
    except IntegrityError as error:
        if not Customer.objects.filter(stripe_id=customer.stripe_id).exclude(pk=customer.pk).exists():
            raise
        raise StripeCustomerTaken(
            f"Another customer has the Stripe customer {customer.stripe_id}; nothing was changed.", field="stripe_id"
        ) from error


def _changes(before: CustomerDetails, after: CustomerDetails) -> dict[str, list[str]]:
    old, new = asdict(before), asdict(after)
    return {field: [old[field], new[field]] for field in FIELDS if old[field] != new[field]}


def _audit(
    customer: Customer,
    at: datetime,
    actor: Actor,
    action: str,
    summary: str,
    *,
    changes: Mapping[str, list[str]] | None = None,
) -> None:
    record(
        at=at,
        actor=actor,
        action=action,
        subject_type="customer",
        subject_key=customer.key,
        customer_key=customer.key,
        summary=summary[:300],
        changes=changes,
    )
