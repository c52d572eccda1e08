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
from typing import Any, Final

from django.db import connection, transaction
from django.http import HttpResponse
from pydantic import BaseModel

from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError, IdempotencyMismatch
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
    key, principal = key_of(request), str(request.auth.actor.type) + ":" + request.auth.prefix
    sent = _canonical(values)
    with transaction.atomic():
        _lock(principal, key)
        stored = IdempotencyRecord.objects.filter(principal=principal, key=key).first()
        if stored is not None:
            return _replay(stored, operation, sent)
        status, answer = run()
        text = dumps(answer.model_dump() if isinstance(answer, BaseModel) else answer)
        IdempotencyRecord.objects.create(
            principal=principal,
            key=key,
            operation=operation,
            request=sent,
            status=status,
            response=text,
            created_at=clock.now(),
        )
    return HttpResponse(text, status=status, content_type="application/json; charset=utf-8")


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """Paths of the fields in which two JSON values differ, e.g. ``["amount", "tiers.1.up_to"]``."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = list(after) + [key for key in before if key not in after]
        parts = [(str(key), before.get(key, _ABSENT), after.get(key, _ABSENT)) for key in keys]
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        parts = [(str(index), *pair) for index, pair in enumerate(zip(before, after, strict=True))]
    else:
        return [] if before is not _ABSENT and after is not _ABSENT and before == after else [path or "body"]
    return [
        found for name, one, other in parts for found in differences(one, other, f"{path}.{name}" if path else name)
    ]


def _replay(stored: IdempotencyRecord, operation: str, sent: Any) -> HttpResponse:
    differs = ["operation"] if stored.operation != operation else differences(stored.request, sent)
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


def _lock(principal: str, key: str) -> None:
    digest = hashlib.sha256(f"{principal}\0{key}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [int.from_bytes(digest[:8], "big", signed=True)])
