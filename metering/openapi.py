"""The events endpoint's body for the OpenAPI document: it is read by hand, so it is described by hand."""

from typing import Any, Final

from metering.rules import bodies

_TEXT: Final[dict[str, Any]] = {"type": "string", "minLength": 1, "maxLength": 255}

EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A CloudEvent 1.0. Extension attributes (lower-case letters and digits) are kept beside it.",
    "required": ["specversion", "id", "source", "type", "subject"],
    "properties": {
        "specversion": {"type": "string", "enum": ["1.0"]},
        "id": {**_TEXT, "description": "Unique within its source; ids that grow with time are stored faster."},
        "source": {**_TEXT, "description": "Where it happened. Identity is (source, id)."},
        "type": {**_TEXT, "description": "What happened: meters listen to a type."},
        "subject": {**_TEXT, "description": "The customer's key. It may be made later."},
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "When it happened, with its zone: at most 35 days ago and one hour ahead. Digits beyond the "
            "microsecond are cut off. Left out: when it arrived.",
        },
        "datacontenttype": {"type": "string", "enum": ["application/json"]},
        "dataschema": {"type": "string"},
        "data": {
            "type": "object",
            "description": "Properties. Numbers have at most 20 digits before and 12 after the point.",
        },
    },
    "example": {
        "specversion": "1.0",
        "id": "01J9ZC3V0D",
        "source": "/gateway/eu-1",
        "type": "llm.request",
        "subject": "cus-7",
        "time": "2025-01-31T23:59:59.123456Z",
        "data": {"context_tokens": 374, "model": "large"},
    },
}
_EVENTS: Final[dict[str, Any]] = {"type": "array", "items": EVENT, "maxItems": bodies.MAX_EVENTS}

INGEST_BODY: Final[dict[str, Any]] = {
    "required": True,
    "content": {
        bodies.SINGLE: {"schema": EVENT},
        bodies.BATCH: {"schema": _EVENTS},
        bodies.EITHER: {"schema": {"oneOf": [EVENT, _EVENTS]}},
        "application/x-ndjson": {"schema": {"type": "string", "description": "One event a line."}},
    },
}
