"""Issuing and revoking API keys."""

import hashlib
import secrets
import string
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from billing_ops.kit import audit
from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import InvalidInput, NotFound
from billing_ops.kit.http import auth
from billing_ops.kit.http.scopes import SCOPES
from billing_ops.models import ApiKey

_ALPHABET = string.ascii_lowercase + string.digits


class BadKeyRequest(InvalidInput):
    """A key without a name, without scopes, with an unknown scope or already expired."""

    code = "api_key.invalid"


class KeyNotFound(NotFound):
    """No API key has that prefix."""

    code = "api_key.not_found"


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key. ``text`` is the only copy of it: show it once and forget it."""

    row: ApiKey
    text: str = field(repr=False)


def issue(
    *, name: str, scopes: Collection[str], at: datetime, actor: Actor, expires_at: datetime | None = None
) -> IssuedKey:
    """Make a key for a program. Raises :class:`BadKeyRequest`."""
    unknown = sorted(set(scopes) - SCOPES.keys())
    if unknown or not scopes:
        raise BadKeyRequest(
            f"Unknown scopes: {', '.join(unknown)}." if unknown else "The key has no scope.",
            remedy=f"Choose from {', '.join(SCOPES)}.",
            field="scopes",
        )
    if not name.strip() or len(name) > 100:
        raise BadKeyRequest("The key's name is empty or longer than 100 characters.", field="name")
    if expires_at is not None and expires_at <= at:
        raise BadKeyRequest("The key would expire before it is made.", field="expires_at")
    prefix = "".join(secrets.choice(_ALPHABET) for _ in range(10))
    secret = secrets.token_hex(32)
    with transaction.atomic():
        row = ApiKey.objects.create(
            name=name.strip(),
            prefix=prefix,
            secret_sha256=hashlib.sha256(secret.encode()).hexdigest(),
            scopes=sorted(set(scopes)),
            created_at=at,
            created_by=str(actor)[:150],
            expires_at=expires_at,
        )
        audit.record(
            at=at,
            actor=actor,
            action="api_key.issued",
            subject_type="api_key",
            subject_key=prefix,
            summary=f"API key “{row.name}” issued with {len(row.scopes)} scopes",
            changes={"scopes": [[], row.scopes]},
        )
    return IssuedKey(row, f"bo_{prefix}_{secret}")


def revoke(*, prefix: str, at: datetime, actor: Actor) -> ApiKey:
    """Withdraw a key: here at once, in other processes within :data:`auth.CACHE_SECONDS`. Twice is once."""
    with transaction.atomic():
        row = ApiKey.objects.select_for_update().filter(prefix=prefix).first()
        if row is None:
            raise KeyNotFound(f"There is no API key with the prefix “{prefix[:16]}”.")
        if row.revoked_at is None:
            row.revoked_at = at
            row.save(update_fields=["revoked_at"])
            audit.record(
                at=at,
                actor=actor,
                action="api_key.revoked",
                subject_type="api_key",
                subject_key=prefix,
                summary=f"API key “{row.name}” revoked",
                changes={"revoked_at": [None, at.isoformat()]},
            )
        transaction.on_commit(lambda: auth.forget(prefix))
    return row
