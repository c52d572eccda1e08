"""A worker dies between a draw and the row that accounts for it: neither is there, and the next one draws once."""

from typing import Any

import pytest

from tests.faults.rig import run_in
from tests.support.database import Database

WORLD = """
from tests.invoicing.drawing import *
from tests.invoicing.stories import *
from tests.support.billing import make_world
make_world()
join(publish("prepaid", TIERED), card="")
credit("1.00")
used(1, time=NOON, generated=3_000)
"""
DIES = """
import os, signal
from tests.invoicing.drawing import *
from tests.invoicing.stories import *
from invoicing.models import UsageDraw
def die(*args, **how):
    print("drawn", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
UsageDraw.objects.bulk_create = die
draw(NOON + HOUR)
"""
LOOK = """
from tests.invoicing.drawing import *
from tests.invoicing.stories import *
from invoicing.models import UsageDraw
from ledger.models import CreditDraw
counts = CreditDraw.objects.count(), UsageDraw.objects.count()
print(*counts, books_of().credits_total.normalize(), books_of().unbilled.normalize())
"""
DRAW = """
from tests.invoicing.drawing import *
from tests.invoicing.stories import *
draw(NOON + HOUR)
proven()
"""


def test_a_worker_killed_between_the_draw_and_its_row_leaves_neither(databases: Any, clock: Any) -> None:
    with databases.fresh() as database:
        env = _env(database, clock)
        run_in(env, WORLD)
        with pytest.raises(AssertionError):
            run_in(env, DIES)
        assert run_in(env, LOOK) == "0 0 1 0"
        run_in(env, DRAW)
        run_in(env, DRAW)
        assert run_in(env, LOOK) == "1 1 0 1"


def _env(database: Database, clock: Any) -> dict[str, str]:
    return {
        **database.env(),
        "BILLING_CLOCK_FILE": str(clock.path),
        "DJANGO_SETTINGS_MODULE": "billing_ops.settings",
    }
