"""What the API answers to an exception. Nothing of a stack trace ever leaves; the log has it under the request id."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, UnreadablePostError
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from billing_ops.kit.errors import BillingError
from billing_ops.kit.http.problems import UNKNOWN_OUTCOME, from_error, from_status, problem

logger = logging.getLogger("billing_ops.api")

# SQLSTATE of a statement that was given up and can simply be sent again.
_BUSY: Final = {"55P03": "a lock", "57014": "its time limit", "40P01": "a deadlock", "40001": "a concurrent change"}
_KNOWN_MESSAGES: Final = {
    "missing": "It is required.",
    "extra_forbidden": "It is not a field of this request.",
    "string_type": "Write it as a string.",
}


def install(api: NinjaAPI) -> None:
    """Make every exception of an operation a problem."""
    handlers: dict[type[Exception], Any] = {
        Exception: _unexpected,
        BillingError: _refused,
        ValidationError: _invalid,
        HttpError: _http_error,
        Http404: lambda request, _error: from_status(request, 404),
        OperationalError: database_failed,
        InterfaceError: database_failed,
        RequestDataTooBig: lambda request, _error: from_status(request, 413),
        SuspiciousOperation: lambda request, _error: from_status(request, 400),
        UnreadablePostError: lambda request, _error: from_status(request, 400),
    }
    for kind, handler in handlers.items():
        api.add_exception_handler(kind, handler)


def _refused(request: HttpRequest, error: BillingError) -> HttpResponse:
    return from_error(error, place="query" if request.method == "GET" else "body")


def _unexpected(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(
        status=500,
        code="server.error",
        detail="The request failed for a reason that is ours.",
        kept=UNKNOWN_OUTCOME,
        remedy="Send it again; if it happens again, send the request id to support.",
    )


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """Ninja wraps what the body's parser raised: the refusal itself says more."""
    cause = error.__cause__
    if isinstance(cause, BillingError):
        return _refused(request, cause)
    return from_status(request, error.status_code)


def database_failed(request: HttpRequest, error: Exception) -> HttpResponse:
    """503: the database is away, or gave up on this statement; the same request may be sent again."""
    state = getattr(error.__cause__, "sqlstate", None)
    logger.warning("%s %s: the database did not answer (%s)", request.method, request.path, state, exc_info=error)
    busy = _BUSY.get(state or "")
    return problem(
        status=503,
        code="database.busy" if busy else "database.unavailable",
        detail=f"The database gave up on {busy}." if busy else "The database cannot be reached just now.",
        kept=UNKNOWN_OUTCOME,
        remedy="Send the same request again after the seconds that Retry-After says.",
        headers={"Retry-After": "1" if busy else "5"},
    )


def _invalid(_request: HttpRequest, error: ValidationError) -> HttpResponse:
    found = list(_field_errors(error.errors))
    listed = "; ".join(f"{each['field'] or each['in']}: {each['message']}" for each in found[:5])
    return problem(
        status=422,
        code="request.invalid",
        detail=f"{len(found)} field{'s' if len(found) != 1 else ''} cannot be accepted. {listed}",
        remedy="Correct the fields that “errors” names.",
        errors=found[:100],
    )


def _field_errors(errors: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, str]]:
    for error in errors:
        place = [str(part) for part in error["loc"]]
        skipped = 2 if place[0] == "body" else 1  # Ninja names its own parameter first
        kind = str(error["type"])
        yield {
            "in": place[0],
            "field": ".".join(place[skipped:])[:200],
            "code": kind if "." in kind else f"field.{kind}",
            "message": _KNOWN_MESSAGES.get(kind, str(error["msg"]).removeprefix("Value error, "))[:300],
        }
