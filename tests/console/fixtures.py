"""The desk as a fixture: built once a run, copied for every test."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings as django_settings
from django.test import Client

from tests.stripe_standin.process import Standin
from tests.support.clock import VirtualClock
from tests.support.database import Database, Databases

if TYPE_CHECKING:
    from tests.console.desk import Desk

_STRIPE = ("STRIPE_API_BASE", "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRETS", "BILLING_CLOCK_FILE")


@contextmanager
def _settings(**values: Any) -> Iterator[None]:
    """Settings for a while, where pytest-django's fixture is too short-lived."""
    before = {name: getattr(django_settings, name) for name in values}
    for name, value in values.items():
        setattr(django_settings, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(django_settings, name, value)


def _copy(databases: Databases, original: Database) -> Database:
    template, databases.template = databases.template, original.name
    try:
        return databases.create()
    finally:
        databases.template = template


@pytest.fixture(scope="session")
def desk_original(
    databases: Databases, django_db_setup: Database, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Database, Standin, "Desk"]]:
    """The database that the copies are made of, with the stand-in that knows its customers. Nobody works on it."""
    from tests.conftest import _point_django_at
    from tests.console.desk import make_desk
    from tests.support.billing import START, make_world

    folder = tmp_path_factory.mktemp("desk")
    clock = VirtualClock(folder / "clock")
    clock.set(START)
    standin = Standin(folder, "--webhook-url", "http://127.0.0.1:1/", clock_file=clock.path)
    standin.start()
    values = dict(zip(_STRIPE, (standin.url, standin.api_key, [standin.secret], str(clock.path)), strict=True))
    try:
        with databases.fresh() as database, django_db_blocker.unblock():
            _point_django_at(database)
            with _settings(**values):
                desk = make_desk(make_world(), standin, clock)
            _point_django_at(django_db_setup)
            yield database, standin, desk
    finally:
        standin.stop()


@pytest.fixture(scope="session")
def _quiet_copy(desk_original: tuple[Database, Standin, "Desk"], databases: Databases) -> Iterator[Database]:
    copy = _copy(databases, desk_original[0])
    yield copy
    databases.drop(copy)


@pytest.fixture
def quiet_desk(
    _quiet_copy: Database,
    desk_original: tuple[Database, Standin, "Desk"],
    django_db_setup: Database,
    django_db_blocker: Any,
    clock: VirtualClock,
) -> Iterator["Desk"]:
    """The desk for tests that only look, or are refused: one copy for all of them."""
    from tests.conftest import _point_django_at

    clock.set(desk_original[2].now)
    with django_db_blocker.unblock():
        _point_django_at(_quiet_copy)
        try:
            yield desk_original[2]
        finally:
            _point_django_at(django_db_setup)


@pytest.fixture
def desk_db(  # noqa: PLR0917  # fixtures are asked for by name
    desk_original: tuple[Database, Standin, "Desk"],
    databases: Databases,
    django_db_setup: Database,
    django_db_blocker: Any,
    clock: VirtualClock,
    settings: Any,
) -> Iterator[Database]:
    """A copy of the desk's database that commits. The clock stands at the desk's time."""
    from tests.conftest import _point_django_at

    original, standin, desk = desk_original
    clock.set(desk.now)
    settings.STRIPE_API_BASE = standin.url
    settings.STRIPE_SECRET_KEY = standin.api_key
    settings.STRIPE_WEBHOOK_SECRETS = [standin.secret]
    copy = _copy(databases, original)
    with django_db_blocker.unblock():
        _point_django_at(copy)
        try:
            yield copy
        finally:
            _point_django_at(django_db_setup)
            databases.drop(copy)


@pytest.fixture
def desk(desk_db: Database, desk_original: tuple[Database, Standin, "Desk"]) -> "Desk":
    """What stands on the desk."""
    return desk_original[2]


@pytest.fixture
def as_role() -> Callable[[str], Client]:
    """``as_role("support")`` is a browser of that person; ``as_role("anonymous")`` one of nobody."""

    def client(name: str) -> Client:
        from django.contrib.auth.models import User

        browser = Client()
        if name != "anonymous":
            browser.force_login(User.objects.get(username=name))
        return browser

    return client
