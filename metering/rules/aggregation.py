"""What events amount to: the pure fold that the SQL is proved equal to.

The statements under ``metering/sql`` and the SQL functions ``metering_number`` and ``metering_matches`` do the same by
sets; property tests compare them on random events.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal, localcontext
from typing import Any, Literal

from billing_ops.kit.periods import Period
from metering.rules.windows import hour_of

Verdict = Literal["counted", "filtered", "missing", "not_numeric"]
"""What a meter makes of an event: counted; filtered out; without the property; with a property that is no number."""

_NUMERIC = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,12})?", re.ASCII)
_ABSENT: Any = object()


@dataclass(frozen=True, slots=True)
class Measure:
    """The part of a meter that decides what an event amounts to."""

    event_type: str
    aggregation: str
    value_path: str = ""
    filters: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Usage:
    """An event as a meter sees it; ``identity`` is (source, id)."""

    identity: tuple[str, str]
    subject: str
    type: str
    occurred_at: datetime
    data: Mapping[str, Any]


def property_at(data: Any, path: str) -> Any:
    """The value at a dotted path through objects, or a private mark that nothing equals."""
    for name in path.split("."):
        if not isinstance(data, Mapping) or name not in data:
            return _ABSENT
        data = data[name]
    return data


def number(value: object) -> Decimal | None:
    """A JSON number, or a string of plain digits, as a Decimal; booleans, NaN and everything else are no number."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | Decimal):
        return Decimal(value)
    if isinstance(value, str) and _NUMERIC.fullmatch(value):
        return Decimal(value)
    return None


def _same(left: Any, right: Any) -> bool:
    """Equality of JSON scalars: by type, numbers by value (in Python True equals 1, in JSON it does not)."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    return bool(left == right)


def _passes(data: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    found, op, wanted = property_at(data, condition["path"]), condition["op"], condition["value"]
    if op == "exists":
        return (found is not _ABSENT and found is not None) is bool(wanted)
    if op == "eq":
        return _same(found, wanted)
    if op == "ne":
        return not _same(found, wanted)
    if op == "in":
        return any(_same(found, one) for one in wanted)
    left, right = number(found), number(wanted)
    if left is None or right is None:
        return False
    compared = {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}
    return compared[str(op)]


def matches(data: Mapping[str, Any], filters: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the data pass every filter."""
    return all(_passes(data, condition) for condition in filters)


def measure(meter: Measure, data: Mapping[str, Any]) -> tuple[Verdict, Decimal | None]:
    """What the meter makes of an event of its type, and the value if it is counted."""
    if not matches(data, meter.filters):
        return "filtered", None
    if meter.aggregation == "count":
        return "counted", Decimal(1)
    found = property_at(data, meter.value_path)
    if found is _ABSENT or found is None:
        return "missing", None
    value = number(found)
    return ("not_numeric", None) if value is None else ("counted", value)


def fold(meter: Measure, events: Iterable[Usage], *, subject: str, period: Period) -> tuple[Decimal, int]:
    """Quantity and number of counted events of one subject in a period; of each identity the first counts."""
    hours = fold_hours(meter, events, subject=subject, period=period)
    with localcontext(Context(prec=80)):
        return sum((quantity for quantity, _ in hours.values()), Decimal(0)), sum(n for _, n in hours.values())


def fold_hours(
    meter: Measure, events: Iterable[Usage], *, subject: str, period: Period
) -> dict[datetime, tuple[Decimal, int]]:
    """The same by UTC hour: ``{hour_start: (quantity, events)}``, only hours in which something was counted."""
    seen: set[tuple[str, str]] = set()
    hours: dict[datetime, tuple[Decimal, int]] = {}
    with localcontext(Context(prec=80)):
        for event in events:
            if event.identity in seen:
                continue
            seen.add(event.identity)
            if event.subject != subject or event.type != meter.event_type or event.occurred_at not in period:
                continue
            _, value = measure(meter, event.data)
            if value is not None:
                quantity, count = hours.get(hour_of(event.occurred_at), (Decimal(0), 0))
                hours[hour_of(event.occurred_at)] = (quantity + value, count + 1)
    return hours
