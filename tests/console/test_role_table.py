"""Who may open and send what: every address, every method, every kind of person, against a table in the repository.

An address without a line fails, so does a line without an address. To see what changed, compare ``role_table.csv``.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from django.test import Client

from tests.console.urls import address, walk

if TYPE_CHECKING:
    from tests.console.desk import Desk

TABLE = Path(__file__).parent / "role_table.csv"
PEOPLE = ("anonymous", "stranger", "bare", "support", "finance", "engineer")
EXTRA = {
    "console_explain_events": "?from=2025-01-06T00&span=day",
    "console_credit": "?form=0",
    "console_event": "?source=gateway&id=req-17",
}


def _table() -> dict[tuple[str, str], dict[str, int]]:
    with TABLE.open() as file:
        return {
            (row["address"], row["method"]): {person: int(row[person]) for person in PEOPLE}
            for row in csv.DictReader(file)
        }


def _answers(desk: "Desk", as_role: Callable[[str], Client]) -> dict[tuple[str, str], dict[str, int]]:
    found: dict[tuple[str, str], dict[str, int]] = {}
    browsers = {person: as_role(person) for person in PEOPLE}
    for name in sorted(set(walk())):
        for method in ("GET", "POST"):
            url = address(name, desk).url + (EXTRA.get(name, "") if method == "GET" else "")
            answers = {person: getattr(browser, method.lower())(url) for person, browser in browsers.items()}
            found[name, method] = {person: answer.status_code for person, answer in answers.items()}
            if name in ("login", "logout"):  # they end or begin a session
                browsers = {person: as_role(person) for person in PEOPLE}
    return found


def test_every_address_answers_every_role_as_the_table_says(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    assert _answers(desk, as_role) == _table()


def test_a_person_without_a_role_can_do_nothing() -> None:
    """Read from the table: what is 403 there is 403 in fact, by the test above."""
    open_to_all_staff = {
        "index", "login", "logout", "password_change", "password_change_done", "search", "(catch-all)",
    }  # fmt: skip
    for (name, method), codes in _table().items():
        if name not in open_to_all_staff:
            assert codes["bare"] == 403, (name, method)
            assert codes["stranger"] == 302, (name, method)
            assert codes["anonymous"] == 302, (name, method)


def test_money_is_out_of_reach_of_engineers_and_books_of_support() -> None:
    table = _table()
    for name in ("console_customer", "console_invoice", "console_credit", "console_journal", "console_explain"):
        assert table[name, "GET"]["engineer"] == 403
    for name in ("console_journal", "console_account", "console_events", "console_keys"):
        assert table[name, "GET"]["support"] == 403
    for name in ("console_invoice_finalize", "console_invoice_collect", "invoicing_stripeevent_replay"):
        assert table[name, "POST"]["support"] == 403
    assert table["console_invoice_finalize", "POST"]["engineer"] == 403
    assert table["invoicing_stripeevent_replay", "POST"]["finance"] == 403
