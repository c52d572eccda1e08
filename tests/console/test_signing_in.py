"""Guessing a password: five tries for a name from an address, then a quarter of an hour of silence."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from tests.support.clock import VirtualClock

if TYPE_CHECKING:
    from tests.console.desk import Desk

WRONG = "not-the-word"


@pytest.fixture
def browser(db: Any, clock: VirtualClock) -> Client:
    """A browser of nobody; there are people with passwords."""
    from tests.console.desk import make_people
    from tests.support.billing import START

    clock.set(START)
    make_people()
    return Client()


def _try(browser: Client, name: str, password: str = WRONG, address: str = "192.0.2.7") -> Any:
    return browser.post("/console/login/", {"username": name, "password": password}, REMOTE_ADDR=address)


def _right(browser: Client, name: str = "support", **more: str) -> bool:
    from tests.console.desk import PASSWORD

    signed_in: bool = _try(browser, name, PASSWORD, **more).status_code == 302
    browser.logout()
    return signed_in


def _locks() -> list[str]:
    from billing_ops.models import AuditEntry

    return list(AuditEntry.objects.filter(action="sign_in.locked").values_list("subject_key", flat=True))


def test_after_five_wrong_passwords_the_right_one_waits_a_quarter_of_an_hour(
    browser: Client, clock: VirtualClock
) -> None:
    from tests.support.billing import START

    for _ in range(5):
        assert _locks() == []
        assert _try(browser, "support").status_code == 200
    assert _locks() == ["support"]
    assert not _right(browser)
    clock.set(START + timedelta(minutes=14, seconds=59))
    assert not _right(browser)
    clock.set(START + timedelta(minutes=15))
    assert _right(browser)
    assert _locks() == ["support"]


def test_four_wrong_ones_and_a_right_one_start_anew(browser: Client) -> None:
    for _ in range(3):
        for _ in range(4):
            _try(browser, "support")
        assert _right(browser)
    assert _locks() == []


def test_failures_are_forgotten_after_a_pause_and_a_lock_begins_at_one(browser: Client, clock: VirtualClock) -> None:
    from tests.support.billing import START

    for _ in range(4):
        _try(browser, "support")
    clock.set(START + timedelta(minutes=15))
    for _ in range(4):
        _try(browser, "support")
    assert _locks() == []
    _try(browser, "support")
    assert _locks() == ["support"]
    clock.set(START + timedelta(minutes=30))
    for _ in range(4):
        _try(browser, "support")
    assert _right(browser)


def test_other_names_and_other_addresses_are_not_locked(browser: Client) -> None:
    for _ in range(6):
        _try(browser, "support")
    assert _right(browser, "finance")
    assert _right(browser, address="192.0.2.8")
    assert not _right(browser)


def test_a_network_of_ipv6_is_one_address(browser: Client) -> None:
    for number in range(5):
        _try(browser, "support", address=f"2001:db8::{number}")
    assert not _right(browser, address="2001:db8::ffff")
    assert _right(browser, address="2001:db8:0:1::1")
    for number in range(5):
        _try(browser, "support", address=f"::ffff:198.51.100.{number}")
    assert _right(browser, address="198.51.100.77")


def test_the_answer_does_not_tell_who_exists_or_who_is_locked(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.contrib.auth.hashers import BasePasswordHasher, get_hasher

    hashed: list[str] = []
    hasher: type[BasePasswordHasher] = type(get_hasher())
    encode = hasher.encode

    def counted(self: BasePasswordHasher, password: str, *more: Any, **named: Any) -> str:
        hashed.append(password)
        return str(encode(self, password, *more, **named))

    monkeypatch.setattr(hasher, "encode", counted)
    said: dict[str, list[Any]] = {}
    work: dict[str, list[int]] = {}
    for name in ("support", "nobody-here", "stranger"):
        for _ in range(7):
            hashed.clear()
            answer = _try(browser, name)
            said.setdefault(name, []).append((answer.status_code, answer.context["form"].non_field_errors()))
            work.setdefault(name, []).append(len(hashed))
    assert said["support"] == said["nobody-here"] == said["stranger"]
    assert len({str(one) for one in said["support"]}) == 1
    assert work == dict.fromkeys(work, [1] * 7)
    assert sorted(_locks()) == ["nobody-here", "stranger", "support"]


def test_who_is_not_staff_is_counted_even_with_the_right_password(browser: Client) -> None:
    for _ in range(5):
        assert not _right(browser, "stranger")
    assert _locks() == ["stranger"]


def test_rows_are_forgotten_after_a_day(browser: Client, clock: VirtualClock) -> None:
    from billing_ops.models import SignInTries
    from tests.support.billing import START

    for number in range(3):
        _try(browser, f"guess-{number}")
    clock.set(START + timedelta(days=1, seconds=1))
    _try(browser, "another")
    assert list(SignInTries.objects.values_list("username", flat=True)) == ["another"]


def test_many_tries_at_once_are_counted_one_by_one(desk: "Desk") -> None:
    from concurrent.futures import ThreadPoolExecutor

    from django.db import connection

    from billing_ops.console import signing_in

    def one(_number: int) -> int | None:
        try:
            return signing_in.begin(username="support", address="192.0.2.9", at=desk.now)
        finally:
            connection.close()

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(one, range(12)))
    assert sorted(number for number in found if number is not None) == [1, 2, 3, 4, 5]
