"""One usage event as it arrives: CloudEvents 1.0 in JSON, read strictly and hashed for its identity.

Identity is (source, id) whatever ``time`` says; content is type, subject, UTC time if it was sent, and canonical data.
Attributes are those of CloudEvents; legal extension attributes are kept beside the event and are no part of its
content, so a retry with another ``traceparent`` is still the same event.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any

import msgspec

from metering.rules.payload import EventRefusal, check, check_unambiguous, decode, encode

MAX_EVENT_BYTES = 64 * 1024
"""What CloudEvents asks every intermediary to carry."""

OLDEST, NEWEST = timedelta(days=35), timedelta(hours=1)
BACKFILL_START = datetime(2000, 1, 1, tzinfo=UTC)

_ATTRIBUTES = frozenset(
    ["specversion", "id", "source", "type", "subject", "time", "data", "datacontenttype", "dataschema"]
)
_LONGEST = 255
_EXTENSION = re.compile(r"[a-z0-9]{1,40}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,30})?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)
_JSON_TYPE = re.compile(r"application/(json|[\w.+-]+\+json)\s*(;.*)?", re.ASCII | re.IGNORECASE)


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


def read(raw: bytes, *, at: datetime, window: Window) -> ReadEvent:
    """Read one event that arrived at ``at``, or raise :class:`EventRefusal`."""
    if len(raw) > MAX_EVENT_BYTES:
        raise EventRefusal("event.too_large", f"The event has {len(raw):,} bytes; {MAX_EVENT_BYTES:,} is the most.")
    event = decode(raw)
    try:
        return _read_attributes(event, raw, at, window)
    except EventRefusal as refusal:
        known = event.get("id")
        refusal.event_id = known[:255] if isinstance(known, str) else None
        raise


def _read_attributes(event: dict[str, Any], raw: bytes, at: datetime, window: Window) -> ReadEvent:
    """Check every attribute, the cheap way first: events are many and most of them are right."""
    if event.get("specversion") != "1.0":
        raise EventRefusal("event.specversion", "specversion must be “1.0”: events are CloudEvents 1.0.")
    identifier, source, kind, subject = _required(event)
    extensions = None if _ATTRIBUTES.issuperset(event) else _extensions(event)
    data = event.get("data")
    if data is None:
        data = {}
    elif type(data) is not dict:
        raise EventRefusal("event.data_not_an_object", "data must be a JSON object: meters read its properties.")
    if "datacontenttype" in event or "dataschema" in event:
        extensions = _described(event, extensions)
    check(data, "data", 1)
    canonical = encode(data)
    sent = event.get("time")
    if sent is None:
        occurred_at, written = at.astimezone(UTC), ""
        instant = occurred_at.isoformat()
    else:
        occurred_at = read_time(sent)
        written = instant = occurred_at.isoformat()
    check_unambiguous(event, raw)
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
        extensions=None if extensions is None else encode(extensions).decode(),
    )


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
            "event.too_old",
            f"time is before {window.earliest:%Y-%m-%dT%H:%M:%SZ}. Older usage is brought in by an operator: "
            "manage.py backfill FILE.ndjson --label … (since 2000).",
        )
    if occurred_at > window.latest:
        raise EventRefusal("event.too_far_ahead", f"time is after {window.latest:%Y-%m-%dT%H:%M:%SZ}. Check the clock.")


def _required(event: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """id, source, type and subject; all four at once when nothing is wrong with any."""
    values = (event.get("id"), event.get("source"), event.get("type"), event.get("subject"))
    for value in values:
        if type(value) is not str or not 0 < len(value) <= _LONGEST:
            break
    else:
        if "".join(values).isprintable():  # type: ignore[arg-type]  # they are strings
            return values  # type: ignore[return-value]
    return _text(event, "id"), _text(event, "source"), _text(event, "type"), _text(event, "subject")


def _text(event: Mapping[str, Any], name: str) -> str:
    value = event.get(name)
    if type(value) is not str or not value:
        if value is None or value == "":
            raise EventRefusal(f"event.{name}_missing", f"{name} is missing.")
        raise EventRefusal(f"event.{name}_invalid", f"{name} must be a string.")
    if len(value) > _LONGEST:
        raise EventRefusal(f"event.{name}_invalid", f"{name} has more than {_LONGEST} characters.")
    if _CONTROL.search(value):
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
        check(value, name, 1)
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
