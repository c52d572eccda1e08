"""No page keeps the database busy, and the limit does not outlive the page."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client

if TYPE_CHECKING:
    from tests.console.desk import Desk


def _present() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout')")
        return str(cursor.fetchone()[0])


def test_a_slow_read_is_stopped_with_advice(
    quiet_desk: "Desk", as_role: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_ops.console import home, time_limit

    def slow(*args: Any, **kwargs: Any) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_sleep(5)")

    monkeypatch.setattr(time_limit, "LIMIT_MS", 50)
    monkeypatch.setattr(home, "_usage", slow)
    response = as_role("finance").get("/console/")
    assert response.status_code == 503
    assert b"Narrow it down" in response.content
    assert "Content-Security-Policy" in response.headers
    assert _present() == "0"


def test_the_limit_is_there_while_a_page_is_read_and_gone_after(
    quiet_desk: "Desk", as_role: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_ops.console import home

    seen: list[str] = []
    monkeypatch.setattr(home, "_usage", lambda at: seen.append(_present()))
    assert as_role("finance").get("/console/").status_code == 200
    assert seen == ["5s"]
    assert _present() == "0"


def test_the_limit_of_the_connection_comes_back_after_the_page(
    quiet_desk: "Desk", as_role: Callable[[str], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = as_role("finance")
    connection.close()
    monkeypatch.setitem(connection.settings_dict["OPTIONS"], "options", "-c statement_timeout=7000")
    try:
        assert _present() == "7s"
        assert browser.get("/console/").status_code == 200
        assert _present() == "7s"
    finally:
        connection.close()
