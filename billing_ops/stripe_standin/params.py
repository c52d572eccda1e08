"""What an endpoint accepts: names, kinds, and Stripe's refusals for everything else.

Amounts are integers in minor units; a name that is not declared is refused (``parameter_unknown``). The declarations
cover what this stand-in honours, so a parameter that it would ignore cannot be sent by mistake.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from billing_ops.stripe_standin.errors import ApiError, Json, at_the_door

Kind = Callable[[Any, str], Any]
Spec = Mapping[str, Kind]

UNSET = ""
"""What an empty string means to Stripe: remove the value."""

_WHOLE = re.compile(r"-?[0-9]{1,15}", re.ASCII)
MAX_AMOUNT = 99_999_999_999


def read(spec: Spec, raw: Json, required: tuple[str, ...] = ()) -> Json:
    """Check and coerce the parameters of one request; raises Stripe's 400s."""
    for name in required:
        if raw.get(name) in (None, UNSET):
            raise at_the_door(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
    return _fields(spec, raw, "")


def _fields(spec: Spec, raw: Json, inside: str) -> Json:
    out: Json = {}
    for name, value in raw.items():
        full = f"{inside}[{name}]" if inside else name
        kind = spec.get(name)
        if kind is None:
            raise at_the_door(400, f"Received unknown parameter: {full}", code="parameter_unknown", param=full)
        out[name] = kind(value, full)
    return out


def _refuse_empty(param: str) -> ApiError:
    return at_the_door(
        400,
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; however"
        f" '{param}' cannot be unset. You should remove '{param}' from your request or supply a non-empty value.",
        code="parameter_invalid_empty",
        param=param,
    )


def text(max_length: int = 5000, *, may_unset: bool = False) -> Kind:
    """A string; with ``may_unset``, an empty one removes the value."""

    def kind(value: Any, param: str) -> str:
        if not isinstance(value, str):
            raise at_the_door(400, f"Invalid string: {param}", param=param)
        if value == UNSET and not may_unset:
            raise _refuse_empty(param)
        if len(value) > max_length:
            raise at_the_door(
                400,
                f"Invalid string: {value[:20]}...; must be at most {max_length} characters",
                code="parameter_invalid_string_too_long" if max_length != 5000 else None,
                param=param,
            )
        return value

    return kind


def whole(low: int = -MAX_AMOUNT, high: int = MAX_AMOUNT) -> Kind:
    """An integer: an amount in minor units, a count, or a time in seconds."""

    def kind(value: Any, param: str) -> int:
        if not isinstance(value, str) or not _WHOLE.fullmatch(value):
            shown = value[:40] if isinstance(value, str) else param
            raise at_the_door(400, f"Invalid integer: {shown}", code="parameter_invalid_integer", param=param)
        number = int(value)
        if not low <= number <= high:
            bound = f"greater than or equal to {low}" if number < low else f"less than or equal to {high}"
            raise at_the_door(400, f"This value must be {bound}.", code="parameter_invalid_integer", param=param)
        return number

    return kind


THREE_DECIMALS = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])


def check_step(amount: int, currency: str, param: str = "amount") -> None:
    """Raise Stripe's 400 for an amount in a currency of three decimals whose last digit is not 0."""
    if currency in THREE_DECIMALS and amount % 10:
        raise at_the_door(
            400,
            f"Invalid amount: {amount}. Amounts in {currency} must have 0 as their least-significant digit.",
            param=param,
        )


def flag(value: Any, param: str) -> bool:
    """A boolean."""
    if value not in ("true", "false"):
        raise at_the_door(400, f"Invalid boolean: {value}", param=param)
    return bool(value == "true")


def choice(*allowed: str, may_unset: bool = False) -> Kind:
    """One of the named values."""

    def kind(value: Any, param: str) -> str:
        if value == UNSET and may_unset:
            return UNSET
        if value not in allowed:
            names = " or ".join([", ".join(allowed[:-1]), allowed[-1]] if len(allowed) > 1 else allowed)
            raise at_the_door(400, f"Invalid {param}: must be one of {names}", param=param)
        return str(value)

    return kind


def group(spec: Spec, required: tuple[str, ...] = (), *, may_unset: bool = False) -> Kind:
    """A nested object."""

    def kind(value: Any, param: str) -> Json | str:
        if value == UNSET and may_unset:
            return UNSET
        if not isinstance(value, dict):
            raise at_the_door(400, "Invalid object", param=param)
        for name in required:
            if value.get(name) in (None, UNSET):
                full = f"{param}[{name}]"
                raise at_the_door(400, f"Missing required param: {full}.", code="parameter_missing", param=full)
        return _fields(spec, value, param)

    return kind


def many(item: Kind, most: int = 100) -> Kind:
    """A list."""

    def kind(value: Any, param: str) -> list[Any]:
        if not isinstance(value, list):
            raise at_the_door(400, "Invalid array", param=param)
        if len(value) > most:
            raise at_the_door(400, f"Array {param} exceeded maximum {most} allowed elements.", param=param)
        return [item(one, f"{param}[{index}]") for index, one in enumerate(value)]

    return kind


def metadata(value: Any, param: str) -> Json | str:
    """Up to 50 pairs: keys of at most 40 characters, values of at most 500; an empty value removes its key."""
    if value == UNSET:
        return UNSET
    if isinstance(value, list):  # keys that are all digits look like a list once decoded
        value = {str(index): one for index, one in enumerate(value)}
    if not isinstance(value, dict) or len(value) > 50:
        raise at_the_door(400, "Invalid metadata: a set of up to 50 key-value pairs", param=param)
    for name, one in value.items():
        if not isinstance(one, str) or len(one) > 500:
            raise at_the_door(
                400, "Metadata values can have up to 500 characters and are strings", param=f"{param}[{name}]"
            )
        if len(name) > 40:
            raise at_the_door(400, "Metadata keys can have up to 40 characters", param=f"{param}[{name[:40]}]")
    return dict(value)


def between(value: Any, param: str) -> Json:
    """A time, or bounds on one: ``gt``, ``gte``, ``lt``, ``lte``; given back as bounds."""
    moment = whole(low=0)
    if isinstance(value, str):
        at = moment(value, param)
        return {"gte": at, "lte": at}
    found = group({"gt": moment, "gte": moment, "lt": moment, "lte": moment})(value, param)
    assert isinstance(found, dict)
    return found


EXPAND: Spec = {"expand": many(text())}
PAGE: Spec = {
    **EXPAND,
    "limit": whole(low=1, high=100),
    "starting_after": text(),
    "ending_before": text(),
}
ADDRESS: Spec = {name: text(may_unset=True) for name in ("city", "country", "line1", "line2", "postal_code", "state")}
