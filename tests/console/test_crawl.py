"""Every link on every page, followed as every role: nothing changes, nothing breaks, nothing leads to a closed door."""

import re
from collections import Counter, deque
from collections.abc import Callable
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from django.test import Client

from tests.support.database import Database

if TYPE_CHECKING:
    from tests.console.desk import Desk

_LINK = re.compile(r'<a\b[^>]*\bhref="([^"]*)"|\bhx-get="([^"]*)"')
_MOST = 600
_MOST_ALIKE = 7  # lists sort by every column in every order: the same page again and again


def table_hashes(database: Database) -> dict[str, str]:
    """One hash for each table, of all its rows in any order."""
    with database.connect(role="admin") as inside:
        tables = inside.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall()
        return {
            name: str(
                inside.execute(
                    f"SELECT md5(string_agg(md5(t::text), '' ORDER BY md5(t::text))) FROM \"{name}\" t"
                ).fetchone()
            )  # names of our own tables
            for (name,) in tables
        }


def links_of(html: str, base: str) -> set[str]:
    """The addresses of the console that a page leads to."""
    found = {urljoin(base, unescape(first or second)) for first, second in _LINK.findall(html)}
    return {link.partition("#")[0] for link in found if urlsplit(link).path.startswith("/console/")}


def _kind(url: str) -> str:
    """Addresses that differ only in keys and values are of one kind."""
    parts = urlsplit(url)
    return re.sub(r"\d+", "N", parts.path) + "?" + "&".join(sorted(parse_qs(parts.query)))


def crawl(browser: Client, start: str = "/console/") -> dict[str, int]:
    """Follow every link once; the status of each address."""
    seen: dict[str, int] = {}
    alike: Counter[str] = Counter()
    waiting = deque([start])
    while waiting and len(seen) < _MOST:
        url = waiting.popleft()
        kind = _kind(url)
        if url in seen or alike[kind] >= _MOST_ALIKE:
            continue
        alike[kind] += 1
        response: Any = browser.get(url)
        seen[url] = response.status_code
        if response.status_code in (301, 302):
            waiting.append(urljoin(url, response.headers["Location"]))
        elif "html" in response.headers.get("Content-Type", ""):
            page = response.content.decode()
            assert "<script>alert(1)" not in page, f"stored text came out as HTML on {url}"
            waiting.extend(sorted(links_of(page, url) - seen.keys()))
    return seen


@pytest.mark.parametrize("person", ["support", "finance", "engineer", "bare"])
def test_a_get_changes_nothing_and_no_link_is_a_dead_end(
    desk: "Desk", desk_db: Database, as_role: Callable[[str], Client], person: str
) -> None:
    browser = as_role(person)
    before = table_hashes(desk_db)
    seen = crawl(browser)
    assert table_hashes(desk_db) == before
    assert {url: status for url, status in seen.items() if status not in (200, 302)} == {}
    assert len(seen) > (1 if person == "bare" else 25), seen


def test_the_hash_sees_a_change(desk_db: Database, desk: "Desk") -> None:
    from plans.models import Customer

    before = table_hashes(desk_db)
    Customer.objects.filter(pk=desk.acme.pk).update(city="Elsewhere")
    after = table_hashes(desk_db)
    assert {name for name in after if after[name] != before[name]} == {"plans_customer"}
