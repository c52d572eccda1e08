"""JSON as the API writes it: decimals as plain strings, instants in RFC 3339 with all their microseconds."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.http import HttpRequest
from ninja.renderers import BaseRenderer
from pydantic import BaseModel

from billing_ops.kit.money import plain


def rfc3339(instant: datetime) -> str:
    """``2025-01-31T23:59:59.000001Z``: in UTC, without the fraction when it is zero."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def plain_value(value: Any) -> Any:
    """What :mod:`json` cannot write by itself; anything unforeseen raises ``TypeError``."""
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, BaseModel):
        return value.model_dump(by_alias=True)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    raise TypeError(f"{type(value).__name__} has no place in an answer")


def dumps(data: Any) -> str:
    """JSON text of an answer."""
    return json.dumps(data, default=plain_value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


class ApiRenderer(BaseRenderer):
    """Ninja's renderer on :func:`dumps`."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> str:
        return dumps(data)
