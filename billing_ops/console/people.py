"""The person behind a request, as the domain knows an actor."""

from django.http import HttpRequest

from billing_ops.kit.actor import Actor


def actor_of(request: HttpRequest) -> Actor:
    """The signed-in member of the staff."""
    user = request.user
    return Actor("user", user.get_username(), getattr(user, "get_full_name", str)() or user.get_username())
