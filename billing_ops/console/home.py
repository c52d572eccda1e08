"""Home: usage now, money this month, and the work that fails or waits."""

from typing import Any

from django.http import HttpRequest


def home(request: HttpRequest) -> dict[str, Any]:
    """The context of the home page; each part only for who may see it."""
    return {}
