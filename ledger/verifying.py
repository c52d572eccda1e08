"""Recompute the books' invariants and the chain of seals, in one snapshot, and name everything that does not hold.

What a seal says is compared with the entries as they are now: the rows are read and hashed again here, by other means
than the database's function that sealed them. A head hash that was kept outside shows a chain that was made anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction

from ledger import proofs, sealing
from ledger.models import AccountCode, EventType, Seal
from ledger.proofs import Violation
from ledger.queries import statement
from ledger.rules import merkle
from ledger.rules.chart import CHART
from ledger.rules.routes import ROUTES
from ledger.rules.seals import FIRST, ids_of

Progress = Callable[[str], None]

_AT_ONCE = 2_000
_OF_A_CODE = (
    "category", "normal_side", "materialised", "exact", "floor", "memo", "takes_customer", "dimension",
    "dimension_required",
)  # fmt: skip
_OF_A_TYPE = ("draws_credit", "returns_credit", "adjusts", "needs_approval")
_NAMED = 20
"""So many entries of one seal are named; more of them are counted."""

GAP = "seal.gap"
EDITED = "seal.edited"
LINK = "seal.link"
HEAD = "seal.head"
ENTRY_REMOVED = "entry.removed"
ENTRY_EDITED = "entry.edited"
ENTRY_REORDERED = "entry.reordered"
ENTRY_ADDED = "entry.added"
CHANGE_REMOVED = "period_change.removed"
CHANGE_EDITED = "period_change.edited"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found. ``head`` is the chain's last hash: keep it outside."""

    violations: tuple[Violation, ...]
    seals: int
    head: str
    entries_sealed: int
    entries_waiting: int


def verify(*, expect_head: str = "", limit: int = 1000, progress: Progress = lambda text: None) -> Verdict:
    """Verify everything, in one REPEATABLE READ READ ONLY transaction: call it outside of any other.

    ``expect_head`` is a head that was kept outside: one of the chain's seals must have it. At most ``limit`` violations
    of the invariants are listed.
    """
    with transaction.atomic(durable=True):
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        progress("recomputing the invariants from the lines")
        found = _chart()
        found += proofs.violations(limit=limit)
        found += chain(expect_head=expect_head, progress=progress)
        totals = sealing.totals()
        head = sealing.head()
        return Verdict(
            tuple(found), totals["seals"], head.hash if head else "", totals["entries"] or 0, sealing.waiting()
        )


def _chart() -> list[Violation]:
    """The chart and the routes in the database that are not those of the rules: every guard goes by them."""
    codes = {row.code: [getattr(row, name) for name in _OF_A_CODE] for row in AccountCode.objects.all()}
    types = {
        row.code: [row.allowed_debit, row.allowed_credit, *(getattr(row, name) for name in _OF_A_TYPE)]
        for row in EventType.objects.all()
    }
    wanted_codes = {row.code: [getattr(row, name) for name in _OF_A_CODE] for row in CHART}
    wanted_types = {
        row.code: [list(row.debits), list(row.credits), *(getattr(row, name) for name in _OF_A_TYPE)] for row in ROUTES
    }
    return [
        Violation("CHART", f"{noun} {code}", "is not what the rules say of it")
        for noun, stored, wanted in (("account code", codes, wanted_codes), ("event type", types, wanted_types))
        for code in sorted(stored.keys() | wanted.keys())
        if stored.get(code) != wanted.get(code)
    ]


def chain(*, expect_head: str = "", progress: Progress = lambda text: None) -> list[Violation]:
    """Violations of the chain: each seal against itself, the one before it, and the rows that it covers."""
    found: list[Violation] = []
    count = Seal.objects.count()
    expected, previous = 1, None
    hashes = set()
    for number, row in enumerate(Seal.objects.order_by("seq").iterator(chunk_size=20), 1):
        found += _links(row, expected, previous)
        broken = list(_itself(row))
        found += broken or [*_entries(row), *_changes(row)]  # what a bent seal says of entries means nothing
        hashes.add(row.hash)
        expected, previous = row.seq + 1, row
        if number % 100 == 0 or number == count:
            progress(f"seal {number} of {count}")
    if previous is not None and not any(one.rule.startswith("seal.") for one in found):
        found += _slipped_in(previous)
    if expect_head and expect_head not in hashes:
        found.append(
            Violation(HEAD, "chain", f"no seal has the expected hash {expect_head}: the chain was made anew or cut off")
        )
    return found


def _links(row: Seal, expected: int, previous: Seal | None) -> Iterator[Violation]:
    if row.seq != expected:
        missing = f"seal {expected}" if row.seq == expected + 1 else f"seals {expected} to {row.seq - 1}"
        yield Violation(GAP, missing, "missing from the chain")
    elif row.previous_hash != (previous.hash if previous else FIRST):
        yield Violation(LINK, f"seal {row.seq}", "does not continue the seal before it")
    elif previous is not None and _jumps(row, previous):
        yield Violation(LINK, f"seal {row.seq}", "does not begin where the seal before it ended")


def _jumps(row: Seal, previous: Seal) -> bool:
    return row.system_identifier == previous.system_identifier and row.from_xid != previous.to_xid


def _itself(row: Seal) -> Iterator[Violation]:
    if sealing.text_of(row).hash() != row.hash:
        yield Violation(EDITED, f"seal {row.seq}", "its hash is not that of what it says")
    elif merkle.root(sealing.leaves_of(row)).hex() != row.merkle_root:
        yield Violation(EDITED, f"seal {row.seq}", "its root is not that of its leaves")


def _entries(row: Seal) -> list[Violation]:
    ids = ids_of(row.entries)
    stored = sealing.leaves_of(row)[: len(ids)]
    now = _hashes("entry_forms", ids)
    gone = [one for one in ids if one not in now]
    found = [Violation(ENTRY_REMOVED, f"entry {one}", f"sealed in {row.seq} and gone") for one in gone]
    there = [one for one in ids if one in now]
    if not gone and sorted(now.values()) == sorted(stored):
        moved = [one for one, leaf in zip(ids, stored, strict=True) if now[one] != leaf]
        found += [Violation(ENTRY_REORDERED, f"entry {one}", f"sealed in {row.seq} at another place") for one in moved]
    else:
        sealed = dict(zip(ids, stored, strict=False))
        edited = [one for one in there if now[one] != sealed.get(one)]
        found += [Violation(ENTRY_EDITED, f"entry {one}", f"is not what was sealed in {row.seq}") for one in edited]
    return _few(found, row)


def _changes(row: Seal) -> Iterator[Violation]:
    ids = ids_of(row.changes)
    stored = dict(zip(ids, sealing.leaves_of(row)[row.entry_count :], strict=False))
    now = _hashes("change_forms", ids)
    for one in ids:
        if one not in now:
            yield Violation(CHANGE_REMOVED, f"period change {one}", f"sealed in {row.seq} and gone")
        elif now[one] != stored.get(one):
            yield Violation(CHANGE_EDITED, f"period change {one}", f"is not what was sealed in {row.seq}")


def _slipped_in(last: Seal) -> list[Violation]:
    """Entries that claim a transaction of which everything is sealed, and are not."""
    with connection.cursor() as cursor:
        cursor.execute(
            statement("slipped_in"), {"system_identifier": last.system_identifier, "to_xid": str(last.to_xid)}
        )
        rows: Sequence[tuple[Any, ...]] = cursor.fetchall()
    return [Violation(ENTRY_ADDED, f"entry {one}", "was not there when its time was sealed") for (one,) in rows]


def _hashes(form: str, ids: Sequence[int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    with connection.cursor() as cursor:
        for start in range(0, len(ids), _AT_ONCE):
            cursor.execute(statement(form), {"ids": list(ids[start : start + _AT_ONCE])})
            found |= {row: merkle.leaf(text) for row, text in cursor.fetchall()}
    return found


def _few(found: list[Violation], row: Seal) -> list[Violation]:
    if len(found) <= _NAMED:
        return found
    rest = len(found) - _NAMED
    return [*found[:_NAMED], Violation(found[-1].rule, f"seal {row.seq}", f"and {rest} more of its entries")]
