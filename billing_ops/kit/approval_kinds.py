"""The kinds of approval, and what an approver is shown: registered by dotted path in ``settings.APPROVAL_KINDS``.

The floor knows no ledger: a kind brings what it would do, the locks it needs and what it does.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from django.conf import settings
from django.utils.module_loading import import_string

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.money import plain
from billing_ops.models import Approval

LASTS: Final = timedelta(days=7)
"""How long a request waits for a decision unless its kind says otherwise."""


class UnknownKind(InvalidInput):
    """No kind of approval is registered under that name."""

    code = "approval.unknown_kind"


@dataclass(frozen=True, slots=True)
class PreviewLine:
    """A journal line that an approval would write."""

    side: str
    code: str
    name: str
    amount: Decimal
    unit: str
    customer_key: str = ""
    dimension: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """A balance before and after, e.g. of a customer's goodwill credits."""

    label: str
    before: Decimal
    after: Decimal
    unit: str


@dataclass(frozen=True, slots=True)
class Preview:
    """What executing an approval would do now: journal lines, balances that move, and facts in words."""

    lines: Sequence[PreviewLine] = ()
    changes: Sequence[Change] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What is asked for, as label and text: ``{"Expires": "Never"}``."""

    def fingerprint(self) -> str:
        """The same preview has the same fingerprint; any other amount, account, balance or fact another."""
        said = [
            [[line.side, line.code, plain(line.amount), line.unit, line.customer_key, line.dimension]
             for line in self.lines],
            [[one.label, plain(one.before), plain(one.after), one.unit] for one in self.changes],
            sorted(self.facts.items()),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _no_lock(approval: Approval, at: datetime) -> None:
    """Nothing to lock."""


def _its_customer(approval: Approval) -> Sequence[str]:
    return [approval.customer_key] if approval.customer_key else []


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of approval.

    ``preview(approval, at)`` writes nothing and raises what ``execute`` would refuse. ``execute(approval, at, actor)``
    writes, in the transaction of the decision, and answers what it led to (at most 200 characters, e.g.
    ``"period:3"``); ``actor`` is the approver. An entry that carries the approval's id has used it already: then the
    answer is not needed. ``lock(approval, at)`` takes the locks under which the preview cannot change any more.
    """

    title: str
    permission: str
    """Who may decide, e.g. ``ledger.approve_credit``."""
    preview: Callable[[Approval, datetime], Preview]
    execute: Callable[[Approval, datetime, Actor], str]
    lock: Callable[[Approval, datetime], None] = _no_lock
    lasts: timedelta = LASTS
    customers: Callable[[Approval], Sequence[str]] = _its_customer
    """The keys of the customers it is about: who belongs to one of them does not approve."""


def kinds() -> dict[str, Kind]:
    """Every registered kind by its code."""
    return {code: import_string(path) for code, path in settings.APPROVAL_KINDS.items()}


def kind_of(code: str) -> Kind:
    """The registered kind. Raises :class:`UnknownKind`."""
    if code not in settings.APPROVAL_KINDS:
        raise UnknownKind(f"There is no kind of approval “{code}”.", field="kind")
    kind: Kind = import_string(settings.APPROVAL_KINDS[code])
    return kind
