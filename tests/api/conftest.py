"""Imports of ours stand inside the fixtures: this file is read before Django is set up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.api import Api


@pytest.fixture(autouse=True)
def _no_remembered_keys() -> Iterator[None]:
    from billing_ops.kit.http import auth

    auth.forget()
    yield
    auth.forget()


@pytest.fixture
def notes(db: None, settings: Any) -> Iterator[Api]:
    """A client of the tests' own small API (see routes.py), with a key that has every scope."""
    from tests.api import routes
    from tests.support.api import Api

    settings.ROOT_URLCONF = "tests.api.routes"
    yield Api(root="/api/test")
    routes.refusing.clear()
