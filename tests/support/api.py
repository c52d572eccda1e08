"""Calling the API as a program does: with a key, JSON and an Idempotency-Key."""

import itertools
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.test import Client

from billing_ops.kit.actor import system
from billing_ops.kit.http import issuing
from billing_ops.kit.http.scopes import SCOPES

_numbers = itertools.count(1)


def new_key(*scopes: str, at: datetime | None = None, expires_at: datetime | None = None) -> str:
    """A new API key's text; without scopes it has all of them."""
    made = issuing.issue(
        name="test",
        scopes=scopes or list(SCOPES),
        at=at or datetime.now(UTC),
        actor=system("tests"),
        expires_at=expires_at,
    )
    return made.text


@dataclass
class Api:
    """An API client. ``post`` sends a fresh Idempotency-Key unless ``idem`` says another (or ``None``: no header)."""

    key: str | None = field(default_factory=new_key, repr=False)
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))
    root: str = "/api/v1"

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
        return self.client.get(self.root + path, query or {}, headers=self._headers(headers))

    def post(self, path: str, body: Any = None, *, idem: str | None = "", **headers: str) -> Any:
        text = "" if body is None else json.dumps(body)
        return self.raw("POST", path, text.encode(), idem=idem, **headers)

    def raw(
        self,
        method: str,
        path: str,
        body: bytes,
        *,
        type: str = "application/json",
        idem: str | None = "",
        **headers: str,
    ) -> Any:
        """Send these bytes as that media type."""
        if idem is not None:
            headers["Idempotency-Key"] = idem or f"test-{next(_numbers)}"
        return self.client.generic(method, self.root + path, body, content_type=type, headers=self._headers(headers))

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        own = {"Authorization": f"Bearer {self.key}"} if self.key is not None else {}
        return own | {name.replace("_", "-"): value for name, value in more.items()}
