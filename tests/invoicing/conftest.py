"""What every test of the bill starts from: a committed database, the virtual clock and a Stripe stand-in."""

from typing import TYPE_CHECKING, Any

import pytest

from tests.stripe_standin.process import Standin

if TYPE_CHECKING:
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
