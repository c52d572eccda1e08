"""API keys: ``Authorization: Bearer bo_<prefix>_<secret>``.

The secret has 256 random bits, so its SHA-256 is enough to keep and nothing slower is needed to compare. A key's row
is remembered in this process for :data:`CACHE_SECONDS`: the hot path does not ask the database each time, and a
revocation takes effect everywhere within that time. The key itself is never stored or logged.
"""

import hashlib
import hmac
import re
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.http import HttpRequest

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError
from billing_ops.models import ApiKey

CACHE_SECONDS: Final = 5
_CACHE_ROWS: Final = 2048
_KEY = re.compile(r"bo_([a-z0-9]{10})_([0-9a-f]{64})", re.ASCII)
_NOBODY: Final = "0" * 64


class Unauthenticated(BillingError):
    """No usable API key came with the request."""

    http_status = 401
    remedy = "Send a valid API key as “Authorization: Bearer bo_…”."

    @property
    def headers(self) -> dict[str, str]:
        """``WWW-Authenticate`` as RFC 6750 has it."""
        why = f'error="invalid_token", error_description="{self.message}"'
        return {"WWW-Authenticate": f'Bearer realm="billing-ops", {why}'}


class KeyMissing(Unauthenticated):
    """There is no Authorization header."""

    code = "auth.key_missing"

    @property
    def headers(self) -> dict[str, str]:
        return {"WWW-Authenticate": 'Bearer realm="billing-ops"'}


class KeyMalformed(Unauthenticated):
    """The Authorization header does not hold a key of ours."""

    code = "auth.key_malformed"


class KeyUnknown(Unauthenticated):
    """No such key, or its secret is another."""

    code = "auth.key_unknown"


class KeyExpired(Unauthenticated):
    """The key was valid until ``expires_at``."""

    code = "auth.key_expired"


class KeyRevoked(Unauthenticated):
    """A person withdrew the key."""

    code = "auth.key_revoked"


class ScopeMissing(BillingError):
    """The key is valid but may not do this; ``details["scope"]`` is what it lacks."""

    code = "auth.scope_missing"
    http_status = 403

    @property
    def headers(self) -> dict[str, str]:
        """``WWW-Authenticate`` as RFC 6750 has it."""
        scope = self.details["scope"]
        return {"WWW-Authenticate": f'Bearer realm="billing-ops", error="insufficient_scope", scope="{scope}"'}


@dataclass(frozen=True, slots=True)
class Caller:
    """The program behind a request: what its key says."""

    prefix: str
    name: str
    scopes: frozenset[str]

    @property
    def actor(self) -> Actor:
        return Actor("api_key", self.prefix, self.name)


class ApiRequest(HttpRequest):
    """A request that came through the door of an operation."""

    auth: Caller


@dataclass(frozen=True, slots=True)
class _Known:
    secret_sha256: str
    caller: Caller
    expires_at: datetime | None
    revoked_at: datetime | None


_cache: OrderedDict[str, tuple[float, _Known | None]] = OrderedDict()
_lock = threading.Lock()


def authenticate(authorization: str, *, scope: str, at: datetime) -> Caller:
    """Who sends this ``Authorization`` header, if the key is good for ``scope`` at ``at``.

    Raises :class:`Unauthenticated` (401) or :class:`ScopeMissing` (403). Whether a key expired or was revoked is told
    only to who holds its secret.
    """
    if not authorization:
        raise KeyMissing("The request has no API key.")
    scheme, _, token = authorization.partition(" ")
    found = _KEY.fullmatch(token.strip()) if scheme.lower() == "bearer" else None
    if not found:
        raise KeyMalformed("The Authorization header does not hold an API key.")
    prefix, secret = found.groups()
    known = _look_up(prefix)
    digest = hashlib.sha256(secret.encode()).hexdigest()
    if not hmac.compare_digest(digest, known.secret_sha256 if known else _NOBODY) or known is None:
        raise KeyUnknown("The API key is not known.")
    if known.revoked_at is not None and known.revoked_at <= at:
        raise KeyRevoked("The API key was revoked.")
    if known.expires_at is not None and known.expires_at <= at:
        raise KeyExpired("The API key has expired.")
    if scope not in known.caller.scopes:
        raise ScopeMissing(
            f"The API key may not do this: it lacks the scope {scope}.",
            remedy=f"Use a key that has the scope {scope}.",
            scope=scope,
        )
    return known.caller


def forget(prefix: str | None = None) -> None:
    """Drop what this process remembers of one key, or of all."""
    with _lock:
        if prefix is None:
            _cache.clear()
        else:
            _cache.pop(prefix, None)


def _look_up(prefix: str) -> _Known | None:
    """The key's row, at most :data:`CACHE_SECONDS` old; unknown prefixes are remembered too, in bounded memory."""
    now = time.monotonic()
    with _lock:
        kept = _cache.get(prefix)
    if kept is not None and now - kept[0] < CACHE_SECONDS:
        return kept[1]
    row = ApiKey.objects.filter(prefix=prefix).first()
    known = None
    if row is not None:
        caller = Caller(row.prefix, row.name, frozenset(row.scopes))
        known = _Known(row.secret_sha256, caller, row.expires_at, row.revoked_at)
    with _lock:
        _cache[prefix] = (now, known)
        _cache.move_to_end(prefix)
        while len(_cache) > _CACHE_ROWS:
            _cache.popitem(last=False)
    return known
