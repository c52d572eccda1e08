"""A request that makes something makes it once."""

import threading
from typing import Any

import pytest
from django.db import connection

from billing_ops.kit.http import idempotency
from billing_ops.models import AuditEntry, IdempotencyRecord
from tests.api import routes
from tests.support.api import Api, new_key


def _notes_taken() -> int:
    return AuditEntry.objects.filter(action="note").count()


def test_without_a_key_nothing_is_made(notes: Api) -> None:
    answer = notes.post("/notes", {"subject": "a"}, idem=None)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency.key_missing")
    assert "Idempotency-Key" in answer.json()["remedy"]
    assert _notes_taken() == 0


@pytest.mark.parametrize("key", [" ", "a b", "k" * 256, "ключ", "a\tb", "clé"])
def test_a_key_beyond_visible_ascii_is_refused(notes: Api, key: str) -> None:
    answer = notes.post("/notes", {"subject": "a"}, idem=key)
    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency.key_invalid")
    assert _notes_taken() == 0


def test_the_longest_key_is_usable(notes: Api) -> None:
    assert notes.post("/notes", {"subject": "a"}, idem="~" * 255).status_code == 201


def test_the_same_request_gets_the_same_answer_to_the_byte(notes: Api) -> None:
    first = notes.post("/notes", {"subject": "a", "amount": "5"}, idem="k")
    again = notes.post("/notes", {"subject": "a", "amount": "5"}, idem="k")
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert first.headers["Content-Type"] == again.headers["Content-Type"]
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert _notes_taken() == 1


def test_defaults_spelled_out_and_another_order_are_the_same_request(notes: Api) -> None:
    notes.post("/notes", {"subject": "a", "due": "2025-01-01T00:00:00Z"}, idem="k")
    same = {"due": "2025-01-01T02:00:00+02:00", "currency": "USD", "rate": None, "subject": "a"}
    assert notes.post("/notes", same, idem="k").headers["Idempotent-Replayed"] == "true"


def test_another_request_under_the_key_is_refused_and_told_where_it_differs(notes: Api) -> None:
    notes.post(
        "/notes", {"subject": "a", "amount": "5", "tags": ["x", "y"], "extra": {"a": 1, "b": {"c": 2}}}, idem="k"
    )
    other = {"subject": "a", "amount": "6", "tags": ["x", "z"], "extra": {"a": 1, "b": {"c": 3}, "d": 4}}
    answer = notes.post("/notes", other, idem="k")
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (409, "idempotency.mismatch")
    assert problem["details"]["differs"] == ["amount", "tags.1", "extra.b.c", "extra.d"]
    assert "amount" in problem["detail"]
    assert _notes_taken() == 1


@pytest.mark.parametrize(
    ("before", "after", "paths"),
    [
        ({"a": None}, {}, ["a"]),
        ({}, {"a": None}, ["a"]),
        ([1], [1, 2], ["body"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"a": 1}, {"a": "1"}, ["a"]),
        ({"a": {"b": 1}}, {"a": 1}, ["a"]),
        ({"a": 1}, {"a": True}, ["a"]),
        ({"a": 1}, {"a": 1}, []),
    ],
)
def test_differences_name_paths(before: Any, after: Any, paths: list[str]) -> None:
    assert idempotency.differences(before, after) == paths


def test_a_refusal_is_not_stored_so_the_same_request_may_succeed_later(notes: Api) -> None:
    routes.refusing.add("a")
    refused = notes.post("/notes", {"subject": "a"}, idem="k")
    assert (refused.status_code, refused.json()["code"]) == (409, "note.refused")
    assert _notes_taken() == 0, "what was written before the refusal is rolled back"
    assert not IdempotencyRecord.objects.exists()
    routes.refusing.clear()
    assert notes.post("/notes", {"subject": "a"}, idem="k").status_code == 201


def test_a_body_that_is_refused_does_not_use_up_the_key(notes: Api) -> None:
    assert notes.post("/notes", {"subject": "a", "amount": "x"}, idem="k").status_code == 422
    assert notes.post("/notes", {"subject": "a", "amount": "1"}, idem="k").status_code == 201


def test_keys_of_two_callers_do_not_meet(notes: Api) -> None:
    other = Api(key=new_key(), root=notes.root)
    mine = notes.post("/notes", {"subject": "a"}, idem="k").json()
    theirs = other.post("/notes", {"subject": "b"}, idem="k").json()
    assert mine["operation_key"] != theirs["operation_key"]
    assert _notes_taken() == 2


def test_an_operation_of_several_transactions_is_answered_once_too(notes: Api) -> None:
    assert notes.post("/notes/7/send", idem=None).json()["code"] == "idempotency.key_missing"
    first, again, other = (notes.post("/notes/7/send", idem=key) for key in ("k", "k", "l"))
    assert first.content == again.content
    assert again.headers["Idempotent-Replayed"] == "true"
    assert other.json()["operation_key"] != first.json()["operation_key"]
    assert first.json()["operation_key"].startswith(f"api:{str(notes.key).split('_')[1]}:")
    assert len(first.json()["operation_key"]) == 46
    assert notes.post("/notes/8/send", idem="k").json()["details"]["differs"] == ["note_id"]


def test_a_second_sender_of_a_long_operation_is_told_to_come_back(fresh_db: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.api.routes"
    notes = Api(root="/api/test")
    inner: list[Any] = []

    def send_again_meanwhile() -> None:
        def send() -> None:
            inner.append(Api(key=notes.key, root=notes.root).post("/notes/7/send", idem="k"))
            connection.close()

        thread = threading.Thread(target=send)
        thread.start()
        thread.join(timeout=30)

    routes.meanwhile.append(send_again_meanwhile)
    try:
        outer = notes.post("/notes/7/send", idem="k")
    finally:
        routes.meanwhile.clear()
    assert outer.status_code == 200
    assert (inner[0].status_code, inner[0].json()["code"]) == (409, "idempotency.in_progress")
    assert inner[0].headers["Retry-After"] == "2"
    assert notes.post("/notes/7/send", idem="k").content == outer.content
    connection.close()


def test_effect_and_record_commit_together(fresh_db: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.ROOT_URLCONF = "tests.api.routes"
    notes = Api(root="/api/test")

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("killed between effect and record")

    with monkeypatch.context() as patch:
        patch.setattr(IdempotencyRecord.objects, "create", refuse)
        assert notes.post("/notes", {"subject": "a"}, idem="k").status_code == 500
    assert _notes_taken() == 0
    assert notes.post("/notes", {"subject": "a"}, idem="k").status_code == 201


def test_fifty_concurrent_senders_make_one(fresh_db: Any, settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.api.routes"
    key = new_key()
    answers: list[Any] = []
    start = threading.Barrier(10)

    def send() -> None:
        notes = Api(key=key, root="/api/test")
        start.wait(timeout=30)
        try:
            answers.extend(notes.post("/notes", {"subject": "a"}, idem="k") for _ in range(5))
        finally:
            connection.close()

    threads = [threading.Thread(target=send) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert [answer.status_code for answer in answers] == [201] * 50
    assert len({answer.content for answer in answers}) == 1
    assert sum("Idempotent-Replayed" not in answer.headers for answer in answers) == 1
    assert _notes_taken() == 1
    connection.close()
