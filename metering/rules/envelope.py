"""One usage event as it arrives: CloudEvents 1.0 in JSON, read strictly and hashed for its identity.

Identity is (source, id) whatever ``time`` says; content is type, subject, UTC time if it was sent, and canonical data.
Attributes are those of CloudEvents; legal extension attributes are kept beside the event and are no part of its
content, so a retry with another ``traceparent`` is still the same event.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from hashlib import blake2b
from typing import Any

import msgspec

MAX_EVENT_BYTES = 64 * 1024
"""What CloudEvents asks every intermediary to carry."""

INTEGER_DIGITS, DECIMAL_DIGITS = 20, 12
"""A number in an event has at most so many digits before and after the point."""

MAX_DEPTH = 32
OLDEST, NEWEST = timedelta(days=35), timedelta(hours=1)
BACKFILL_START = datetime(2000, 1, 1, tzinfo=UTC)

_ATTRIBUTES = frozenset(
    ["specversion", "id", "source", "type", "subject", "time", "data", "datacontenttype", "dataschema"]
)
_LENGTHS = {"id": 255, "source": 255, "type": 255, "subject": 255}
_EXTENSION = re.compile(r"[a-z0-9]{1,40}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,30})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)\s*(;.*)?", re.ASCII | re.IGNORECASE)
_TOO_BIG = 10**INTEGER_DIGITS
_LONGEST_NUMBER = INTEGER_DIGITS + DECIMAL_DIGITS + 8
_EXACT = Context(prec=INTEGER_DIGITS + DECIMAL_DIGITS + 20)


@dataclass(frozen=True, slots=True)
class Window:
    """The closed interval of instants in which an event may have happened."""

    earliest: datetime
    latest: datetime

    @classmethod
    def live(cls, at: datetime) -> "Window":
        """35 days back, one hour ahead."""
        return cls(at - OLDEST, at + NEWEST)

    @classmethod
    def backfill(cls, at: datetime) -> "Window":
        """Anything since 2000, one hour ahead."""
        return cls(BACKFILL_START, at + NEWEST)


class ReadEvent(msgspec.Struct, frozen=True, gc=False):
    """An event that was understood. ``key`` and ``content`` are 128-bit hashes in hex; ``instant`` is
    ``occurred_at`` as text; ``data`` and ``extensions`` are canonical JSON."""

    key: str
    content: str
    occurred_at: datetime
    instant: str
    subject: str
    type: str
    source: str
    id: str
    data: str
    extensions: str | None


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
        return Decimal("Infinity")  # refused by _check, which names it
    value = Decimal(text)
    if not value or value.adjusted() >= INTEGER_DIGITS or value.adjusted() < -DECIMAL_DIGITS:
        return value if value else 0
    value = _EXACT.normalize(value)
    return int(value) if value.as_tuple().exponent >= 0 else value  # type: ignore[operator]  # it is finite


_decoder = msgspec.json.Decoder(float_hook=_exact)
_encoder = msgspec.json.Encoder(order="sorted", decimal_format="number")


def read(raw: bytes, *, at: datetime, window: Window) -> ReadEvent:
    """Read one event that arrived at ``at``, or raise :class:`EventRefusal`."""
    if len(raw) > MAX_EVENT_BYTES:
        raise EventRefusal("event.too_large", f"The event has {len(raw):,} bytes; {MAX_EVENT_BYTES:,} is the most.")
    try:
        event = _decoder.decode(raw)
    except RecursionError:
        raise EventRefusal("event.too_deep", f"Data may be nested {MAX_DEPTH} levels deep.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _undecodable(raw, error) from None
    if type(event) is not dict:
        raise EventRefusal("event.not_an_object", "An event is a JSON object.")
    try:
        return _read_attributes(event, raw, at, window)
    except EventRefusal as refusal:
        known = event.get("id")
        refusal.event_id = known[:255] if isinstance(known, str) else None
        raise


def _undecodable(raw: bytes, error: Exception) -> EventRefusal:
    if isinstance(error, msgspec.ValidationError):  # an integer of thousands of digits
        return EventRefusal("event.number_out_of_range", _number_message("a number"))
    return EventRefusal("event.malformed_json", f"This is not JSON: {error}.")


def _read_attributes(event: dict[str, Any], raw: bytes, at: datetime, window: Window) -> ReadEvent:
    """Check every attribute, the cheap way first: events are many and most of them are right."""
    if event.get("specversion") != "1.0":
        raise EventRefusal("event.specversion", "specversion must be “1.0”: events are CloudEvents 1.0.")
    identifier = _text(event, "id")
    source = _text(event, "source")
    kind = _text(event, "type")
    subject = _text(event, "subject")
    extensions = None if _ATTRIBUTES.issuperset(event) else _extensions(event)
    data = event.get("data")
    if data is None:
        data = {}
    elif type(data) is not dict:
        raise EventRefusal("event.data_not_an_object", "data must be a JSON object: meters read its properties.")
    if "datacontenttype" in event or "dataschema" in event:
        extensions = _described(event, extensions)
    _check(data, "data", 1)
    canonical = _encoder.encode(data)
    sent = event.get("time")
    if sent is None:
        occurred_at, written = at.astimezone(UTC), ""
        instant = occurred_at.isoformat()
    else:
        occurred_at = read_time(sent)
        written = instant = occurred_at.isoformat()
    _no_surprises(event, raw)
    _in_window(occurred_at, window)
    content = blake2b(f"{kind}\0{subject}\0{written}\0".encode() + canonical, digest_size=16).hexdigest()
    return ReadEvent(
        key=key_of(source, identifier),
        content=content,
        occurred_at=occurred_at,
        instant=instant,
        subject=subject,
        type=kind,
        source=source,
        id=identifier,
        data=canonical.decode(),
        extensions=None if extensions is None else _encoder.encode(extensions).decode(),
    )


def read_data(text: str) -> dict[str, Any]:
    """The stored data of an event, numbers exact (an ``int`` or a ``Decimal``)."""
    data: dict[str, Any] = _decoder.decode(text)
    return data


def key_of(source: str, event_id: str) -> str:
    """The identity of an event: the 128-bit hash of (source, id), in hex."""
    return blake2b(f"{source}\0{event_id}".encode(), digest_size=16).hexdigest()


def read_time(sent: object) -> datetime:
    """An RFC 3339 time with its offset, as UTC. Digits beyond the microsecond are cut off, not rounded."""
    match = _TIME.fullmatch(sent) if type(sent) is str else None
    if match is None:
        raise EventRefusal("event.time_invalid", "time must be RFC 3339, e.g. “2025-01-31T23:59:59.123Z”.")
    if match[2] is None:
        raise EventRefusal("event.time_naive", "time has no zone; end it with “Z” or an offset such as “+05:45”.")
    try:
        return datetime.fromisoformat(match[0].upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise EventRefusal("event.time_invalid", f"time “{match[0][:40]}” does not exist.") from None


def _in_window(occurred_at: datetime, window: Window) -> None:
    if occurred_at < window.earliest:
        raise EventRefusal(
            "event.too_old", f"time is before {window.earliest:%Y-%m-%dT%H:%M:%SZ}. Bring it in as a backfill."
        )
    if occurred_at > window.latest:
        raise EventRefusal("event.too_far_ahead", f"time is after {window.latest:%Y-%m-%dT%H:%M:%SZ}. Check the clock.")


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if type(value) is not str or not value:
        if value is None or value == "":
            raise EventRefusal(f"event.{name}_missing", f"{name} is missing.")
        raise EventRefusal(f"event.{name}_invalid", f"{name} must be a string.")
    if len(value) > _LENGTHS[name]:
        raise EventRefusal(f"event.{name}_invalid", f"{name} has more than {_LENGTHS[name]} characters.")
    if not value.isprintable() and _CONTROL.search(value):
        raise EventRefusal(f"event.{name}_invalid", f"{name} contains a control character.")
    return value


def _extensions(event: Mapping[str, Any]) -> dict[str, Any]:
    """The extension attributes: any lower-case name is legal in CloudEvents; another name is a mistake, and named."""
    kept: dict[str, Any] = {}
    for name in sorted(event.keys() - _ATTRIBUTES):
        value = event[name]
        if name == "data_base64":
            raise EventRefusal("event.data_not_json", "data_base64 is not read; send JSON in data.")
        if not _EXTENSION.fullmatch(name):
            raise EventRefusal(
                "event.attribute_unknown",
                f"“{name[:40]}” is no CloudEvents attribute: extensions have lower-case letters and digits only. "
                "Put properties into data.",
            )
        if value is None:
            continue
        if not isinstance(value, str | int | bool):
            raise EventRefusal(
                "event.extension_invalid", f"Extension {name} must be a string, an integer or a boolean."
            )
        _check(value, name, 1)
        kept[name] = value
    return kept


def _described(event: Mapping[str, Any], extensions: dict[str, Any] | None) -> dict[str, Any] | None:
    """What the optional attributes say about data; they are kept beside the extensions."""
    kept = dict(extensions or {})
    for name in ("datacontenttype", "dataschema"):
        value = event.get(name)
        if value is None:
            continue
        if type(value) is not str or len(value) > 2048:
            raise EventRefusal(f"event.{name}_invalid", f"{name} must be a string.")
        if name == "datacontenttype" and not _JSON_TYPE.fullmatch(value):
            raise EventRefusal("event.data_not_json", f"datacontenttype “{value[:60]}” is not JSON.")
        if name == "dataschema" or value != "application/json":
            kept[name] = value
    return kept or None


def _number_message(where: str) -> str:
    return (
        f"{where} has more than {INTEGER_DIGITS} digits before or {DECIMAL_DIGITS} after the point. "
        "Send what is not metered as a string."
    )


def _check(value: Any, where: str, depth: int) -> None:
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
            if inner_kind is not str and inner_kind is not bool:
                _check(inner, f"{where}.{name}"[:200], depth + 1)


def _no_surprises(event: Mapping[str, Any], raw: bytes) -> None:
    """Refuse what the decoder lets pass: a key given twice (the last would win silently) and U+0000.

    A dropped key takes quotation marks with it, so counting them in the event as sent and as understood finds it.
    """
    if raw.count(b'"') != _encoder.encode(event).count(b'"') or b"\\u0022" in raw:
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
