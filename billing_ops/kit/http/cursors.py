"""Listings page by page. A cursor is opaque, signed and bound to its listing and filters.

Pages go by position, not by offset: rows that arrive meanwhile neither repeat nor skip what was not read yet.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.core.signing import BadSignature, Signer
from django.db.models import Model, Q, QuerySet
from pydantic import Field

from billing_ops.kit.errors import BillingError
from billing_ops.kit.http.fields import Body
from billing_ops.kit.http.rendering import dumps

M = TypeVar("M", bound=Model)


class CursorInvalid(BillingError):
    """The cursor was not given out for this listing and these filters."""

    code = "cursor.invalid"
    http_status = 400
    remedy = "Use next_cursor of the page before, unchanged and with the same filters, or start without a cursor."


class PageQuery(Body):
    """``limit`` and ``cursor`` of a listing; subclass it to add filters."""

    limit: int = Field(50, ge=1, le=200, description="How many items a page has at most.")
    cursor: str | None = Field(None, max_length=1000, description="`next_cursor` of the page before.")

    def filters(self) -> dict[str, Any]:
        """Everything but limit and cursor, as given: a cursor is bound to it."""
        return self.model_dump(exclude={"limit", "cursor"}, exclude_none=True)


@dataclass(frozen=True, slots=True)
class Slice(Generic[M]):
    """Rows of one page and the cursor of the next (None: there is none)."""

    items: list[M]
    next_cursor: str | None


def seal(listing: str, filters: Mapping[str, Any], position: Sequence[Any]) -> str:
    """A cursor for the rows after ``position`` (JSON values, instants or decimals)."""
    return _signer(listing, filters).sign_object(json.loads(dumps(list(position))))


def unseal(listing: str, filters: Mapping[str, Any], cursor: str | None) -> list[Any] | None:
    """The position that a cursor holds, or None without one; raises :class:`CursorInvalid`."""
    if not cursor:
        return None
    try:
        position = _signer(listing, filters).unsign_object(cursor)
    except (BadSignature, ValueError):
        raise CursorInvalid("The cursor is not one of this listing with these filters.") from None
    if not isinstance(position, list):
        raise CursorInvalid("The cursor is not one of this listing with these filters.")
    return position


def paginate(rows: QuerySet[M], *, page: PageQuery, order: Sequence[str], listing: str) -> Slice[M]:
    """One page of ``rows`` in ``order``: not nullable fields, unique together, all with or all without a minus."""
    names = [name.lstrip("-") for name in order]
    position = unseal(listing, page.filters(), page.cursor)
    if position is not None:
        rows = rows.filter(_after(names, position, "lt" if order[0].startswith("-") else "gt"))
    found = list(rows.order_by(*order)[: page.limit + 1])
    more = len(found) > page.limit
    items = found[: page.limit]
    last = [getattr(items[-1], name) for name in names] if more else []
    return Slice(items, seal(listing, page.filters(), last) if more else None)


def _after(names: Sequence[str], position: Sequence[Any], beyond: str) -> Q:
    """(a, b) > (x, y) spelled out: a > x or (a = x and b > y)."""
    condition, equal = Q(), Q()
    for name, value in zip(names, position, strict=True):
        condition |= equal & Q(**{f"{name}__{beyond}": value})
        equal &= Q(**{name: value})
    return condition


def _signer(listing: str, filters: Mapping[str, Any]) -> Signer:
    return Signer(salt=f"cursor:{listing}:{json.dumps(json.loads(dumps(dict(filters))), sort_keys=True)}", sep=".")
