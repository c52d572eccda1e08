"""Fixtures of the stand-in's own tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stripe_standin.fixtures import running_standin
from tests.stripe_standin.process import Standin
from tests.stripe_standin.receiver import Receiver, receiving


@pytest.fixture
def standin(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Standin]:
    """As everywhere, but these tests send requests that are wrong on purpose, so nothing is checked at the end."""
    with running_standin(tmp_path / "standin", request) as made:
        yield made


@pytest.fixture
def receiver(standin: Standin) -> Iterator[Receiver]:
    """Where the stand-in's webhooks go."""
    with receiving() as made:
        standin.set_webhook(made.url)
        yield made
