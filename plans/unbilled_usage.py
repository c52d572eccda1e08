"""Usage that is counted and that nobody is charged for: metering does not know customers, so it is compared here."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db import connection

from plans.sql import statement

Cause = Literal["no_customer", "no_charge", "outside"]


@dataclass(frozen=True, slots=True)
class UnbilledUsage:
    """Events of one type and customer key. ``events`` are all of them; of *outside* only some are not charged."""

    cause: Cause
    type: str
    subject: str
    events: int
    first_at: datetime
    last_at: datetime

    @property
    def explanation(self) -> str:
        """Why this usage is on no bill, for a person."""
        if self.cause == "no_customer":
            return f"There is no customer “{self.subject}”."
        if self.cause == "no_charge":
            return "None of the customer’s subscriptions charges for this type."
        return "Some of it happened before the customer’s first subscription to it began or after the last one ended."


def find(*, limit: int = 100) -> list[UnbilledUsage]:
    """Usage of types that meters count, of keys that are no customer's, that no subscription charges, or outside of the
    time in which subscriptions to it were in force; the latest first. Folded or not.

    A pause between two subscriptions is not looked into: only the first beginning and the last end are.
    """
    with connection.cursor() as cursor:
        cursor.execute(statement("unbilled_usage"), {"limit": limit})
        return [UnbilledUsage(*row) for row in cursor.fetchall()]
