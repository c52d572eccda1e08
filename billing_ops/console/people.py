"""The person behind a request, as the domain knows an actor: who, in which roles, and whether of a customer's house."""

from collections.abc import Sequence

from django.contrib.auth.models import Group
from django.http import HttpRequest

from billing_ops.kit.actor import Actor
from billing_ops.kit.approvals import OWN_DOMAIN
from ledger.rules.limits import Authority, belongs_to
from plans.models import Customer


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in member of the staff."""
    user = request.user
    return Actor("user", user.get_username(), getattr(user, "get_full_name", str)() or user.get_username())


def roles_of(request: HttpRequest) -> tuple[str, ...]:
    """The names of the person's roles."""
    return tuple(Group.objects.filter(user=request.user.pk).order_by("name").values_list("name", flat=True))


def authority_of(request: HttpRequest, customer: Customer) -> Authority:
    """On whose authority the person gives that customer credit."""
    return Authority(roles=roles_of(request), flags=conflicts_of(request, [customer.email]))


def conflicts_of(request: HttpRequest, addresses: Sequence[str]) -> tuple[str, ...]:
    """Whether the person belongs to a customer with these e-mail addresses, as flags."""
    mine = str(getattr(request.user, "email", ""))
    return (OWN_DOMAIN,) if belongs_to(mine, addresses) else ()
