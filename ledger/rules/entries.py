"""An entry and its lines before they are posted."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.money import LEDGER_SCALE
from ledger.rules.chart import BY_CODE
from ledger.rules.routes import BY_TYPE, Route

Side = Literal["debit", "credit"]

REFS = frozenset({"invoice", "grant", "stripe", "batch"})


@dataclass(frozen=True, slots=True)
class LineSpec:
    """One debit or credit: a code of the chart, a positive amount in a unit, and what the code's account needs.

    ``customer_key`` and ``dimension`` (grant, dispute, jurisdiction, contract) stay empty where the code takes none.
    ``reserved_id``: the line takes from a grant what draws say that were written under that id; its entry has it.
    """

    side: Side
    code: str
    amount: Decimal
    unit: str
    customer_key: str = ""
    dimension: str = ""
    reserved_id: int | None = field(default=None, compare=False)

    @property
    def sign(self) -> int:
        """+1 for a debit, -1 for a credit."""
        return 1 if self.side == "debit" else -1

    def mirrored(self) -> "LineSpec":
        """The same line on the other side."""
        other: Side = "credit" if self.side == "debit" else "debit"
        return LineSpec(other, self.code, self.amount, self.unit, self.customer_key, self.dimension)


def debit(
    code: str, amount: Decimal, unit: str, *, customer_key: str = "", dimension: str = ""
) -> tuple[LineSpec, ...]:
    """A debit of that amount; a negative amount is a credit, a zero amount no line at all."""
    if amount == 0:
        return ()
    side: Side = "debit" if amount > 0 else "credit"
    return (LineSpec(side, code, abs(amount), unit, customer_key, dimension),)


def credit(
    code: str, amount: Decimal, unit: str, *, customer_key: str = "", dimension: str = ""
) -> tuple[LineSpec, ...]:
    """A credit of that amount; a negative amount is a debit, a zero amount no line at all."""
    return debit(code, -amount, unit, customer_key=customer_key, dimension=dimension)


def mirror(lines: Iterable[LineSpec]) -> tuple[LineSpec, ...]:
    """The lines that undo these, in the same order."""
    return tuple(line.mirrored() for line in lines)


def imbalance(lines: Iterable[LineSpec]) -> dict[str, Decimal]:
    """Debits less credits wherever they differ, by unit; memo lines are summed on their own (``"USD (memo)"``)."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for line in lines:
        code = BY_CODE.get(line.code)
        key = f"{line.unit} (memo)" if code is not None and code.memo else line.unit
        sums[key] += line.sign * line.amount
    return {key: total for key, total in sums.items() if total}


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """An entry that is asked for. ``key`` is unique within ``source``: the same key with the same content is one entry.

    ``refs`` may name ``invoice``, ``grant``, ``stripe`` and ``batch``. ``fx_rate`` is needed by lines in more than one
    unit. ``late="move"`` dates an entry whose period is closed to the first open day and keeps its own date in
    ``occurred_at``; otherwise it is refused.
    """

    movement: str
    key: str
    lines: Sequence[LineSpec]
    effective_at: datetime
    actor: Actor
    source: str = "billing"
    customer_key: str = ""
    refs: Mapping[str, str] = field(default_factory=dict)
    reason_code: str = ""
    reason_note: str = ""
    ticket: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    fx_rate: Decimal | None = None
    reverses_id: int | None = None
    approval_id: int | None = None
    late: Literal["refuse", "move"] = "refuse"

    @property
    def reserved_id(self) -> int | None:
        """The id under which draws were written before this entry; None if it draws nothing."""
        return next((line.reserved_id for line in self.lines if line.reserved_id is not None), None)


class InvalidEntry(InvalidInput):
    """An entry that breaks the books' own rules; ``details["rule"]`` names the one."""

    code = "ledger.invalid_entry"


MAX_AMOUNT = Decimal(10) ** 16


def has_hidden_mistake(draft: EntryDraft) -> bool:
    """Whether a draft has a mistake that the database would not notice: it would cut or forget something."""
    return not draft.key or draft.effective_at.tzinfo is None or (bool(draft.refs) and not REFS.issuperset(draft.refs))


def check(draft: EntryDraft) -> None:
    """Raise :class:`InvalidEntry` for a draft that the database would refuse, saying why in words."""
    route = BY_TYPE.get(draft.movement)
    if route is None:
        raise _invalid("event_type", f"There is no kind of entry “{draft.movement}”.")
    if not draft.key or len(draft.key) > 200:
        raise _invalid("key", "An entry needs a key of at most 200 characters.")
    if unknown := set(draft.refs) - REFS:
        raise _invalid("refs", f"An entry has no reference “{sorted(unknown)[0]}”.")
    if draft.effective_at.tzinfo is None:
        raise _invalid("effective_at", "An entry's date needs a time zone.")
    if draft.actor.type == "user" and not draft.reason_code:
        raise _invalid("reason", "A person who posts gives a reason code.")
    if len(draft.lines) < 2:
        raise _invalid("lines", "An entry has at least two lines.")
    for line in draft.lines:
        _check_line(line, draft, route)
    if off := imbalance(draft.lines):
        listed = ", ".join(f"{total} {unit}" for unit, total in sorted(off.items()))
        raise _invalid("balanced", f"Debits and credits differ by {listed}.")
    if len({line.reserved_id for line in draft.lines} - {None}) > 1:
        raise _invalid("reserved_id", "An entry carries the draws of one application of credit.")
    if len({line.unit for line in draft.lines}) > 1 and draft.fx_rate is None:
        raise _invalid("fx_rate", "An entry across units carries its rate.")


def _check_line(line: LineSpec, draft: EntryDraft, route: Route) -> None:
    code = BY_CODE.get(line.code)
    if code is None:
        raise _invalid("code", f"The chart has no account {line.code}.")
    if not line.amount.is_finite() or not 0 < line.amount < MAX_AMOUNT or too_fine(line.amount):
        raise _invalid("amount", f"{line.code}: {line.amount} is not a positive amount of at most twelve decimals.")
    allowed = route.debits if line.side == "debit" else route.credits
    if draft.reverses_id is None and line.code not in allowed:
        raise _invalid("routing", f"“{route.label}” may not {line.side} {line.code} {code.name}.")
    if code.takes_customer != bool(line.customer_key):
        raise _invalid(
            "customer", f"{line.code} {code.name} {'needs' if code.takes_customer else 'takes no'} customer."
        )
    if (line.dimension and not code.dimension) or (code.dimension_required and not line.dimension):
        raise _invalid("dimension", f"{line.code} {code.name}: its dimension is {code.dimension or 'none'}.")


def too_fine(amount: Decimal) -> bool:
    """Whether an amount has more than the ledger's twelve decimals."""
    exponent = amount.as_tuple().exponent
    return not isinstance(exponent, int) or (exponent < -LEDGER_SCALE and amount != round(amount, LEDGER_SCALE))


def _invalid(rule: str, message: str) -> InvalidEntry:
    return InvalidEntry(message, rule=rule, field=rule)
