"""Who did it: an actor stands beside every write."""

from dataclasses import dataclass
from typing import Literal

ActorType = Literal["system", "user", "api_key", "stripe"]


@dataclass(frozen=True, slots=True)
class Actor:
    """The person or program behind an operation.

    ``id`` is stable (a username, the prefix of an API key, a task's name); ``label`` is what a person reads.
    """

    type: ActorType
    id: str
    label: str = ""

    def __str__(self) -> str:
        return self.label or f"{self.type}:{self.id}"


def system(name: str) -> Actor:
    """The actor of an unattended job, e.g. ``system("billing-run")``."""
    return Actor("system", name, name)
