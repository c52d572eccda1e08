"""Services that a fault test may kill."""

from collections.abc import Iterator

import pytest

from tests.faults.rig import KillableBroker, KillableDatabase, own_home


@pytest.fixture
def own_database() -> Iterator[KillableDatabase]:
    """A PostgreSQL server of the test's own, migrated; never the machine's."""
    with own_home() as home:
        made = KillableDatabase(home)
        yield made
        made.stop()


@pytest.fixture
def own_broker() -> Iterator[KillableBroker]:
    """A broker of the test's own; never the machine's."""
    with own_home() as home:
        made = KillableBroker(home)
        yield made
        made.stop()
