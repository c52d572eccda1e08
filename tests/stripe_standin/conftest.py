"""Fixtures of the stand-in's own tests."""

from collections.abc import Iterator

import pytest

from tests.stripe_standin.process import Standin
from tests.stripe_standin.receiver import Receiver, receiving


@pytest.fixture
def receiver(standin: Standin) -> Iterator[Receiver]:
    """Where the stand-in's webhooks go."""
    with receiving() as made:
        standin.set_webhook(made.url)
        yield made
