"""``Idempotency-Key``: a request that makes something makes it once, however often it is sent.

The first request runs and its answer is stored in the same transaction as its effect; others with the same key wait
for it and get the stored answer, to the byte, with ``Idempotent-Replayed: true``. Another request under the key is
refused and told which fields differ. A refusal is **not** stored: it wrote nothing, and the same request may succeed
once its cause is gone. Keys belong to the API key that sent them and are kept for ever.
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from django.db import connection, transaction
from django.http import HttpResponse
from pydantic import BaseModel

from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError, Conflict, IdempotencyMismatch
from billing_ops.kit.http.auth import ApiRequest
from billing_ops.kit.http.rendering import dumps
from billing_ops.models import IdempotencyRecord

HEADER: Final = "Idempotency-Key"
_KEY = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_ABSENT: Final = object()


class KeyMissing(BillingError):
    """A request that makes something came without a key."""

    code = "idempotency.key_missing"
    http_status = 400
    remedy = "Send an Idempotency-Key header, new for each new request (a UUID, say) and the same when you retry it."


class KeyInvalid(BillingError):
    """The key is too long or has characters beyond visible ASCII."""

    code = "idempotency.key_invalid"
    http_status = 400
    remedy = "Use 1 to 255 visible ASCII characters without spaces."


class InProgress(Conflict):
    """The same key is in use by a request that is still being worked on."""

    code = "idempotency.in_progress"
    kept = "Nothing was done twice."
    remedy = "Send the same request again after the seconds that Retry-After says, to get its answer."
    headers: ClassVar[dict[str, str]] = {"Retry-After": "2"}


def key_of(request: ApiRequest) -> str:
    """The request's ``Idempotency-Key`` as sent; raises :class:`KeyMissing` or :class:`KeyInvalid`."""
    key = request.headers.get(HEADER)
    if not key:
        raise KeyMissing("The request has no Idempotency-Key.")
    if not _KEY.fullmatch(key):
        raise KeyInvalid("The Idempotency-Key is not usable.")
    return key


def operation_key(request: ApiRequest) -> str:
    """A natural key for the operation that the request asks for, 46 characters, unique to the API key and its key."""
    return f"api:{request.auth.prefix}:{hashlib.sha256(key_of(request).encode()).hexdigest()[:31]}"


def once(
    request: ApiRequest, values: Mapping[str, Any], run: Callable[[], tuple[int, Any]], *, operation: str
) -> HttpResponse:
    """Answer the request by ``run()`` (status and answer), or by what the same request was answered before.

    1. Lock the key (an advisory lock of the transaction), so that a second sender waits for the first.
    2. Stored already: the same request gets the stored answer, another raises :class:`IdempotencyMismatch`.
    3. Else run, store, commit: effect and record together. An exception from ``run`` stores nothing.
    """
    asked = _Asked.by(request, values, operation)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [asked.lock])
        return _replay(asked) or _store(asked, *run())


def once_apart(
    request: ApiRequest, values: Mapping[str, Any], run: Callable[[], tuple[int, Any]], *, operation: str
) -> HttpResponse:
    """Like :func:`once` for an operation of several transactions, whose steps have natural keys of their own.

    The key is locked for the session and not for a transaction; a second sender does not wait for a call to another
    company but is refused with :class:`InProgress`. If this process dies before the answer is stored, the same request
    runs again, and the operation's own keys see to it that what was done is found done.
    """
    asked = _Asked.by(request, values, operation)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [asked.lock])
        (mine,) = cursor.fetchone()
    if not mine:
        raise InProgress("The same request is being worked on.")
    try:
        return _replay(asked) or _store(asked, *run())
    finally:
        with connection.cursor() as cursor:  # a connection that was lost has lost the lock as well
            cursor.execute("SELECT pg_advisory_unlock(%s)", [asked.lock])


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Paths of the fields in which two JSON values differ, e.g. ``["amount", "tiers.1.up_to"]``."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = list(after) + [key for key in before if key not in after]
        parts = [(str(key), before.get(key, _ABSENT), after.get(key, _ABSENT)) for key in keys]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        parts = [(str(index), *pair) for index, pair in enumerate(zip(before, after, strict=True))]
    else:
        same = before == after and isinstance(before, bool) == isinstance(after, bool)  # Python says True == 1
        return [] if same else [path or "body"]
    return [
        found for name, one, other in parts for found in differences(one, other, f"{path}.{name}" if path else name)
    ]


@dataclass(frozen=True, slots=True)
class _Asked:
    """One request under its key, in a form that can be compared."""

    principal: str
    key: str
    operation: str
    sent: Any
    lock: int

    @classmethod
    def by(cls, request: ApiRequest, values: Mapping[str, Any], operation: str) -> "_Asked":
        key, principal = key_of(request), f"api_key:{request.auth.prefix}"
        digest = hashlib.sha256(f"{principal}\0{key}".encode()).digest()
        lock = int.from_bytes(digest[:8], "big", signed=True)
        return cls(principal, key, operation, _canonical(values), lock)


def _store(asked: _Asked, status: int, answer: Any) -> HttpResponse:
    text = dumps(answer.model_dump(by_alias=True) if isinstance(answer, BaseModel) else answer)
    IdempotencyRecord.objects.create(
        principal=asked.principal,
        key=asked.key,
        operation=asked.operation,
        request=asked.sent,
        status=status,
        response=text,
        created_at=clock.now(),
    )
    return HttpResponse(text, status=status, content_type="application/json; charset=utf-8")


def _replay(asked: _Asked) -> HttpResponse | None:
    stored = IdempotencyRecord.objects.filter(principal=asked.principal, key=asked.key).first()
    if stored is None:
        return None
    differs = ["operation"] if stored.operation != asked.operation else differences(stored.request, asked.sent)
    if differs:
        raise IdempotencyMismatch(
            f"This Idempotency-Key was used for another request; it differs in {', '.join(differs)}.",
            differs=differs,
        )
    return HttpResponse(
        stored.response,
        status=stored.status,
        content_type="application/json; charset=utf-8",
        headers={"Idempotent-Replayed": "true"},
    )


def _canonical(values: Mapping[str, Any]) -> Any:
    """What was asked, as understood: path and body with defaults filled in, so two spellings of it are the same."""
    plain: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, BaseModel):
            plain.update(value.model_dump())
        else:
            plain[name] = value
    return json.loads(dumps(plain))
