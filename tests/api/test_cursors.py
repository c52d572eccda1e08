"""Listings: each row once, in a stable order, whatever arrives meanwhile; a cursor is ours or refused."""

from datetime import UTC, datetime
from typing import Any

import pytest

from billing_ops.kit.http import cursors
from tests.support.api import Api


def _take(notes: Api, clock: Any, count: int, prefix: str = "n") -> None:
    for number in range(count):
        assert notes.post("/notes", {"subject": f"{prefix}.{number}"}).status_code == 201
        if number % 3 == 0:
            clock.advance(seconds=1)  # others share an instant: the id decides


def _read_all(notes: Api, **query: Any) -> tuple[list[str], int]:
    items: list[str] = []
    pages = 0
    cursor = None
    while True:
        page = notes.get("/notes", query | ({"cursor": cursor} if cursor else {})).json()
        items += page["items"]
        pages += 1
        cursor = page["next_cursor"]
        if cursor is None:
            return items, pages


@pytest.mark.parametrize(("limit", "pages"), [(1, 11), (2, 6), (10, 2), (11, 1), (200, 1)])
def test_every_row_comes_once_in_order(notes: Api, clock: Any, limit: int, pages: int) -> None:
    _take(notes, clock, 11)
    assert _read_all(notes, limit=limit) == ([f"n.{number}" for number in reversed(range(11))], pages)


def test_rows_that_arrive_meanwhile_neither_repeat_nor_skip(notes: Api, clock: Any) -> None:
    _take(notes, clock, 6)
    first = notes.get("/notes", {"limit": 3}).json()
    _take(notes, clock, 4, prefix="new")
    second = notes.get("/notes", {"limit": 3, "cursor": first["next_cursor"]}).json()
    assert first["items"] + second["items"] == [f"n.{number}" for number in reversed(range(6))]
    assert second["next_cursor"] is None


def test_an_empty_listing_has_no_next_page(notes: Api) -> None:
    assert notes.get("/notes").json() == {"items": [], "next_cursor": None}


def test_a_cursor_is_bound_to_its_filters_and_to_our_secret(notes: Api, clock: Any, settings: Any) -> None:
    _take(notes, clock, 4)
    cursor = notes.get("/notes", {"limit": 2}).json()["next_cursor"]
    assert notes.get("/notes", {"limit": 3, "cursor": cursor}).status_code == 200, "the limit may change"
    forged = cursor[:-1] + ("A" if cursor[-1] != "A" else "B")
    for query in ({"cursor": cursor, "customer": "n"}, {"cursor": forged}):
        assert notes.get("/notes", query).json()["code"] == "cursor.invalid"
    settings.SECRET_KEY = "another"
    assert notes.get("/notes", {"cursor": cursor}).json()["code"] == "cursor.invalid"


@pytest.mark.parametrize("cursor", ["x", "a.b", "..", "é", "W10.x", "1" * 1000])
def test_a_malformed_cursor_is_400(notes: Api, cursor: str) -> None:
    answer = notes.get("/notes", {"cursor": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "cursor.invalid")


def test_a_cursor_is_bound_to_its_listing_and_keeps_instants_exactly() -> None:
    instant = datetime(2025, 1, 1, 1, 2, 3, 456789, tzinfo=UTC)
    sealed = cursors.seal("events", {"subject": "a"}, [instant, "source", "id"])
    position = cursors.unseal("events", {"subject": "a"}, sealed)
    assert position == ["2025-01-01T01:02:03.456789Z", "source", "id"]
    for listing, filters in (("entries", {"subject": "a"}), ("events", {"subject": "b"}), ("events", {})):
        with pytest.raises(cursors.CursorInvalid):
            cursors.unseal(listing, filters, sealed)
    assert cursors.unseal("events", {}, None) is None
