"""Fixtures that give a test its own Stripe stand-in. Loaded by ``tests/conftest.py``."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.stripe_standin.conformance import assert_requests_conform
from tests.stripe_standin.process import Standin


@contextmanager
def running_standin(folder: Path, request: pytest.FixtureRequest) -> Iterator[Standin]:
    """A stand-in that keeps its state in ``folder`` and shares the ``clock`` fixture's time when the test uses that."""
    folder.mkdir()
    clock: Any = request.getfixturevalue("clock") if "clock" in request.fixturenames else None
    # Until a test says where its receiver is, events wait for an address that refuses connections.
    made = Standin(folder, "--webhook-url", "http://127.0.0.1:1/", clock_file=clock.path if clock else None)
    made.start()
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture
def standin(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Standin]:
    """A stand-in of its own, on a free port; at the end every request it got must be one that Stripe knows.

    Webhooks go out when the test says so: ``deliver()`` to the address of ``set_webhook(url)``, or ``deliver_to(f)``.
    """
    with running_standin(tmp_path / "standin", request) as made:
        yield made
        if made.is_running:
            assert_requests_conform(made)
