"""The body of an ingest request, split into raw events by its media type; none of them is understood here yet."""

import re
from collections.abc import Sequence

import msgspec

from billing_ops.kit.errors import BillingError

MAX_EVENTS = 10_000
MAX_BODY_BYTES = 10 * 1000 * 1000

SINGLE = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
EITHER = "application/json"
LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl"})

_OFFSET = re.compile(r"\(byte (\d+)\)")
_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{},]', re.DOTALL)  # possessive: no memory for ways back
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
        events: Sequence[bytes] = [line for line in body.split(b"\n") if line.strip(_SPACE)]
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


def _array(body: bytes) -> list[bytes]:
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
        raise TooManyEvents(f"The body has {count:,} events.", limit=MAX_EVENTS)


def _malformed(body: bytes, error: Exception) -> MalformedBody:
    found = _OFFSET.search(str(error))
    offset = int(found[1]) if found else len(body)
    return MalformedBody(f"The body is not JSON, at byte {offset:,}: {error}.", offset=offset)


def _array_by_hand(body: bytes) -> list[bytes]:
    """Split an array whose events nest too deeply for the decoder: one deep event must not sink its batch."""
    events: list[bytes] = []
    depth, start = 0, 0
    for token in _TOKEN.finditer(body):
        mark = token[0]
        if mark in {b"[", b"{"}:
            depth += 1
            if depth == 1:
                start = token.end()
        elif mark in {b"]", b"}"}:
            depth -= 1
            if depth == 0:
                last = body[start : token.start()].strip(_SPACE)
                return [*events, last] if last or events else events
        elif mark == b"," and depth == 1:
            events.append(body[start : token.start()].strip(_SPACE))
            start = token.end()
    raise MalformedBody(f"The body is not JSON: its array does not end, at byte {len(body):,}.", offset=len(body))
