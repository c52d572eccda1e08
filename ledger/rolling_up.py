"""Keep the roll-ups: add what is complete to the sums by day, in bounded steps, so that totals read few rows.

Nothing depends on it but speed: readers take the roll-ups and the entries that are not in them, in one snapshot.
"""

from dataclasses import dataclass

from django.db import connection, transaction

STEP, STEPS = 20_000, 50
"""Entries a transaction (whole transactions: one that is larger is taken whole), and transactions a run."""


@dataclass(frozen=True, slots=True)
class RolledUp:
    """How many entries a run took in, and whether more of them wait for the next."""

    entries: int
    more: bool


def roll_up(*, step: int = STEP, steps: int = STEPS) -> RolledUp:
    """Take in the entries whose transactions are complete. Who finds another at it does nothing.

    The first run in another cluster (a restore, an upgrade) begins from no roll-up at all.
    """
    done = 0
    for _ in range(steps):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT entries, more FROM ledger_roll_up(%s)", [step])
            entries, more = cursor.fetchone()
        done += entries
        if not more:
            return RolledUp(done, more=False)
    return RolledUp(done, more=True)


def restart() -> None:
    """Forget every roll-up; the next runs make them anew, and until then figures are read from the lines."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT ledger_restart_rollups()")
