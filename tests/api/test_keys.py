"""API keys: shown once, stored hashed, scoped, expiring, revocable, and cheap to check."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from billing_ops.kit.actor import system
from billing_ops.kit.http import auth, issuing
from billing_ops.kit.http.scopes import SCOPES
from billing_ops.models import ApiKey, AuditEntry
from tests.support.api import Api, new_key

NOW = datetime(2025, 1, 1, tzinfo=UTC)
ACTOR = system("tests")


def _status(notes: Api, key: str | None) -> tuple[int, str, str]:
    answer = Api(key=key, root=notes.root).get("/notes")
    code = "" if answer.status_code == 200 else answer.json()["code"]
    return answer.status_code, code, answer.headers.get("WWW-Authenticate", "")


def test_a_key_is_kept_as_a_hash_and_named_in_the_trail(db: None) -> None:
    issued = issuing.issue(name="collector", scopes=["usage:read", "events:write"], at=NOW, actor=ACTOR)
    secret = issued.text.rpartition("_")[2]
    row = ApiKey.objects.get()
    assert len(bytes.fromhex(secret)) * 8 == 256
    stored = [str(value) for value in ApiKey.objects.values_list().get()]
    assert not any(secret in value for value in stored)
    assert secret not in repr(issued)
    assert row.scopes == ["events:write", "usage:read"]
    entry = AuditEntry.objects.get(action="api_key.issued")
    assert entry.subject_key == row.prefix
    assert secret not in str(entry.changes) + entry.summary


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"scopes": ["root"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"expires_at": NOW}, "expires_at"),
    ],
)
def test_a_senseless_key_is_refused(db: None, changes: dict[str, Any], field: str) -> None:
    asked: dict[str, Any] = {"name": "collector", "scopes": ["usage:read"], "at": NOW, "actor": ACTOR} | changes
    with pytest.raises(issuing.BadKeyRequest) as refusal:
        issuing.issue(**asked)
    assert refusal.value.details["field"] == field
    assert not ApiKey.objects.exists()


def test_the_database_keeps_nothing_but_hashes(db: None) -> None:
    with pytest.raises(IntegrityError, match="api_key_hashed"), transaction.atomic():
        ApiKey.objects.create(
            name="x", prefix="p", secret_sha256="the secret itself", scopes=[], created_at=NOW, created_by="x"
        )


def test_a_good_key_passes_and_its_answer_is_not_cached(notes: Api) -> None:
    assert _status(notes, notes.key) == (200, "", "")
    assert notes.get("/notes").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "header",
    ["Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "Bearer bo_short_00", "bo_abcdefghij_" + "0" * 64,
     "Bearer bo_abcdefghij_" + "٣" * 64, "Bearer bo_abcdefghij_" + "0" * 5000],
)  # fmt: skip
def test_a_malformed_key_is_401(notes: Api, header: str) -> None:
    answer = notes.client.get("/api/test/notes", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "auth.key_malformed")
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_no_key_is_401_without_an_error_in_the_challenge(notes: Api) -> None:
    assert _status(notes, None) == (401, "auth.key_missing", 'Bearer realm="billing-ops"')


def test_an_unknown_prefix_and_a_wrong_secret_look_alike(notes: Api) -> None:
    assert notes.key
    known_prefix = notes.key[:-64] + "0" * 64
    unknown = "bo_zzzzzzzzzz_" + "0" * 64
    assert _status(notes, known_prefix)[:2] == _status(notes, unknown)[:2] == (401, "auth.key_unknown")


def test_an_expired_key_is_told_so_only_to_its_holder(notes: Api, clock: Any) -> None:
    key = new_key(at=clock.now(), expires_at=clock.now() + timedelta(seconds=10))
    assert _status(notes, key)[0] == 200
    clock.set(clock.now() + timedelta(seconds=10))
    assert _status(notes, key)[:2] == (401, "auth.key_expired")
    assert _status(notes, key[:-1] + ("0" if key[-1] != "0" else "1"))[:2] == (401, "auth.key_unknown")


def test_a_revoked_key_stops_here_at_once(notes: Api, django_capture_on_commit_callbacks: Any) -> None:
    key = new_key()
    assert _status(notes, key)[0] == 200
    with django_capture_on_commit_callbacks(execute=True):
        issuing.revoke(prefix=key.split("_")[1], at=datetime.now(UTC), actor=ACTOR)
        issuing.revoke(prefix=key.split("_")[1], at=datetime.now(UTC), actor=ACTOR)
    assert _status(notes, key)[:2] == (401, "auth.key_revoked")
    assert AuditEntry.objects.filter(action="api_key.revoked").count() == 1


def test_a_key_revoked_elsewhere_stops_within_five_seconds(notes: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    instant = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: instant[0])
    key = new_key()
    assert _status(notes, key)[0] == 200
    ApiKey.objects.filter(prefix=key.split("_")[1]).update(revoked_at=datetime.now(UTC) - timedelta(hours=1))
    instant[0] += auth.CACHE_SECONDS - 0.01
    assert _status(notes, key)[0] == 200
    instant[0] += 0.01
    assert _status(notes, key)[:2] == (401, "auth.key_revoked")
    assert auth.CACHE_SECONDS <= 5


def test_revoking_an_unknown_key_is_refused(db: None) -> None:
    with pytest.raises(issuing.KeyNotFound):
        issuing.revoke(prefix="nobody", at=NOW, actor=ACTOR)


def test_the_hot_path_does_not_ask_the_database(notes: Api, django_assert_num_queries: Any) -> None:
    assert notes.key
    header = f"Bearer {notes.key}"
    auth.authenticate(header, scope="events:write", at=NOW)
    with django_assert_num_queries(0):
        for _ in range(3):
            auth.authenticate(header, scope="events:write", at=NOW)


def test_guessing_keys_uses_bounded_memory(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_CACHE_ROWS", 10)
    for number in range(30):
        with pytest.raises(auth.KeyUnknown):
            auth.authenticate(f"Bearer bo_guess{number:05d}_{'0' * 64}", scope="events:write", at=NOW)
    assert len(auth._cache) == 10


def test_a_missing_scope_is_403_and_named(notes: Api) -> None:
    answer = Api(key=new_key("events:write"), root=notes.root).get("/notes")
    assert (answer.status_code, answer.json()["code"]) == (403, "auth.scope_missing")
    assert answer.json()["details"] == {"scope": "balances:read"}
    assert 'error="insufficient_scope", scope="balances:read"' in answer.headers["WWW-Authenticate"]


def test_the_command_prints_the_key_alone_and_once(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("create_api_key", "collector", "--scope", "events:write", "--expires-in-days", "30")
    printed = capsys.readouterr()
    key = printed.out.strip()
    caller = auth.authenticate(f"Bearer {key}", scope="events:write", at=datetime.now(UTC))
    assert (caller.name, caller.scopes) == ("collector", frozenset({"events:write"}))
    assert key not in printed.err


def test_the_command_gives_every_scope_on_request_and_refuses_unknown_ones(db: None) -> None:
    call_command("create_api_key", "all", "--scope", "all")
    assert len(ApiKey.objects.get().scopes) == len(SCOPES)
    with pytest.raises(CommandError, match="Unknown scopes: root"):
        call_command("create_api_key", "bad", "--scope", "root")


@pytest.mark.parametrize("table", ["billing_ops_auditentry", "billing_ops_idempotencyrecord"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}", "TRUNCATE {}"])
def test_facts_are_not_changed_by_the_application_nor_by_the_owner(fresh_db: Any, table: str, change: str) -> None:
    from psycopg import errors

    issuing.issue(name="collector", scopes=["usage:read"], at=NOW, actor=ACTOR)
    with fresh_db.connect(role="owner") as owner:
        owner.execute(
            "INSERT INTO billing_ops_idempotencyrecord"
            " (principal, key, operation, request, status, response, created_at)"
            " VALUES ('p', 'k', 'o', '{}', 201, '{}', now())"
        )
        with pytest.raises(errors.RestrictViolation, match=table):
            owner.execute(change.format(table))
    with fresh_db.connect() as app, pytest.raises(errors.InsufficientPrivilege):
        app.execute(change.format(table))
    connection.close()
