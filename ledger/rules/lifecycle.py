"""The states of a period and how they follow one another."""

from typing import Final, Literal

Status = Literal["open", "soft_closed", "closed"]

STATUSES: Final[tuple[Status, ...]] = ("open", "soft_closed", "closed")

TRANSITIONS: Final[tuple[tuple[Status, Status], ...]] = (
    ("open", "soft_closed"),
    ("open", "closed"),
    ("soft_closed", "closed"),
    ("soft_closed", "open"),
    ("closed", "open"),
)
"""Every change of a period's status; a constraint of the database says the same. Back to open needs an approval."""


def takes(status: str, *, adjusts: bool, by_person: bool) -> bool:
    """Whether a period of that status takes an entry: an open one any, a soft-closed one a person's adjustment."""
    return status == "open" or (status == "soft_closed" and adjusts and by_person)
