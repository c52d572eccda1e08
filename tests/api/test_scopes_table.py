"""Each operation × no key, malformed, unknown, wrong, expired, revoked, and every scope but the one it needs."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from billing_ops.kit.actor import system
from billing_ops.kit.http import issuing
from billing_ops.kit.http.scopes import SCOPES
from tests.support.api import Api, new_key, operations

TABLE = [(method, path, operation["security"][0]["ApiKeyAuth"][0]) for method, path, operation in operations()]


@pytest.fixture(params=TABLE, ids=[f"{method} {path}" for method, path, _ in TABLE])
def operation(request: pytest.FixtureRequest, db: None) -> tuple[str, str, str]:
    method, path, scope = request.param
    return method, re.sub(r"\{[^}]+\}", "nothing-of-that-name", path).removeprefix("/api/v1"), scope


def _call(key: str | None, method: str, path: str) -> Any:
    """The least that reaches the door: what is wrong behind it (no such thing, an empty body) does not matter."""
    api = Api(key=key)
    return api.get(path) if method == "GET" else api.raw(method, path, b"{}")


def test_the_table_is_not_empty() -> None:
    assert len(TABLE) >= 5


@pytest.mark.parametrize(
    ("case", "code"),
    [
        ("none", "auth.key_missing"),
        ("malformed", "auth.key_malformed"),
        ("unknown", "auth.key_unknown"),
        ("wrong secret", "auth.key_unknown"),
        ("expired", "auth.key_expired"),
        ("revoked", "auth.key_revoked"),
    ],
)
def test_a_key_that_is_not_good_is_401(operation: tuple[str, str, str], case: str, code: str) -> None:
    method, path, _ = operation
    past = datetime.now(UTC) - timedelta(days=2)
    good = new_key()
    key = {
        "none": None,
        "malformed": "sk_live_x",
        "unknown": "bo_zzzzzzzzzz_" + "0" * 64,
        "wrong secret": good[:-64] + "0" * 64,
        "expired": new_key(at=past, expires_at=past + timedelta(days=1)),
        "revoked": good,
    }[case]
    if case == "revoked":
        issuing.revoke(prefix=good.split("_")[1], at=datetime.now(UTC), actor=system("tests"))
    answer = _call(key, method, path)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer ")


def test_every_other_scope_together_is_not_enough(operation: tuple[str, str, str]) -> None:
    method, path, scope = operation
    answer = _call(new_key(*(SCOPES.keys() - {scope})), method, path)
    assert (answer.status_code, answer.json()["details"]) == (403, {"scope": scope})


def test_its_own_scope_alone_is_enough(operation: tuple[str, str, str]) -> None:
    method, path, scope = operation
    assert _call(new_key(scope), method, path).status_code not in (401, 403, 500, 503)
