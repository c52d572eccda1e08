"""The API's page in a real browser: it renders under the Content-Security-Policy and asks no other host."""

import threading
from collections.abc import Iterator
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from playwright.sync_api import Browser, expect


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def address(db: None) -> Iterator[str]:
    from billing_ops.wsgi import application

    server = make_server("127.0.0.1", 0, application, handler_class=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_page_renders_without_violations_or_outside_requests(address: str, browser: Browser) -> None:
    page = browser.new_page()
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.add_init_script(
        "document.addEventListener('securitypolicyviolation',"
        " event => console.error('violation', event.violatedDirective, event.blockedURI))"
    )
    answer = page.goto(f"{address}/api/v1/docs")
    assert answer
    assert "script-src 'self';" in answer.headers["content-security-policy"] + ";"
    expect(page.get_by_role("heading", name="Billing Ops")).to_be_visible(timeout=15_000)
    operation = page.locator("#operations-Invoices-get_invoice")
    operation.get_by_role("button").first.click()
    expect(operation.get_by_text("invoices:read")).to_be_visible()
    expect(operation.get_by_role("button", name="Try it out")).to_be_visible()
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith((address, "data:"))] == []
