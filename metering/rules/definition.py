"""What a meter may be: names, paths and filters, checked before anything is written."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from billing_ops.kit.errors import InvalidInput

AGGREGATIONS = ("sum", "count")
MAX_FILTERS, MAX_CHOICES = 10, 50
OPERATORS = ("eq", "ne", "in", "gt", "gte", "lt", "lte", "exists")

_KEY = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
_INDEX = re.compile(r"\s*[+-]?[0-9]+")


class BadMeter(InvalidInput):
    """A definition that cannot be a meter; ``details["field"]`` names the field."""

    code = "meter.invalid"


def check(
    *,
    key: object,
    name: object,
    event_type: object,
    aggregation: object,
    value_path: object,
    filters: object,
    unit: object,
) -> list[dict[str, Any]]:
    """Raise :class:`BadMeter` for the first thing that is wrong; return the filters in their stored form."""
    if not isinstance(key, str) or not _KEY.fullmatch(key):
        raise BadMeter("key: use lower-case letters, digits, “_” and “-”, at most 64.", field="key")
    _text(name, "name", 200)
    _text(event_type, "event_type", 255)
    if unit != "":
        _text(unit, "unit", 40)
    if aggregation not in AGGREGATIONS:
        raise BadMeter(f"aggregation: one of {', '.join(AGGREGATIONS)}.", field="aggregation")
    if aggregation == "count":
        if value_path != "":
            raise BadMeter("value_path: a count reads no property; leave it empty.", field="value_path")
    else:
        _path(value_path, "value_path")
    if not isinstance(filters, Sequence) or isinstance(filters, str | bytes) or len(filters) > MAX_FILTERS:
        raise BadMeter(f"filters: a list of at most {MAX_FILTERS}.", field="filters")
    return [_filter(one, f"filters.{index}") for index, one in enumerate(filters)]


def _text(value: object, field: str, longest: int) -> None:
    if not isinstance(value, str) or not value.strip() or not value.isprintable() or len(value) > longest:
        raise BadMeter(f"{field}: a line of text of at most {longest} characters.", field=field)


def _path(value: object, field: str) -> str:
    """A dotted path of property names. A name that reads as a number would also index arrays in SQL: it is refused."""
    _text(value, field, 400)
    assert isinstance(value, str)
    names = value.split(".")
    if len(names) > 8 or any(not name or _INDEX.fullmatch(name) for name in names):
        raise BadMeter(f"{field}: property names joined by points, e.g. tokens.input; not “{value[:60]}”.", field=field)
    return value


def _filter(value: object, field: str) -> dict[str, Any]:
    if not isinstance(value, Mapping) or set(value) != {"path", "op", "value"}:
        raise BadMeter(f"{field}: an object of path, op and value.", field=field)
    path, op, wanted = _path(value["path"], f"{field}.path"), value["op"], value["value"]
    if op not in OPERATORS:
        raise BadMeter(f"{field}.op: one of {', '.join(OPERATORS)}.", field=f"{field}.op")
    where = f"{field}.value"
    if op == "exists":
        if not isinstance(wanted, bool):
            raise BadMeter(f"{where}: true or false.", field=where)
    elif op == "in":
        if not isinstance(wanted, list) or not 0 < len(wanted) <= MAX_CHOICES:
            raise BadMeter(f"{where}: a list of 1 to {MAX_CHOICES} values.", field=where)
        for one in wanted:
            _scalar(one, where)
    elif op in {"gt", "gte", "lt", "lte"}:
        if isinstance(wanted, bool) or not isinstance(wanted, int) or abs(wanted) >= 10**20:
            wanted = _decimal(wanted, where)
    else:
        _scalar(wanted, where)
    return {"path": path, "op": op, "value": wanted}


_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,12})?", re.ASCII)


def _decimal(value: object, where: str) -> str:
    if not isinstance(value, str) or not _NUMBER.fullmatch(value):
        raise BadMeter(f"{where}: an integer, or a decimal as a string such as “0.5”.", field=where)
    return value


def _scalar(value: object, where: str) -> None:
    """Text, a whole number or a boolean; a number with a point would be compared as a float."""
    if isinstance(value, str) and len(value) <= 255 and "\0" not in value:
        return
    if isinstance(value, int) and abs(value) < 10**20:
        return
    raise BadMeter(f"{where}: a string, an integer or a boolean.", field=where)
