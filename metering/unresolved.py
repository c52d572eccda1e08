"""What is accepted and not counted, and why. Nothing here is lost: it takes effect once its cause is gone.

* ``no_meter``: no meter listens to the type. Define one; it counts the events that came before, too.
* ``missing``, ``not_numeric``: a meter's filters match, but its property is absent, or is no number.

An event for a customer that nobody made is counted all the same. Metering does not know customers: whoever does
compares :func:`subjects` with them.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db import connection

from metering.sql import statement

Cause = Literal["no_meter", "missing", "not_numeric"]


@dataclass(frozen=True, slots=True)
class UnresolvedGroup:
    """Events that are not counted for one cause. ``meter_key`` and ``value_path`` are "" when no meter listens.

    ``first_at`` and ``last_at`` are exact for ``no_meter`` and, for folded events of the other causes, whole hours.
    """

    cause: Cause
    type: str
    meter_key: str
    value_path: str
    events: int
    subjects: int
    first_at: datetime
    last_at: datetime

    @property
    def explanation(self) -> str:
        """Why these events are not billed, for a person."""
        if self.cause == "no_meter":
            return f"No meter listens to “{self.type}”."
        if self.cause == "missing":
            return f"Meter {self.meter_key} reads “{self.value_path}”, which these events do not have."
        return f"Meter {self.meter_key} reads “{self.value_path}”, which is not a number in these events."


@dataclass(frozen=True, slots=True)
class SubjectSeen:
    """A customer key that events carried."""

    subject: str
    events: int
    first_at: datetime
    last_at: datetime


def unresolved(*, subject: str | None = None) -> list[UnresolvedGroup]:
    """Accepted events that are not counted, of one subject or of all, most events first; one statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement("unresolved"), {"subject": subject})
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return [UnresolvedGroup(row[0], row[1], row[2] or "", row[3] or "", *row[4:]) for row in rows]


def subjects(*, after: str = "", limit: int = 1_000) -> list[SubjectSeen]:
    """Every subject that events carried, in the order of their keys, after ``after``."""
    with connection.cursor() as cursor:
        cursor.execute(statement("subjects"), {"after": after, "limit": limit})
        return [SubjectSeen(*row) for row in cursor.fetchall()]
