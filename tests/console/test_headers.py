"""What every response carries, whatever became of the request."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.test import Client

if TYPE_CHECKING:
    from tests.console.desk import Desk

POLICY = {
    "default-src 'self'",
    "script-src 'self'",
    "style-src 'self'",
    "style-src-elem 'self'",
    "style-src-attr 'unsafe-inline'",
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
}

AsRole = Callable[[str], Client]


def _check(response: object, *, signed_in: bool) -> None:
    headers = response.headers  # type: ignore[attr-defined]
    assert set(headers["Content-Security-Policy"].split("; ")) == POLICY
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    if signed_in:
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("url", "person", "status"),
    [
        ("/console/login/", "anonymous", 200),
        ("/console/", "anonymous", 302),
        ("/console/", "support", 200),
        ("/console/journal/", "support", 403),
        ("/console/nothing/here/", "support", 404),
        ("/console/customers/999999/", "support", 404),
        ("/nothing/here/", "anonymous", 404),
        ("/console/keys/create/", "engineer", 405),
        ("/console/?x=%00", "support", 200),
        ("/static/console/console.js", "anonymous", 200),
    ],
)
def test_every_answer_has_the_policy_and_its_companions(
    quiet_desk: "Desk", as_role: AsRole, url: str, person: str, status: int
) -> None:
    response = as_role(person).get(url)
    assert response.status_code == status
    _check(response, signed_in=person != "anonymous")


def test_an_error_of_ours_has_them_too_and_tells_no_secrets(
    quiet_desk: "Desk", as_role: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the secret is 42")

    monkeypatch.setattr("billing_ops.console.home.clock.now", broken)
    browser = as_role("support")
    browser.raise_request_exception = False
    response = browser.get("/console/")
    assert response.status_code == 500
    assert b"secret" not in response.content
    assert b"Something failed" in response.content
    _check(response, signed_in=True)


def test_a_form_without_its_token_is_refused_with_words(quiet_desk: "Desk", as_role: AsRole) -> None:
    from django.contrib.auth.models import User

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(User.objects.get(username="support"))
    response = browser.post(f"/console/customers/{quiet_desk.acme.pk}/credit/", {"amount": "1.00"})
    assert response.status_code == 403
    assert b"This form has expired" in response.content
    _check(response, signed_in=True)


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_login_does_not_lead_elsewhere(quiet_desk: "Desk", target: str) -> None:
    from tests.console.desk import PASSWORD

    response = Client().post(
        f"/console/login/?next={target}", {"username": "support", "password": PASSWORD, "next": target}
    )
    assert response.status_code == 302
    assert response.headers["Location"] == "/console/"
