"""The body of an ingest request, split into raw events by its media type; none of them is understood here yet."""

import re
from collections.abc import Sequence

import msgspec

from billing_ops.kit.errors import BillingError

MAX_EVENTS = 10_000
MAX_BODY_BYTES = 10 * 1000 * 1000
MANY_COMMAS = 40 * MAX_EVENTS
"""An array with more of them is counted before it is decoded: every element of a decoded one takes some 100 bytes."""
MAX_STEPS = 500_000
"""Brackets that counting looks at: fifty in each of 10,000 events."""

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EITHER = "application/json"
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

_OFFSET = re.compile(r"\(byte (\d+)\)")
_STRING = rb'"(?:[^"\\]++|\\.)*+"'  # possessive: no memory for ways back
_BETWEEN = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+([\[\]{},])", re.DOTALL)
_INSIDE = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+([\[\]{}])", re.DOTALL)
_LINE = re.compile(rb"[^ \t\r\n][^\n]*")
_SPACE = b" \t\r\n"


class MalformedBody(BillingError):
    """The body is not JSON; ``details["offset"]`` is the byte where reading stopped."""

    code = "events.malformed_json"
    http_status = 400
    kept = "Nothing was stored."
    remedy = "Mend the body and send it again; events that were stored before are recognised as duplicates."


class TooManyEvents(BillingError):
    """More events than one request may carry."""

    code = "events.too_many"
    http_status = 413
    kept = "Nothing was stored."
    remedy = f"Send at most {MAX_EVENTS:,} events a request."


class BodyTooLarge(BillingError):
    """More bytes than one request may carry."""

    code = "events.body_too_large"
    http_status = 413
    kept = "Nothing was stored."
    remedy = f"Send at most {MAX_BODY_BYTES // 1_000_000} MB a request."


class TooNested(BillingError):
    """So many brackets that to find the events among them would take seconds."""

    code = "events.too_nested"
    http_status = 413
    kept = "Nothing was stored."
    remedy = "Send events with flat data, or fewer of them a request."


class UnknownMediaType(BillingError):
    """A content type that is none of the ways to send events."""

    code = "events.media_type"
    http_status = 415
    kept = "Nothing was stored."
    remedy = f"Use {SINGLE}, {BATCH}, {EITHER} or application/x-ndjson, in UTF-8."


def split(body: bytes, content_type: str) -> tuple[Sequence[bytes], bool]:
    """Return the raw events of a body, and whether it was a single event rather than a batch.

    A line that is not JSON is left to the reading of that event; an array that is not JSON is refused as a whole.
    """
    if len(body) > MAX_BODY_BYTES:
        raise BodyTooLarge(f"The body has {len(body):,} bytes.", limit=MAX_BODY_BYTES)
    media_type = _media_type(content_type)
    if media_type in LINES:
        events: Sequence[bytes] = _lines(body)
        single = False
    else:
        is_array = body.lstrip(_SPACE)[:1] == b"["
        if media_type == SINGLE and is_array:
            raise UnknownMediaType(f"{SINGLE} is one event, and the body is an array.")
        if media_type == BATCH and not is_array:
            raise UnknownMediaType(f"{BATCH} is an array of events, and the body is not one.")
        single = not is_array
        events = [_one(body)] if single else _array(body)
    _limit(len(events))
    return events, single


def _media_type(content_type: str) -> str:
    name, *parameters = (part.strip().lower() for part in content_type.split(";"))
    for parameter in parameters:
        key, _, value = parameter.partition("=")
        if key.strip() == "charset" and value.strip(' "') not in {"utf-8", "utf8", "us-ascii"}:
            raise UnknownMediaType(f"The charset “{value[:40]}” is not read.")
    if name not in LINES and name not in {SINGLE, BATCH, EITHER}:
        raise UnknownMediaType(f"“{name[:80]}” is no media type for events." if name else "There is no Content-Type.")
    return name


_raw_event = msgspec.json.Decoder(msgspec.Raw)
_raw_events = msgspec.json.Decoder(list[msgspec.Raw])


def _one(body: bytes) -> bytes:
    if not body.strip(_SPACE):
        raise MalformedBody("The body is empty.", offset=len(body))
    try:
        _raw_event.decode(body)
    except RecursionError:
        pass  # well-formed or not, the event is refused by name when it is read
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(body, error) from None
    return body


def _lines(body: bytes) -> list[bytes]:
    """Every line that is not empty, up to the first too many."""
    lines: list[bytes] = []
    for line in _LINE.finditer(body):
        lines.append(line[0])
        _limit(len(lines))
    return lines


def _array(body: bytes) -> list[bytes]:
    if body.count(b",") > MANY_COMMAS:
        _array_by_hand(body)
    try:
        found = _raw_events.decode(body)
    except RecursionError:
        return _array_by_hand(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _malformed(body, error) from None
    _limit(len(found))
    return [bytes(event) for event in found]


def _limit(count: int) -> None:
    if count > MAX_EVENTS:
        raise TooManyEvents(f"The body has more than {MAX_EVENTS:,} events.", limit=MAX_EVENTS)


def _malformed(body: bytes, error: Exception) -> MalformedBody:
    found = _OFFSET.search(str(error))
    offset = int(found[1]) if found else len(body)
    return MalformedBody(f"The body is not JSON, at byte {offset:,}: {error}.", offset=offset)


def _array_by_hand(body: bytes) -> list[bytes]:
    """Split an array that the decoder must not: one event nests too deeply for it (which must not sink its batch), or
    there may be far more elements than are allowed. Stops at the first element too many.

    Only brackets are steps, and between elements commas: what lies between is passed over by the patterns.
    """
    events: list[bytes] = []
    depth, position, start = 0, 0, 0
    for _ in range(MAX_STEPS):
        token = (_INSIDE if depth > 1 else _BETWEEN).match(body, position)
        if token is None:
            raise MalformedBody(
                f"The body is not JSON: its array does not end, at byte {len(body):,}.", offset=len(body)
            )
        position, mark = token.end(), token[1]
        if mark in b"[{":
            depth += 1
            start = position if depth == 1 else start
        elif mark in b"]}":
            depth -= 1
            if depth <= 0:
                last = body[start : position - 1].strip(_SPACE)
                return [*events, last] if last or events else events
        else:
            events.append(body[start : position - 1].strip(_SPACE))
            start = position
            _limit(len(events))
    raise TooNested(f"The body has more than {MAX_STEPS:,} brackets.", limit=MAX_STEPS)
