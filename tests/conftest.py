"""Fixtures of every test.

* ``db`` (pytest-django's): a database of this pytest process, logged in as the application role, rolled back after
  the test; deferred constraints are checked at its end.
* ``fresh_db``: a private database that really commits, for races, crashes and several connections.
* ``clock``: the virtual clock. ``redis_url``: a broker with a namespace of its own.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.support.clock import VirtualClock
from tests.support.database import Database, Databases, Server
from tests.support.network import loopback_only
from tests.support.services import find_services

# A busy machine is no failure: how long an example takes is not what the properties are about.
hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.register_profile("mutation", deadline=None, max_examples=30, derandomize=True, database=None)
hypothesis.settings.load_profile("busy machine")

pytest_plugins = ["tests.stripe_standin.fixtures"]

_SERVER = pytest.StashKey[Server]()
_embedded = ExitStack()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Find the services before Django loads; the first process tells the xdist workers through the environment."""
    known = os.environ.get("BO_TEST_SERVER")
    if known is None:
        known, os.environ["REDIS_URL"] = find_services(_embedded)
        os.environ["BO_TEST_SERVER"] = known
    config.stash[_SERVER] = Server(*known.split("\n"))
    from django.conf import settings

    assert settings.BILLING_ENV == "test"  # reading one setting loads them all; pytest-django then sets Django up


def pytest_unconfigure() -> None:
    _embedded.close()


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    with loopback_only():
        yield


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """The databases of this pytest process."""
    made = Databases(request.config.stash[_SERVER])
    yield made
    made.close()


def _point_django_at(database: Database) -> None:
    """Make the default connection, of this and of new threads, log in there as the application role."""
    import environ
    from django.db import connections

    connections.close_all()
    fresh = environ.Env.db_url_config(database.url())
    for key in ("NAME", "USER", "PASSWORD", "HOST", "PORT"):
        connections["default"].settings_dict[key] = fresh[key]


@pytest.fixture(scope="session")
def django_db_setup(databases: Databases, django_db_blocker: Any) -> Iterator[Database]:
    """Replaces pytest-django's own: a copy of the template, used as the application role."""
    with databases.fresh() as database:
        with django_db_blocker.unblock():
            _point_django_at(database)
        yield database
        with django_db_blocker.unblock():
            from django.db import connections

            connections.close_all()


@pytest.fixture
def fresh_db(databases: Databases, django_db_setup: Database, django_db_blocker: Any) -> Iterator[Database]:
    """A private database that commits; Django's default connection uses it. Not together with ``db``."""
    with databases.fresh() as database, django_db_blocker.unblock():
        _point_django_at(database)
        try:
            yield database
        finally:
            _point_django_at(django_db_setup)


@pytest.fixture
def clock(tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch) -> VirtualClock:
    """The virtual clock, at 2025-01-01 00:00 UTC; processes the test starts see it too."""
    virtual = VirtualClock(tmp_path / "clock")
    settings.BILLING_CLOCK_FILE = str(virtual.path)
    monkeypatch.setenv("BILLING_CLOCK_FILE", str(virtual.path))
    return virtual


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """The broker's address. Every key of ours starts with ``REDIS_NAMESPACE``, and goes at the end of the run."""
    import redis

    url, namespace = os.environ["REDIS_URL"], os.environ["REDIS_NAMESPACE"]
    yield url
    client = redis.Redis.from_url(url)
    for key in client.scan_iter(match=f"{namespace}*"):
        client.delete(key)
    client.close()
