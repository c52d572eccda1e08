"""Answers to what went wrong, as ``application/problem+json`` (RFC 9457)."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from django.http import HttpRequest, HttpResponse

from billing_ops.kit import request_id
from billing_ops.kit.errors import BillingError
from billing_ops.kit.http.rendering import plain_value

MEDIA_TYPE: Final = "application/problem+json"


def problem(
    *,
    status: int,
    code: str,
    detail: str,
    kept: str = "Nothing was changed.",
    remedy: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """One problem. ``code`` is stable; ``kept`` and ``remedy`` are for people; ``errors`` name fields by their path."""
    body: dict[str, Any] = {
        "type": f"urn:billing-ops:problem:{code}",
        "title": _title(code),
        "status": status,
        "detail": detail,
        "code": code,
        "kept": kept,
        "remedy": remedy,
        "errors": list(errors),
        "details": dict(details or {}),
        "request_id": request_id.current(),
    }
    return HttpResponse(
        json.dumps(body, default=plain_value), status=status, content_type=MEDIA_TYPE, headers=dict(headers or {})
    )


def from_error(error: BillingError, *, place: str = "body") -> HttpResponse:
    """The problem that a refusal stands for. A refusal that names its ``field`` lists it under ``errors`` too."""
    field = error.details.get("field")
    return problem(
        status=error.http_status,
        code=error.code,
        detail=error.message,
        kept=error.kept,
        remedy=error.remedy,
        errors=[{"in": place, "field": str(field), "code": error.code, "message": error.message}] if field else (),
        details=error.details,
        headers=getattr(error, "headers", {}),
    )


def from_status(request: HttpRequest, status: int) -> HttpResponse:
    """The problem for an answer that Django itself gave without one (no such route, wrong method, …)."""
    detail, remedy = {
        400: ("The request cannot be understood.", "Check its headers and its encoding."),
        403: ("This is not allowed.", ""),
        404: (f"There is nothing at {request.path[:200]}.", "See /api/v1/docs for what there is."),
        405: (
            f"{request.method} is not possible on {request.path[:200]}.",
            "The Allow header names the methods that are.",
        ),
        413: ("The request is larger than this server accepts.", "Send less at a time."),
    }.get(status, ("The request failed.", "Send the request id to support if it happens again."))
    codes = {400: "request.invalid", 404: "route.not_found", 405: "method.not_allowed", 413: "body.too_large"}
    fallback = "server.error" if status >= 500 else "request.refused"
    kept = "Nothing was changed." if status < 500 else UNKNOWN_OUTCOME
    return problem(status=status, code=codes.get(status, fallback), detail=detail, kept=kept, remedy=remedy)


UNKNOWN_OUTCOME: Final = (
    "Nothing is half done. Whether it took effect is not known here; sent again with the same Idempotency-Key "
    "(or the same event ids) it takes effect once."
)


def _title(code: str) -> str:
    """``invoice.not_draft`` reads “Invoice: not draft”: the same for each occurrence of a problem."""
    subject, _, what = code.partition(".")
    text = subject.replace("_", " ").capitalize()
    return f"{text}: {what.replace('_', ' ').replace('.', ', ')}" if what else text or HTTPStatus(400).phrase
