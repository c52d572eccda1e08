"""The JSON of an event, strict and exact: numbers without a float, nothing ambiguous, nothing that cannot be stored."""

import json
from collections.abc import Iterator, Mapping
from decimal import Context, Decimal
from typing import Any

import msgspec

INTEGER_DIGITS, DECIMAL_DIGITS = 20, 12
"""A number in an event has at most so many digits before and after the point."""

MAX_DEPTH = 32

_TOO_BIG = 10**INTEGER_DIGITS
_LONGEST_NUMBER = INTEGER_DIGITS + DECIMAL_DIGITS + 8
_EXACT = Context(prec=INTEGER_DIGITS + DECIMAL_DIGITS + 20)


class EventRefusal(Exception):  # not an error of the program: an answer to one event
    """Why one event is not taken; it never sinks its batch."""

    def __init__(self, code: str, message: str, event_id: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.event_id = event_id


def _exact(text: str) -> int | Decimal:
    """A JSON number with a point or an exponent, by value: 10.0 and 1e1 are 10."""
    if len(text) > _LONGEST_NUMBER:
        return Decimal("Infinity")  # refused by check, which names it
    try:
        value = Decimal(text)
    except ArithmeticError:  # an exponent of twenty digits: even a Decimal has none that large
        return Decimal("Infinity")
    if not value or value.adjusted() >= INTEGER_DIGITS or value.adjusted() < -DECIMAL_DIGITS:
        return value if value else 0
    value = _EXACT.normalize(value)
    return int(value) if value.as_tuple().exponent >= 0 else value  # type: ignore[operator]  # it is finite


_decoder = msgspec.json.Decoder(float_hook=_exact)
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


def decode(raw: bytes) -> dict[str, Any]:
    """An event's object, numbers as ``int`` or ``Decimal``, or :class:`EventRefusal`."""
    try:
        event = _decoder.decode(raw)
    except RecursionError:
        raise EventRefusal("event.too_deep", f"Data may be nested {MAX_DEPTH} levels deep.") from None
    except msgspec.ValidationError:  # an integer of thousands of digits
        raise EventRefusal("event.number_out_of_range", _number_message("a number")) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EventRefusal("event.malformed_json", f"This is not JSON: {error}.") from None
    if type(event) is not dict:
        raise EventRefusal("event.not_an_object", "An event is a JSON object.")
    return event


def encode(value: Any) -> bytes:
    """Canonical JSON: keys sorted, no spaces, numbers by value."""
    return _encoder.encode(value)


def read_data(text: str) -> dict[str, Any]:
    """The stored data of an event, numbers exact (an ``int`` or a ``Decimal``)."""
    data: dict[str, Any] = _decoder.decode(text)
    return data


def _number_message(where: str) -> str:
    return (
        f"{where} has more than {INTEGER_DIGITS} digits before or {DECIMAL_DIGITS} after the point. "
        "Send what is not metered as a string."
    )


def check(value: Any, where: str, depth: int) -> None:
    """Refuse numbers that cannot be summed exactly, and nesting beyond reason."""
    kind = type(value)
    if kind is str or kind is bool or value is None:
        return
    if kind is int:
        if not -_TOO_BIG < value < _TOO_BIG:
            raise EventRefusal("event.number_out_of_range", _number_message(where))
    elif kind is Decimal:
        exponent = value.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -DECIMAL_DIGITS or value.adjusted() >= INTEGER_DIGITS:
            raise EventRefusal("event.number_out_of_range", _number_message(where))
    elif depth > MAX_DEPTH:
        raise EventRefusal("event.too_deep", f"Data may be nested {MAX_DEPTH} levels deep.")
    else:
        for name, inner in value.items() if kind is dict else enumerate(value):
            inner_kind = type(inner)
            if inner_kind is str or (inner_kind is int and -_TOO_BIG < inner < _TOO_BIG):
                continue
            check(inner, f"{where}.{name}"[:200], depth + 1)


def check_unambiguous(event: Mapping[str, Any], raw: bytes) -> None:
    """Refuse what the decoder lets pass: a key given twice (the last would win silently) and U+0000.

    A dropped key takes quotation marks with it, so counting them in the event as sent and as understood finds it.
    """
    if raw.count(b'"') != encode(event).count(b'"') or b"\\u0022" in raw:
        json.loads(raw, object_pairs_hook=_unique)
    if b"\\u0000" in raw and any("\0" in text for text in _strings(event)):
        raise EventRefusal("event.nul_character", "The event contains the character U+0000, which cannot be stored.")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise EventRefusal("event.duplicate_key", f"“{name[:60]}” is given twice in one object.")
        found[name] = value
    return found


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _strings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _strings(inner)
