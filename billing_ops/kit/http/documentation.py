"""The parts of the OpenAPI document that every operation shares: problems, the idempotency key, the request id."""

from typing import Any, Final

_PROBLEMS: Final = {
    400: ("The request cannot be understood", "idempotency.key_missing", "The request has no Idempotency-Key."),
    401: ("No usable API key", "auth.key_missing", "The request has no API key."),
    403: ("The key lacks the scope", "auth.scope_missing", "The API key may not do this: it lacks the scope."),
    404: ("It does not exist", "route.not_found", "There is nothing at this address."),
    405: ("Another method is needed", "method.not_allowed", "DELETE is not possible here."),
    409: ("It contradicts what is recorded", "idempotency.mismatch", "This Idempotency-Key was used already."),
    411: ("The body's length is needed", "body.length_required", "The body's length is not announced."),
    413: ("The body is too large", "body.too_large", "The body is larger than this operation accepts."),
    415: ("Another media type is needed", "body.unsupported_type", "The body is sent as “text/plain”."),
    422: ("The content cannot be accepted", "request.invalid", "1 field cannot be accepted. amount: It is required."),
    429: ("Too much at once", "credit.draws_busy", "10000 draws wait already."),
    500: ("A failure of ours", "server.error", "The request failed for a reason that is ours."),
    502: ("Stripe refused", "stripe.refused", "Stripe refused the request as it stands."),
    503: ("Try again", "database.unavailable", "The database cannot be reached just now."),
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750."}},
    403: {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750, names the scope."}},
    405: {"Allow": {"schema": {"type": "string"}, "description": "The methods that are possible."}},
    429: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}},
    503: {"Retry-After": {"schema": {"type": "integer"}, "description": "Seconds to wait."}},
}
_FIELD_ERROR: Final = {
    "type": "object",
    "required": ["in", "field", "code", "message"],
    "properties": {
        "in": {"type": "string", "enum": ["body", "query", "path", "header"]},
        "field": {"type": "string", "description": "The field's path, e.g. `tiers.0.up_to`; empty: the whole."},
        "code": {"type": "string"},
        "message": {"type": "string"},
    },
}
_PROBLEM: Final = {
    "type": "object",
    "description": "What went wrong (RFC 9457).",
    "required": [
        "type", "title", "status", "detail", "code", "kept", "remedy", "errors", "details", "request_id",
    ],
    "properties": {
        "type": {"type": "string", "format": "uri", "examples": ["urn:billing-ops:problem:request.invalid"]},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What happened, for a person."},
        "code": {"type": "string", "description": "Stable, for a program.", "pattern": r"^[a-z0-9_]+(\.[a-z0-9_]+)*$"},
        "kept": {"type": "string", "description": "What was kept, or that nothing was changed."},
        "remedy": {"type": "string", "description": "What to do next."},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/FieldError"}},
        "details": {"type": "object", "description": "Facts for a program.", "additionalProperties": True},
        "request_id": {"type": "string"},
    },
}  # fmt: skip
_KEY_PARAMETER: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "New for each new request, the same for a retry: it happens once and the answer is the same.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": r"^[\x21-\x7e]+$"},
    "example": "5f0c9f1e-6b1d-4f0e-9c39-1f1f6f2f7f10",
}
_REQUEST_ID: Final = {
    "schema": {"type": "string"},
    "description": "The id of the request: yours if you sent a sane one.",
}
_REPLAYED: Final = {
    "schema": {"type": "string", "enum": ["true"]},
    "description": "Present when this is the stored answer of an earlier request.",
}


def complete(document: dict[str, Any]) -> None:
    """Add the shared components, and to each operation its scope and the headers of its answers."""
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update({"Problem": _PROBLEM, "FieldError": _FIELD_ERROR})
    components["responses"] = {f"Problem{status}": _response(status) for status in _PROBLEMS}
    components["parameters"] = {"IdempotencyKey": _KEY_PARAMETER}
    components["headers"] = {"RequestId": _REQUEST_ID, "IdempotentReplayed": _REPLAYED}
    for path in document["paths"].values():
        for operation in path.values():
            _complete_operation(operation)


def _complete_operation(operation: dict[str, Any]) -> None:
    scope = operation.pop("x-scope")
    operation["security"] = [{"ApiKeyAuth": [scope]}]
    operation["description"] = f"{operation.get('description', '')}\n\nScope: `{scope}`.".strip()
    keyed = any("IdempotencyKey" in parameter.get("$ref", "") for parameter in operation["parameters"])
    for status, response in operation["responses"].items():
        if int(status) < 400:
            response["headers"] = {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}}
            if keyed:
                response["headers"]["Idempotent-Replayed"] = {"$ref": "#/components/headers/IdempotentReplayed"}
    operation["responses"] = {str(status): operation["responses"][status] for status in sorted(operation["responses"])}


def _response(status: int) -> dict[str, Any]:
    description, code, detail = _PROBLEMS[status]
    example = {
        "type": f"urn:billing-ops:problem:{code}",
        "title": code.partition(".")[0].capitalize() + ": " + code.partition(".")[2].replace("_", " "),
        "status": status,
        "detail": detail,
        "code": code,
        "kept": "Nothing was changed.",
        "remedy": "",
        "errors": [],
        "details": {},
        "request_id": "1f0c9f1e6b1d4f0e9c391f1f6f2f7f10",
    }
    return {
        "description": description,
        "headers": {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}, **_HEADERS.get(status, {})},
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }
