"""Decide a draft's lines in memory, against balances that are locked."""

from collections.abc import Mapping
from decimal import Decimal

from billing_ops.kit.errors import BillingError
from billing_ops.kit.money import plain
from ledger.opening import Key, Place
from ledger.rules.entries import EntryDraft, InvalidEntry, LineSpec, check, too_fine

_SHORTEST_TOO_FINE = len("0.1234567890123")


class Overdraft(BillingError):
    """An account would fall below its floor, holds counted."""

    code = "ledger.overdraft"


def decide(draft: EntryDraft, entry_id: int, day: str, places: Mapping[Key, Place]) -> str:
    """The draft's lines in the text format of COPY, with versions and balances; the places move along.

    Raises :class:`Overdraft` if the entry leaves an account below its floor, and :class:`InvalidEntry` for an amount
    that the database would round.
    """
    rows = []
    floored: list[tuple[LineSpec, Place]] = []
    for number, line in enumerate(draft.lines, 1):
        place = places[line.code, line.customer_key, line.dimension, line.unit]
        amount = line.amount
        text = str(amount)
        if (len(text) >= _SHORTEST_TOO_FINE or "E" in text) and too_fine(amount):
            check(draft)
            raise InvalidEntry(f"{text} has more than twelve decimals.", rule="amount", field="amount")
        side = 1 if line.side == "debit" else -1
        kept = "\\N\t\\N"
        if place.materialised:
            place.version += 1
            place.net += amount if side == place.normal_side else -amount
            kept = f"{place.version}\t{place.net}"
            if place.floor is not None:
                floored.append((line, place))
        rows.append(f"{entry_id}\t{number}\t{place.id}\t{line.unit}\t{side}\t{text}\t{kept}\t{day}\n")
    for line, place in floored:
        if place.floor is not None and place.net - (place.held or 0) < place.floor:
            raise _overdraft(line, place)
    return "".join(rows)


def _overdraft(line: LineSpec, place: Place) -> Overdraft:
    short = (place.floor or Decimal(0)) - (place.net - (place.held or 0))
    return Overdraft(
        f"Account {line.code} of {line.customer_key} is {plain(short)} {line.unit} short.",
        remedy="Take less, or raise the balance first.",
        account=line.code,
        customer_key=line.customer_key,
        short=plain(short),
        unit=line.unit,
    )
