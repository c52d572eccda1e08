"""Lists: newest first, by cursor."""

from collections.abc import Sequence

from billing_ops.stripe_standin.account import Call
from billing_ops.stripe_standin.errors import Json, at_the_door, missing
from billing_ops.stripe_standin.rendering import listing, show

_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def page(call: Call, kind: str, url: str, where: Sequence[tuple[str, object]] = ()) -> Json:
    """One page of a kind of object; ``where`` holds SQL conditions of this package with one argument each.

    ``created`` bounds, ``limit`` (default 10), ``starting_after`` and ``ending_before`` come from the request.
    """
    params = call.params
    conditions = [*where]
    for name, value in params.get("created", {}).items():
        conditions.append((f"created {_OPERATORS[name]} ?", value))
    after, before = params.get("starting_after"), params.get("ending_before")
    if after and before:
        raise at_the_door(400, "You cannot parameterize both starting_after and ending_before.", param="ending_before")
    if after:
        conditions.append(("seq < ?", _cursor(call, kind, after, "starting_after")))
    if before:
        conditions.append(("seq > ?", _cursor(call, kind, before, "ending_before")))
    limit = params.get("limit", 10)
    found = call.store.find(
        kind,
        " AND ".join(sql for sql, _ in conditions),
        [value for _, value in conditions],
        f"ORDER BY seq {'ASC' if before else 'DESC'} LIMIT {int(limit) + 1}",
    )
    shown = found[:limit]
    if before:
        shown.reverse()
    return listing(url, [show(call, obj) for obj in shown], has_more=len(found) > limit)


def _cursor(call: Call, kind: str, id: str, param: str) -> int:
    place = call.store.place(id, kind)
    if place is None:
        raise missing(kind, id, param, 400)
    return place


def equal(call: Call, *names: str) -> list[tuple[str, object]]:
    """Conditions that a field equals the request's parameter of the same name, for those that were sent."""
    return [(f"json_extract(body, '$.{name}') = ?", call.params[name]) for name in names if name in call.params]
