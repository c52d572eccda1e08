"""Every way to be refused is a problem: coded, explained, with the request's id and without our insides."""

import json
from typing import Any

import pytest
from django.db import OperationalError, connection

from billing_ops.kit.http import body
from billing_ops.models import AuditEntry
from tests.support.api import Api, new_key

MEMBERS = {"type", "title", "status", "detail", "code", "kept", "remedy", "errors", "details", "request_id"}


def problem_of(answer: Any, status: int, code: str) -> dict[str, Any]:
    """Assert that the answer is that problem, whole, and return it."""
    assert answer.headers["Content-Type"] == "application/problem+json", answer.content
    found: dict[str, Any] = answer.json()
    assert set(found) == MEMBERS
    assert (answer.status_code, found["status"], found["code"]) == (status, status, code)
    assert found["type"] == f"urn:billing-ops:problem:{code}"
    assert found["request_id"] == answer.headers["X-Request-ID"]
    assert found["detail"]
    assert found["kept"]
    assert "Traceback" not in answer.content.decode()
    return found


@pytest.mark.parametrize(
    ("raw", "offset"),
    [
        (b"{", 1),
        (b'{"subject": "a",}', 16),
        (b'{"subject": "a"} x', 17),
        (b"'a'", 0),
        (b'{"subject": "\xff"}', 13),
        (b'{"subject": "a\nb"}', 14),
        (b"\xef\xbb\xbf{}", 0),
    ],
)
def test_json_that_breaks_off_is_400_with_the_offset(notes: Api, raw: bytes, offset: int) -> None:
    found = problem_of(notes.raw("POST", "/notes", raw), 400, "body.malformed")
    assert found["details"] == {"offset": offset}


@pytest.mark.parametrize(
    "raw",
    [
        b'{"amount": NaN}',
        b'{"amount": Infinity}',
        b'{"amount": -Infinity}',
        b'{"subject": "a", "subject": "b"}',
        b'{"extra": {"n": ' + b"9" * 5000 + b"}}",
        b'{"extra": {"n": 1.' + b"9" * 5000 + b"}}",
        b'{"extra": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"extra": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}",
        b'{"subject": "a\\u0000"}',
        b'{"extra": {"a\\u0000": 1}}',
        b'{"subject": "\\ud800"}',
    ],
)
def test_json_that_is_ambiguous_or_unbounded_is_400(notes: Api, raw: bytes) -> None:
    problem_of(notes.raw("POST", "/notes", raw), 400, "body.malformed")
    assert not AuditEntry.objects.filter(action="note").exists()


@pytest.mark.parametrize(
    ("sent", "field", "code"),
    [
        ({}, "subject", "field.missing"),
        ({"subject": "a", "colour": "red"}, "colour", "field.extra_forbidden"),
        ({"subject": "a", "amount": 19.99}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": 19}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": "1e3"}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": "NaN"}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": "٣"}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": "1,000"}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": "-1"}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": ""}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": None}, "amount", "amount.invalid"),
        ({"subject": "a", "amount": "9" * 14}, "amount", "amount.invalid"),
        ({"subject": "a", "rate": "0.0000000000001"}, "rate", "amount.invalid"),
        ({"subject": "a", "due": "2025-01-01"}, "due", "instant.invalid"),
        ({"subject": "a", "due": "2025-01-01T00:00:00"}, "due", "instant.invalid"),
        ({"subject": "a", "due": "2025-02-31T00:00:00Z"}, "due", "instant.invalid"),
        ({"subject": "a", "due": "0001-01-01T00:00:00+14:00"}, "due", "instant.invalid"),
        ({"subject": "a", "due": 1735689600}, "due", "instant.invalid"),
        ({"subject": "a", "currency": "usd"}, "currency", "field.string_pattern_mismatch"),
        ({"subject": "a b"}, "subject", "field.string_pattern_mismatch"),
        ({"subject": "a\n"}, "subject", "field.string_pattern_mismatch"),
        ({"subject": 7}, "subject", "field.string_type"),
        ({"subject": "a", "tags": ["x", 7]}, "tags.1", "field.string_type"),
        ([], "", "field.model_type"),
        (None, "", "field.missing"),
    ],
)
def test_content_that_cannot_be_accepted_is_422_and_named(notes: Api, sent: Any, field: str, code: str) -> None:
    found = problem_of(notes.post("/notes", sent), 422, "request.invalid")
    assert {"in": "body", "field": field, "code": code} in [
        {name: error[name] for name in ("in", "field", "code")} for error in found["errors"]
    ]
    assert not AuditEntry.objects.filter(action="note").exists()


def test_a_refusal_of_the_domain_names_its_field_and_says_what_was_kept(notes: Api) -> None:
    found = problem_of(notes.post("/notes", {"subject": "a", "amount": "1.001"}), 422, "amount.invalid")
    assert found["errors"][0]["field"] == "amount"
    assert found["kept"] == "Nothing was changed."
    assert found["title"] == "Amount: invalid"


@pytest.mark.parametrize(
    ("query", "field"),
    [("?colour=red", "colour"), ("?limit=1&limit=2", "limit"), ("?customer=%00", "customer"), ("?cursor", None)],
)
def test_unknown_and_repeated_query_parameters_are_refused(notes: Api, query: str, field: str | None) -> None:
    answer = notes.get("/notes" + query)
    if field is None:
        assert answer.status_code == 200, "an empty cursor starts at the beginning"
    else:
        assert problem_of(answer, 422, "query.invalid")["details"] == {"field": field}


def test_a_query_parameter_of_an_operation_without_any_is_refused(notes: Api) -> None:
    problem_of(notes.raw("POST", "/notes?subject=a", b'{"subject": "a"}'), 422, "query.invalid")


@pytest.mark.parametrize("limit", ["0", "201", "-1", "1.5", "x", "", "1e2", "٣x"])
def test_a_limit_outside_1_to_200_is_refused(notes: Api, limit: str) -> None:
    found = problem_of(notes.get("/notes", {"limit": limit}), 422, "request.invalid")
    assert [(error["in"], error["field"]) for error in found["errors"]] == [("query", "limit")]


def test_a_path_parameter_of_another_type_is_refused(notes: Api) -> None:
    found = problem_of(notes.post("/notes/seven/send"), 422, "request.invalid")
    assert [(error["in"], error["field"]) for error in found["errors"]] == [("path", "note_id")]


@pytest.mark.parametrize(
    ("type_", "headers"),
    [
        ("text/plain", {}),
        ("", {}),
        ("application/x-www-form-urlencoded", {}),
        ("multipart/form-data; boundary=x", {}),
        ("application/json; charset=latin-1", {}),
        ("application/json", {"Content_Encoding": "gzip"}),
    ],
)
def test_another_media_type_is_415(notes: Api, type_: str, headers: dict[str, str]) -> None:
    problem_of(notes.raw("POST", "/notes", b'{"subject": "a"}', type=type_, **headers), 415, "body.unsupported_type")


def test_json_with_its_charset_named_is_read(notes: Api) -> None:
    answer = notes.raw("POST", "/notes", b'{"subject": "a"}', type="application/json; charset=UTF-8")
    assert answer.status_code == 201


def test_a_body_above_the_limit_is_413_before_it_is_read(notes: Api) -> None:
    found = problem_of(notes.raw("POST", "/notes", b" " * (1024 * 1024 + 1)), 413, "body.too_large")
    assert found["details"] == {"limit_bytes": 1024 * 1024}


def test_a_body_in_chunks_is_411_and_not_taken_for_an_empty_one(notes: Api) -> None:
    answer = notes.raw("POST", "/notes", b'{"subject": "a"}', Transfer_Encoding="chunked")
    problem_of(answer, 411, "body.length_required")


def test_a_body_above_what_django_reads_is_413(notes: Api, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    problem_of(notes.post("/notes", {"subject": "a"}), 413, "body.too_large")


def test_an_address_that_does_not_exist_is_404(notes: Api) -> None:
    problem_of(notes.get("/nothing"), 404, "route.not_found")
    problem_of(Api(key=None, root="/api").get("/v9/x"), 404, "route.not_found")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE"])
def test_another_method_is_405_and_names_the_possible(notes: Api, method: str) -> None:
    answer = notes.raw(method, "/notes", b"")
    problem_of(answer, 405, "method.not_allowed")
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "POST"}


def test_what_is_our_fault_is_500_without_our_insides(notes: Api, caplog: pytest.LogCaptureFixture) -> None:
    answer = notes.get("/breaks/code", X_Request_ID="abcdefgh-1")
    found = problem_of(answer, 500, "server.error")
    assert "secret detail" not in answer.content.decode()
    assert "takes effect once" in found["kept"]
    logged = next(record for record in caplog.records if record.name == "billing_ops.api")
    assert "secret detail" in str(logged.exc_info)
    requests = [record.__dict__["request"] for record in caplog.records if "request" in record.__dict__]
    assert {request.request_id for request in requests} == {"abcdefgh-1"}


def test_an_exception_outside_an_operation_is_500_as_well(notes: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.middleware.common import CommonMiddleware

    def fail(*args: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(CommonMiddleware, "process_request", fail)
    answer = notes.get("/notes")
    problem_of(answer, 500, "server.error")
    assert "secret detail" not in answer.content.decode()


def test_a_database_that_is_away_is_503_and_can_be_retried(notes: Api) -> None:
    answer = notes.get("/breaks/database")
    found = problem_of(answer, 503, "database.unavailable")
    assert int(answer.headers["Retry-After"]) > 0
    assert "secret-host" not in answer.content.decode()
    assert "Idempotency-Key" in found["kept"]


def test_a_database_that_is_away_at_the_door_is_503(notes: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from billing_ops.kit.http import auth

    def fail(prefix: str) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(auth, "_look_up", fail)
    problem_of(notes.get("/notes"), 503, "database.unavailable")


def test_the_database_coming_back_is_noticed(fresh_db: Any, settings: Any) -> None:
    """A request whose connection was cut fails with 503 or succeeds; the same request again takes effect once."""
    settings.ROOT_URLCONF = "tests.api.routes"
    notes = Api(root="/api/test")
    assert notes.post("/notes", {"subject": "a"}, idem="k1").status_code == 201
    with fresh_db.connect(role="admin") as admin:
        admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    cut = notes.post("/notes", {"subject": "b"}, idem="k2")
    if cut.status_code != 201:
        problem_of(cut, 503, "database.unavailable")
    assert notes.post("/notes", {"subject": "b"}, idem="k2").status_code == 201
    assert AuditEntry.objects.filter(action="note", subject_key="b").count() == 1
    connection.close()


def test_waiting_too_long_for_a_lock_is_503_busy(fresh_db: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.api.routes"
    notes = Api(root="/api/test")
    assert notes.get("/notes").status_code == 200
    with fresh_db.connect(role="owner", autocommit=False) as other, connection.cursor() as cursor:
        other.execute("LOCK TABLE billing_ops_auditentry IN ACCESS EXCLUSIVE MODE")
        cursor.execute("SET lock_timeout = '50ms'")
        answer = notes.post("/notes", {"subject": "a"}, idem="k")
        other.rollback()
    problem_of(answer, 503, "database.busy")
    assert answer.headers["Retry-After"] == "1"
    assert notes.post("/notes", {"subject": "a"}, idem="k").status_code == 201
    connection.close()


@pytest.mark.parametrize("proposed", ["req-12345678", "A" * 64, "a.b_c:d-12"])
def test_a_sane_request_id_is_kept_and_reaches_the_trail(notes: Api, proposed: str) -> None:
    answer = notes.post("/notes", {"subject": "a"}, X_Request_ID=proposed)
    assert answer.headers["X-Request-ID"] == proposed
    assert answer.json()["request_id"] == proposed


@pytest.mark.parametrize("proposed", ["", "short", "A" * 65, "a b c d e f g", "<script>alert(1)", "ключ-ключ-ключ"])
def test_any_other_request_id_is_replaced(notes: Api, proposed: str) -> None:
    given = notes.get("/notes", X_Request_ID=proposed).headers["X-Request-ID"]
    assert given != proposed
    assert len(bytes.fromhex(given)) == 16
    assert given != notes.get("/notes", X_Request_ID=proposed).headers["X-Request-ID"]


def test_log_lines_carry_the_request_id_and_no_key(notes: Api, capsys: pytest.CaptureFixture[str]) -> None:
    import logging

    from billing_ops.kit import request_id
    from billing_ops.kit.logs import JsonFormatter

    record = logging.LogRecord("x", logging.ERROR, "f", 1, "key %s", (notes.key,), None)
    token = request_id.begin("abcdefgh-1")
    request_id.RequestIdFilter().filter(record)
    request_id.end(token)
    line = json.loads(JsonFormatter().format(record))
    assert line["request_id"] == "abcdefgh-1"
    assert str(notes.key)[-64:] not in json.dumps(line)
    assert request_id.current() == ""


def test_parse_keeps_numbers_exact() -> None:
    from decimal import Decimal

    assert body.parse(b'{"a": 0.1, "b": 12345678901234567890, "c": 1e2}') == {
        "a": Decimal("0.1"),
        "b": 12345678901234567890,
        "c": Decimal("1e2"),
    }


def test_a_key_without_the_scope_learns_nothing_of_the_body(notes: Api) -> None:
    other = Api(key=new_key("events:write"), root=notes.root)
    problem_of(other.raw("POST", "/notes", b"{"), 403, "auth.scope_missing")
