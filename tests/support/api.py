"""Calling the API as a program does: with a key, JSON and an Idempotency-Key. Every answer is held to the document."""

import itertools
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.test import Client
from jsonschema import Draft202012Validator
from jsonschema.validators import validator_for

from billing_ops.kit.actor import system
from billing_ops.kit.http import issuing
from billing_ops.kit.http.scopes import SCOPES

ROOT = "/api/v1"
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
    """An API client. ``post`` sends a fresh Idempotency-Key unless ``idem`` says another (or ``None``: no header).

    Answers of the product's own API are checked against its OpenAPI document: a status that is not documented, or a
    body that is not as documented, fails the test.
    """

    key: str | None = field(default_factory=new_key, repr=False)
    client: Client = field(default_factory=lambda: Client(raise_request_exception=False))
    root: str = ROOT

    def get(self, path: str, query: dict[str, Any] | None = None, **headers: str) -> Any:
        answer = self.client.get(self.root + path, query or {}, headers=self._headers(headers))
        return self._held(answer, "GET", path)

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
        answer = self.client.generic(method, self.root + path, body, content_type=type, headers=self._headers(headers))
        return self._held(answer, method, path)

    def _headers(self, more: dict[str, str]) -> dict[str, str]:
        own = {"Authorization": f"Bearer {self.key}"} if self.key is not None else {}
        return own | {name.replace("_", "-"): value for name, value in more.items()}

    def _held(self, answer: Any, method: str, path: str) -> Any:
        if self.root == ROOT:
            assert_documented(answer, method, self.root + path.partition("?")[0])
        return answer


@cache
def openapi() -> dict[str, Any]:
    """The product's OpenAPI document as a client gets it."""
    from billing_ops.api import api

    document: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
    return document


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    """Every operation of the document: method, path template and entry."""
    return [
        (method.upper(), path, operation)
        for path, entry in openapi()["paths"].items()
        for method, operation in entry.items()
    ]


def assert_documented(answer: Any, method: str, path: str) -> None:
    """The operation's document has this status, with this media type and this shape of body."""
    operation = _find(method, path)
    if operation is None:
        assert answer.status_code in (404, 405), f"{method} {path} is not in the document"
        return
    documented = operation["responses"].get(str(answer.status_code))
    assert documented, f"{operation['operationId']}: {answer.status_code} is not documented: {answer.content!r}"
    if "$ref" in documented:
        documented = resolve(documented["$ref"])
    for name in documented.get("headers", {}):
        assert name in answer.headers or name == "Idempotent-Replayed", f"{name} is missing"
    media_type = answer.headers["Content-Type"].partition(";")[0]
    schema = documented["content"][media_type]["schema"]
    validator = Draft202012Validator({**schema, "components": openapi()["components"]})
    problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer.json())]
    assert not problems, f"{operation['operationId']}: {problems[:5]}"


def resolve(reference: str) -> dict[str, Any]:
    """What ``#/components/…`` points to; raises ``KeyError`` when it points nowhere."""
    found: Any = openapi()
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    assert isinstance(found, dict)
    return found


def _find(method: str, path: str) -> dict[str, Any] | None:
    matching = [
        (template.count("{"), operation)
        for known, template, operation in operations()
        if known == method and re.fullmatch(re.sub(r"\{[^}]+\}", "[^/]+", template), path)
    ]
    return min(matching, key=lambda found: found[0])[1] if matching else None


def check_schema(schema: dict[str, Any]) -> None:
    """Raise ``SchemaError`` if this is no JSON Schema of 2020-12, OpenAPI 3.1's dialect."""
    validator_for(schema, default=Draft202012Validator).check_schema(schema)
