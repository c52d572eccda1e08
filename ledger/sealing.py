"""Seal the journal: chain what is committed under Merkle roots, off the hot path.

The database's function ``ledger_seal_next`` (migration 0005, with the reasons) takes what is final and writes one seal;
here is who asks it, and what a seal is good for: the head to keep outside, and the proof that one entry is in it.
"""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import connection, transaction
from django.db.models import Count, F, Max, Sum

from billing_ops.kit.errors import NotFound
from ledger.models import Book, Entry, Seal
from ledger.queries import statement
from ledger.rules import merkle
from ledger.rules.seals import SealText, ids_of

ENTRIES_A_SEAL = 5_000
SEALS_A_RUN = 20


class NotSealed(NotFound):
    """The entry is in no seal yet, or the day has none."""

    code = "ledger.not_sealed"
    remedy = "Sealing runs every few minutes; an entry waits for the transactions that were open when it was written."


@dataclass(frozen=True, slots=True)
class Head:
    """The last seal of a chain, or of a day: its hash stands for everything up to it."""

    seq: int
    hash: str
    merkle_root: str
    sealed_at: datetime
    entries: int
    """How many entries the chain has sealed up to here."""
    system_identifier: int


def seal(*, at: datetime, most: int = ENTRIES_A_SEAL, seals: int = SEALS_A_RUN) -> list[int]:
    """Seal what is committed and final, at most ``seals`` seals of ``most`` entries; their numbers.

    Each seal is a transaction of its own: killed in between, what is sealed is a whole chain. While another worker
    seals, this one does nothing. The seal is its own trail: the audit trail is for what people do.
    """
    made: list[int] = []
    for _ in range(seals):
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT ledger_seal_next(%s, %s)", [at, most])
            seq = cursor.fetchone()[0]
        if seq is None:
            break
        made.append(seq)
    return made


def head(*, day: date | None = None) -> Head | None:
    """The last seal, or the last one made on or before that day of the book: None if there is none."""
    rows = Seal.objects.defer("leaves")
    if day is not None:
        zone = ZoneInfo(Book.objects.values_list("timezone", flat=True).get(key="main"))
        rows = rows.filter(sealed_at__lt=datetime.combine(day + timedelta(days=1), time(), zone))
    last = rows.order_by("-seq").first()
    if last is None:
        return None
    sealed = Seal.objects.filter(seq__lte=last.seq).aggregate(sum=Sum("entry_count"))["sum"]
    return Head(last.seq, last.hash, last.merkle_root, last.sealed_at, sealed, last.system_identifier)


def waiting() -> int:
    """How many entries no seal has yet."""
    last = Seal.objects.defer("leaves").order_by("-seq").first()
    if last is None:
        return Entry.objects.count()
    with connection.cursor() as cursor:
        cursor.execute(
            statement("unsealed"), {"system_identifier": last.system_identifier, "from_xid": str(last.to_xid)}
        )
        return int(cursor.fetchone()[0])


def proof(*, public_id: UUID | str) -> dict[str, Any]:
    """The proof that an entry is sealed, as JSON values: its canonical text, the path to the root, and its seal.

    Whoever holds a later head needs only SHA-256 to check it: see ``rules/merkle.py`` and ``rules/seals.py``. Raises
    :class:`NotSealed`.
    """
    entry_id = Entry.objects.filter(public_id=public_id).values_list("pk", flat=True).first()
    row = Seal.objects.extra(where=["entries @> %s::bigint"], params=[entry_id]).first() if entry_id else None
    if entry_id is None or row is None:
        raise NotSealed(f"The entry {public_id} is in no seal.")
    with connection.cursor() as cursor:
        cursor.execute(statement("entry_forms"), {"ids": [entry_id]})
        text: str = cursor.fetchone()[1]
    index = ids_of(row.entries).index(entry_id)
    return {
        "entry": text,
        "leaf": merkle.leaf(text).hex(),
        "path": [[side, node.hex()] for side, node in merkle.path(leaves_of(row), index)],
        "merkle_root": row.merkle_root,
        "seal": row.seq,
        "seal_hash": row.hash,
    }


def leaves_of(row: Seal) -> list[bytes]:
    """The hashes under a seal's root."""
    leaves = bytes(row.leaves)
    return [leaves[start : start + 32] for start in range(0, len(leaves), 32)]


def text_of(row: Seal) -> SealText:
    """What a seal says, for its hash."""
    return SealText(**{name: getattr(row, name) for name in SealText.__slots__})


def totals() -> dict[str, Any]:
    """Number of seals, entries in them, and the last one's instant."""
    return Seal.objects.aggregate(seals=Count("seq"), entries=Sum(F("entry_count")), last=Max("sealed_at"))
