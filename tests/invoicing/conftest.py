"""What every test of the bill starts from: a committed database, the virtual clock and a Stripe stand-in."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.stripe_standin.process import Standin

if TYPE_CHECKING:
    from tests.invoicing.shop import Shop
    from tests.support.billing import World


@pytest.fixture
def world(fresh_db: Any, clock: Any, standin: Standin, settings: Any) -> "World":
    """A published plan on a database that commits; the clock stands at ``START``; Stripe is the stand-in."""
    from tests.support.billing import START, make_world  # models: only once Django is set up

    clock.set(START)
    settings.STRIPE_API_BASE = standin.url
    settings.STRIPE_SECRET_KEY = standin.api_key
    settings.STRIPE_WEBHOOK_SECRETS = [standin.secret]
    return make_world()


@pytest.fixture
def books(db: Any, clock: Any) -> "World":
    """The same world without Stripe, in a transaction that is rolled back: for stories that collect nothing."""
    from tests.support.billing import START, make_world

    clock.set(START)
    return make_world()


@pytest.fixture(scope="module")
def _shop(
    databases: Any, django_db_setup: Any, django_db_blocker: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator["Shop"]:
    from tests.conftest import _point_django_at
    from tests.invoicing.shop import opened

    with databases.fresh() as database, django_db_blocker.unblock():
        _point_django_at(database)
        try:
            with opened(database, tmp_path_factory.mktemp("shop")) as shop:
                yield shop
        finally:
            _point_django_at(django_db_setup)


@pytest.fixture
def own_shop(fresh_db: Any, clock: Any, standin: Standin, world: "World") -> "Shop":
    """The same for one test alone: when it does what the other tests of its module should not see."""
    from tests.invoicing.shop import Shop

    return Shop(fresh_db, clock, standin, world)


@pytest.fixture
def shop(_shop: "Shop", monkeypatch: pytest.MonkeyPatch) -> "Shop":
    """The module's world, committed and shared, at ``START``; without faults; retries do not wait. Not with ``db``."""
    import stripe

    from tests.conftest import _point_django_at
    from tests.support.billing import START

    _point_django_at(_shop.database)  # a test with a database of its own may have come in between
    monkeypatch.setattr(stripe.HTTPClient, "INITIAL_DELAY", 0)
    monkeypatch.setattr(stripe.HTTPClient, "MAX_DELAY", 0)
    _shop.standin.control("faults/clear", {})
    _shop.clock.set(START)
    return _shop
