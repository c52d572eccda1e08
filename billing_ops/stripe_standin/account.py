"""The account that the stand-in plays, and one request to it."""

from dataclasses import dataclass, field
from typing import Any

from billing_ops.stripe_standin.clock import Clock
from billing_ops.stripe_standin.errors import Json, missing
from billing_ops.stripe_standin.ids import Ids
from billing_ops.stripe_standin.store import Store

API_VERSION = "2026-10-28.endive"


@dataclass(frozen=True)
class Account:
    """Everything that outlives a request."""

    store: Store
    ids: Ids
    clock: Clock


@dataclass
class Call:
    """One API request while it is worked on; ``now`` is read once, so one request has one time."""

    account: Account
    now: int
    params: Json = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    request_id: str | None = None
    idempotency_key: str | None = None

    @property
    def store(self) -> Store:
        """The account's store."""
        return self.account.store

    def new_id(self, prefix: str) -> str:
        """A new identifier with that prefix."""
        return self.account.ids.new(prefix)

    def need(self, kind: str, id: str, *, label: str | None = None, param: str | None = None) -> Json:
        """An object that must exist; 404 when the address names it, 400 when ``param`` does."""
        found = self.store.get(id, kind)
        if found is None:
            raise missing(label or kind, id, param or "id", 400 if param else 404)
        return found

    def add(self, obj: Json) -> Json:
        """Keep a new object, dated now."""
        self.store.add(obj, self.now)
        return obj


def changed(before: Json, after: Json) -> Json:
    """``previous_attributes`` of an update: what the changed fields held before."""
    return {name: value for name, value in before.items() if after.get(name) != value}


def merge_metadata(kept: Json, sent: Any) -> Json:
    """Metadata after an update: new pairs added, empty values removed, an empty string clears all."""
    if sent == "":
        return {}
    merged = {**kept, **sent}
    return {name: value for name, value in merged.items() if value != ""}


def unset(value: Any) -> Any:
    """An empty string means none."""
    return None if value == "" else value
