"""What a seal says, and the hash of it."""

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

FIRST = "0" * 64
"""What the first seal has for the hash before it."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class SealText:
    """All that a seal's own hash covers; ``entries`` and ``changes`` are sets of ids as PostgreSQL writes them."""

    form_version: int
    seq: int
    previous_hash: str
    system_identifier: int
    from_xid: int
    to_xid: int
    catches_up_to: int | None
    entries: str
    changes: str
    entry_count: int
    line_count: int
    draw_count: int
    change_count: int
    merkle_root: str
    sealed_at: datetime

    def hash(self) -> str:
        """SHA-256 of the canonical text, in hexadecimal digits."""
        text = json.dumps([
            "seal", self.form_version, self.seq, self.previous_hash, str(self.system_identifier), str(self.from_xid),
            str(self.to_xid), self.catches_up_to, self.entries, self.changes, self.entry_count, self.line_count,
            self.draw_count, self.change_count, self.merkle_root,
            (self.sealed_at - _EPOCH) // timedelta(microseconds=1),
        ])  # fmt: skip
        return hashlib.sha256(text.encode()).hexdigest()


def ids_of(ranges: str) -> list[int]:
    """The ids in a set such as ``{[1,4),[7,8)}``, in order."""
    found: list[int] = []
    for span in ranges.strip("{}").replace("),[", ")|[").split("|"):
        if span:
            low, high = span.strip("[)").split(",")
            found.extend(range(int(low), int(high)))
    return found
