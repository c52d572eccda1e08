"""The bodies that are read by hand, described by hand."""

from typing import Any, Final

from billing_ops.kit.http.fields import AMOUNT_PATTERN
from ledger.api.bodies import MAX_ITEMS

DRAW: Final[dict[str, Any]] = {
    "type": "object",
    "description": "A draw that is asked for.",
    "required": ["customer", "unit", "amount", "key"],
    "additionalProperties": False,
    "properties": {
        "customer": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9_.:@-]{0,127}$", "examples": ["cus-7"]},
        "unit": {"type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_-]{0,23}$", "examples": ["USD"]},
        "amount": {"type": "string", "pattern": AMOUNT_PATTERN, "examples": ["0.0030"]},
        "key": {
            "type": "string",
            "pattern": r"^[\x21-\x7e]{1,200}$",
            "description": "Unique for the customer and unit. Sent again it gets the same answer; with other content "
            "it is refused. Keys that grow with time are stored faster.",
        },
        "feature": {
            "type": "string",
            "maxLength": 100,
            "description": "What was used: some credit pays only for it.",
        },
        "used_at": {
            "type": ["string", "null"],
            "format": "date-time",
            "description": "When it was used. Credit in force then may pay. Left out: now.",
        },
        "usage_ref": {"type": "string", "maxLength": 200, "description": "The event or batch that it pays for."},
        "policy": {
            "type": "string",
            "enum": ["all", "partial", "overage"],
            "default": "all",
            "description": "All or nothing; what there is; or what there is, and the rest is owed.",
        },
    },
    "example": {"customer": "cus-7", "unit": "USD", "amount": "0.0030", "key": "evt-01J9ZC3V0D", "feature": "chat"},
}


def _body(schema: dict[str, Any]) -> dict[str, Any]:
    return {"required": True, "content": {"application/json": {"schema": schema}}}


DRAW_BODY: Final = _body(DRAW)
DRAWS_BODY: Final = _body(
    {
        "type": "object",
        "required": ["draws"],
        "additionalProperties": False,
        "properties": {"draws": {"type": "array", "minItems": 1, "maxItems": MAX_ITEMS, "items": DRAW}},
    }
)
