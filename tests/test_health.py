"""/healthz says that the process answers, /readyz that it can do its work as the role that it must be."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connections
from django.test import Client

from billing_ops import health


def test_alive_asks_nobody(django_assert_num_queries: Any, db: None) -> None:
    with django_assert_num_queries(0):
        answer = Client().get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_ready_with_everything_in_place(db: None, redis_url: str) -> None:
    answer = Client().get("/readyz")
    assert answer.json() == {
        "status": "ready",
        "checks": {"database": "ok", "role": "ok", "migrations": "ok", "broker": "ok"},
    }
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(("role", "found"), [("admin", "superuser"), ("owner", "owner")])
def test_not_ready_as_a_role_that_the_guarantees_do_not_hold_for(
    fresh_db: Any, redis_url: str, role: Any, found: str
) -> None:
    import environ

    ours = connections["default"].settings_dict
    kept = {name: ours[name] for name in ("USER", "PASSWORD")}
    connections["default"].close()
    ours.update({name: environ.Env.db_url_config(fresh_db.url(role))[name] for name in kept})
    try:
        answer = Client().get("/readyz")
    finally:
        connections["default"].close()
        ours.update(kept)
    assert answer.status_code == 503
    assert answer.json()["checks"]["role"] == found


def test_not_ready_before_the_migrations(db: None, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_known_migrations", lambda: frozenset({("plans", "9999_next"), ("plans", "9998_x")}))
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["migrations"] == "2 missing"


def test_not_ready_without_a_database_and_says_nothing_of_where_it_is(
    db: None, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Away:
        def cursor(self) -> None:
            raise OperationalError("connection to server at secret-host failed")

    monkeypatch.setattr(health, "connection", Away())
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"] == {
        "database": "unreachable",
        "role": "unknown",
        "migrations": "unknown",
        "broker": "ok",
    }
    assert "secret-host" not in answer.content.decode()


def test_not_ready_without_a_broker(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from celery import current_app

    away = current_app.connection_for_write("redis://127.0.0.1:1/0", connect_timeout=1)
    monkeypatch.setattr(health, "current_app", SimpleNamespace(connection_for_write=lambda **kwargs: away))
    answer = Client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["broker"] == "unreachable"


def test_the_front_door_leads_to_the_console(db: None) -> None:
    answer = Client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/console/")
