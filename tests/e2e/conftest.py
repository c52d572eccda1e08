"""A real browser in front of a real server, with the desk's data behind it, and a watch on everything the pages do."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.console.fixtures import _quiet_copy, as_role, desk, desk_db, desk_original, quiet_desk
from tests.support.browser import FLAGS, chromium

if TYPE_CHECKING:
    from tests.console.desk import Desk

__all__ = ["_quiet_copy", "as_role", "desk", "desk_db", "desk_original", "quiet_desk"]

_WATCH = """
document.addEventListener("securitypolicyviolation", (event) =>
    console.error("policy violation: " + event.violatedDirective + " " + event.blockedURI + " " + event.sample));
"""


class _Server(ThreadingMixIn, WSGIServer):
    """Answers requests side by side, as a double click needs it."""

    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    """Where the product listens."""
    from billing_ops.wsgi import application

    server = make_server("127.0.0.1", 0, application, server_class=_Server, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium."""
    executable = chromium()
    assert executable, "no browser: see make test"
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        yield opened
        opened.close()


@dataclass
class Watch:
    """What went wrong on any page: it must stay empty."""

    address: str
    said: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        """Listen to every page of a context."""
        context.add_init_script(_WATCH)
        context.on("request", self._asked)
        context.on("console", lambda message: self._heard(message.type, message.text, message.page))
        context.on("weberror", lambda error: self.said.append(f"error: {error.error}"))

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self.address, "data:", "about:", "blob:")):
            self.said.append(f"asked another host: {request.url}")

    def _heard(self, kind: str, text: str, page: Any) -> None:
        if (
            kind in ("error", "warning")
            and "Failed to load resource: the server responded with a status of 4" not in text
        ):
            self.said.append(f"{kind} on {page.url if page else '?'}: {text}")


@pytest.fixture
def open_context(browser: Browser, address: str) -> Iterator[Callable[..., BrowserContext]]:
    """``open_context("support", color_scheme="dark")``: a browser of that person; nothing may go wrong in it."""
    watch, contexts = Watch(address), []

    def opened(person: str, **options: Any) -> BrowserContext:
        context = browser.new_context(base_url=address, **options)
        context.set_default_timeout(10_000)
        watch.over(context)
        contexts.append(context)
        if person != "anonymous":
            context.add_cookies([{"name": "sessionid", "value": _session(person), "url": address}])
        return context

    yield opened
    for context in contexts:
        context.close()
    assert watch.said == []


@pytest.fixture
def open_page(open_context: Callable[..., BrowserContext]) -> Callable[..., Page]:
    """A page of that person."""

    def opened(person: str, **options: Any) -> Page:
        return open_context(person, **options).new_page()

    return opened


def _session(person: str) -> str:
    from django.contrib.auth.models import User

    client = Client()
    client.force_login(User.objects.get(username=person))
    return client.cookies["sessionid"].value


@pytest.fixture
def grants_of(desk: "Desk") -> Callable[[], int]:
    """How many credits people gave acme."""

    def count() -> int:
        from ledger.models import CreditGrant

        return CreditGrant.objects.filter(customer_key="acme", requested_by_type="user").count()

    return count
