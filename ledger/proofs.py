"""The books' invariants, recomputed from the lines."""

from dataclasses import dataclass

from django.db import connection

from ledger.queries import statement


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant (I1 … I12, see this app's README) that does not hold, of what, and how."""

    rule: str
    subject: str
    detail: str


def violations(*, limit: int = 100) -> list[Violation]:
    """Every violation, up to ``limit``; an empty list is a proof. It reads all lines: run it where nobody waits."""
    with connection.cursor() as cursor:
        cursor.execute(statement("proofs"), {"limit": limit})
        return [Violation(*row) for row in cursor.fetchall()]
