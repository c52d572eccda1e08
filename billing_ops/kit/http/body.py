"""Reading a JSON body strictly: what is ambiguous is refused, with the place where it stands."""

import json
from decimal import Decimal
from typing import Any, Final, NoReturn

from django.http import HttpRequest
from ninja.parser import Parser

from billing_ops.kit.errors import BillingError

JSON_TYPES: Final = ("application/json",)
MAX_DEPTH: Final = 32
MAX_MAGNITUDE: Final = 64
"""A number with a point or an exponent lies between 1e-64 and 1e64."""


class MalformedBody(BillingError):
    """The body is not JSON; ``details["offset"]`` is the byte or character at which reading stopped."""

    code = "body.malformed"
    http_status = 400


class BodyTooLarge(BillingError):
    """The body is larger than the operation accepts."""

    code = "body.too_large"
    http_status = 413


class LengthRequired(BillingError):
    """The body comes in chunks: WSGI would hand it over as an empty one."""

    code = "body.length_required"
    http_status = 411
    remedy = "Send it with a Content-Length instead of Transfer-Encoding: chunked."


class UnexpectedBody(BillingError):
    """A body was sent to an operation that takes none."""

    code = "body.unexpected"
    http_status = 422


class UnsupportedBody(BillingError):
    """The body comes in another media type or encoding than the operation reads."""

    code = "body.unsupported_type"
    http_status = 415


def check_type(request: HttpRequest, types: tuple[str, ...] = JSON_TYPES) -> str:
    """Return the body's media type, one of ``types``; raises :class:`UnsupportedBody`."""
    sent = (request.content_type or "").lower()
    if sent not in types:
        raise UnsupportedBody(
            f"The body is sent as “{sent[:80] or 'nothing'}”.", remedy=f"Send it as {' or '.join(types)}."
        )
    charset = (request.content_params or {}).get("charset", "utf-8").lower()
    if charset not in ("utf-8", "utf8"):
        raise UnsupportedBody(f"The body's charset is “{charset[:40]}”.", remedy="Send it in UTF-8.")
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise UnsupportedBody(f"The body is encoded as “{encoding[:40]}”.", remedy="Send it uncompressed.")
    return sent


def check_size(request: HttpRequest, limit_bytes: int) -> None:
    """Refuse by the announced length, before the body is read: :class:`BodyTooLarge`, :class:`LengthRequired`."""
    if request.headers.get("Transfer-Encoding"):
        raise LengthRequired("The body's length is not announced.")
    announced = str(request.META.get("CONTENT_LENGTH") or "0")
    if announced.isdecimal() and int(announced[:18]) > limit_bytes:
        raise BodyTooLarge(
            f"The body has {announced[:18]} bytes; this operation accepts {limit_bytes}.",
            remedy="Send it in smaller parts.",
            limit_bytes=limit_bytes,
        )


def check_empty(request: HttpRequest) -> None:
    """Refuse fields where none are read: whoever sends them expects them to matter. ``{}`` passes."""
    if request.body.strip() not in (b"", b"{}"):
        raise UnexpectedBody("This operation takes no body.", remedy="Send none, or {}.")


def parse(raw: bytes) -> Any:
    """JSON with every number that has a point or an exponent as a Decimal.

    Refused by :class:`MalformedBody`: broken UTF-8 or JSON (with its offset), NaN and Infinity, the same key twice,
    more than 32 levels, U+0000 and lone surrogates (no text column can keep them),
    numbers that no decimal can hold.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedBody(f"The body is not UTF-8 at byte {error.start}.", offset=error.start) from None
    try:
        value = json.loads(text, parse_float=_decimal, parse_constant=_no_constant, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        raise MalformedBody(
            f"The body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}.", offset=error.pos
        ) from None
    except RecursionError:
        raise MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:  # an integer with thousands of digits
        raise MalformedBody(f"The body has a number that cannot be read: {str(error)[:80]}.") from None
    _check(value, "", 0)
    return value


def _no_constant(name: str) -> NoReturn:
    raise MalformedBody(f"{name} is not a number in JSON.", remedy="Leave the field out or send a real number.")


def _decimal(text: str) -> Decimal:
    if len(text) > 64:
        raise MalformedBody(f"The number {text[:20]}… is longer than 64 characters.")
    try:
        value = Decimal(text)
    except ArithmeticError:  # an exponent of twenty digits: even a Decimal has none that large
        value = Decimal("Infinity")
    if not value.is_finite() or abs(value.adjusted()) > MAX_MAGNITUDE:
        raise MalformedBody(f"The number {text[:20]} is out of any range.")  # written out it would fill the memory
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _value in pairs:
            if key in seen:
                raise MalformedBody(f"The field “{key[:80]}” stands twice in one object.", field=key[:80])
            seen.add(key)
    return found


def _check(value: Any, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedBody(f"The body is nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, str):
        _check_text(value, path)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_text(key, path)
            _check(item, f"{path}.{key}" if path else key, depth + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(item, f"{path}.{index}" if path else str(index), depth + 1)


def _check_text(text: str, path: str) -> None:
    if "\0" in text or any("\ud800" <= char <= "\udfff" for char in text):
        raise MalformedBody(
            f"{path[:80] or 'The body'} holds U+0000 or half of a surrogate pair.", field=path[:80] or "body"
        )


class StrictParser(Parser):
    """Ninja's parser on :func:`parse`; its errors reach the handler as the cause of Ninja's own."""

    def parse_body(self, request: HttpRequest) -> Any:
        check_type(request)
        return parse(request.body)
