"""What an approval is made of, as values: its statuses, the canonical text of its content, who counts as one person.

The database holds the same rules (``billing_ops/migrations/0004_approvals.sql``); tests compare the two.
"""

import hashlib
import json
import unicodedata
from collections.abc import Mapping
from typing import Any, Final, Literal

from billing_ops.kit.errors import InvalidInput

Status = Literal["pending", "approved", "rejected", "withdrawn", "expired", "void"]

PENDING: Final = "pending"

TRANSITIONS: Final[Mapping[str, frozenset[str]]] = {
    "pending": frozenset({"approved", "rejected", "withdrawn", "expired", "void"}),
    "approved": frozenset(),
    "rejected": frozenset(),
    "withdrawn": frozenset(),
    "expired": frozenset(),
    "void": frozenset(),
}
"""From each status, those that may follow. What is decided stays decided."""

OWN_DOMAIN: Final = "own_domain"
SPLITTING: Final = "splitting"
FLAGS: Final[Mapping[str, str]] = {
    OWN_DOMAIN: "Who asks belongs to the customer, by e-mail address.",
    SPLITTING: "Several credits to this customer within 24 hours together exceed what one may be.",
}
"""What may be odd about a request, in words."""


class BadSubject(InvalidInput):
    """Content of an approval that has no canonical text."""

    code = "approval.bad_subject"


def canonical(subject: Mapping[str, Any]) -> str:
    """The content as PostgreSQL writes its ``jsonb``: the same content is the same text, whoever wrote it.

    Amounts and instants go in as strings. Raises :class:`BadSubject` for what JSON writes in more than one way (floats,
    decimals) and for text that the database cannot keep.
    """
    return _text(dict(subject))


def content_hash(subject: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical text, in hexadecimal digits: what an approval is bound to."""
    return hashlib.sha256(canonical(subject).encode()).hexdigest()


def same_person(one: str, two: str) -> bool:
    """Whether two ids are one person's: case, width, space around them and what nobody sees make no difference."""
    return _person(one) == _person(two)


_UNSEEN: Final = dict.fromkeys(
    [0x00AD, 0x034F, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF]
)
"""Characters without width: soft hyphens, joiners, marks of direction."""


def _person(name: str) -> str:
    return unicodedata.normalize("NFKC", name).translate(_UNSEEN).strip().casefold()


def _text(value: Any) -> str:
    if value is None or isinstance(value, (bool, int)):
        return json.dumps(value)
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value):
            raise BadSubject("The content holds text that cannot be kept.", field="subject")
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_text(one) for one in value)}]"
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        names = sorted(value, key=lambda name: (len(name.encode("utf-8", "replace")), name.encode("utf-8", "replace")))
        return "{" + ", ".join(f"{_text(name)}: {_text(value[name])}" for name in names) + "}"
    raise BadSubject(f"The content holds a {type(value).__name__}: write it as text.", field="subject")
