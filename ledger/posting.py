"""The one door through which money moves.

Posting a batch (one transaction; all of it or nothing):

1. recognise entries that are already there by their key: same content is answered, other content refused (a large batch
   is taken to be new, and looked at if it is refused);
2. keep the periods of its days from being closed, and refuse what belongs to a closed one;
3. find or open the accounts;
4. lock the stored balances they keep, in the order of their ids;
5. decide in memory: versions, balances after each line, floors;
6. copy entries and lines in. Triggers check every rule again and move the stored balances.

Who posts the same key at the same moment meets the unique constraint (or the balance that the other left), looks again
and finds the other's entry.

Lock order across the product: Stripe object, subscription, invoice, period, wallet, balances by id, invoice series.
A caller that locks a wallet before it posts enters the period first (:func:`enter_period`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Literal
from zoneinfo import ZoneInfo

from django.db import DataError, IntegrityError, connection, transaction

from billing_ops.kit.actor import Actor
from billing_ops.kit.errors import BillingError, Conflict, IdempotencyMismatch
from ledger import copying, opening, replays
from ledger.deciding import Overdraft, decide
from ledger.models import Entry, Line, Period
from ledger.opening import OneBook, PeriodClosed
from ledger.rules import lifecycle, routes
from ledger.rules.entries import EntryDraft, InvalidEntry, LineSpec, check, has_hidden_mistake, mirror
from ledger.rules.worth import is_own

__all__ = [
    "AlreadyReversed",
    "Entered",
    "EntryDiffers",
    "InvalidEntry",
    "Overdraft",
    "PeriodClosed",
    "Posted",
    "enter_period",
    "post",
    "post_many",
    "post_reserved",
    "reserve_entry_id",
    "reserve_entry_ids",
    "reverse",
]

_ATTEMPTS = 5
_FEW = 50
"""Up to so many keys are looked for before they are written; a larger batch is taken to be new until it is refused."""
_SAME_KEY = "ledger_entry_one_per_key"


class EntryDiffers(IdempotencyMismatch):
    """An entry with this key is there and says something else."""

    code = "ledger.entry_differs"


class AlreadyReversed(Conflict):
    """An entry is reversed at most once, and a reversal not at all."""

    code = "ledger.already_reversed"


@dataclass(frozen=True, slots=True)
class Posted:
    """What became of a draft: the entry's id, and whether it had been there before."""

    id: int
    replayed: bool


def post(
    *,
    movement: str,
    key: str,
    lines: Sequence[LineSpec],
    at: datetime,
    actor: Actor,
    effective_at: datetime | None = None,
    source: str = "billing",
    customer_key: str = "",
    refs: Mapping[str, str] | None = None,
    reason_code: str = "",
    reason_note: str = "",
    ticket: str = "",
    metadata: Mapping[str, Any] | None = None,
    fx_rate: Decimal | None = None,
    approval_id: int | None = None,
    late: Literal["refuse", "move"] = "refuse",
) -> Entry:
    """Post one entry, dated ``effective_at`` (default ``at``); the same key and content return the one that is there.

    Raises :class:`InvalidEntry`, :class:`EntryDiffers`, :class:`Overdraft` or :class:`PeriodClosed`: then nothing
    was changed.
    """
    draft = EntryDraft(
        movement=movement,
        key=key,
        lines=lines,
        effective_at=effective_at or at,
        actor=actor,
        source=source,
        customer_key=customer_key,
        refs=refs or {},
        reason_code=reason_code,
        reason_note=reason_note,
        ticket=ticket,
        metadata=metadata or {},
        fx_rate=fx_rate,
        approval_id=approval_id,
        late=late,
    )
    return Entry.objects.get(pk=post_many([draft], at=at)[0].id)


def post_many(drafts: Sequence[EntryDraft], *, at: datetime) -> list[Posted]:
    """Post a batch through the same door, in one transaction: all of it or nothing. Raises as :func:`post`.

    The answers are in the order of the drafts. A key that comes twice in one batch with the same content is one entry.
    """
    look = len(drafts) <= _FEW
    for attempt in range(1, _ATTEMPTS + 1):
        known: Mapping[replays.Identity, replays.Earlier] = {}
        try:
            with transaction.atomic():
                known = replays.find(drafts) if look else {}
                return _post(drafts, known, at)
        except (BillingError, IntegrityError, DataError) as error:
            refused, rule = error, violated_rule(error)
        if attempt == _ATTEMPTS or isinstance(refused, DataError):
            break
        # Who posts a key that is there, or that someone else is posting, may be refused for what that entry left.
        if look and rule != _SAME_KEY and len(replays.find(drafts)) == len(known):
            break
        look = True
    if isinstance(refused, (IntegrityError, DataError)):
        raise _explained(rule or "data", drafts) from refused
    raise refused


def reverse(
    *,
    entry: Entry,
    key: str,
    at: datetime,
    actor: Actor,
    reason_code: str,
    reason_note: str = "",
    money: Decimal | None = None,
) -> Entry:
    """Undo an entry by its mirror image, once. Raises :class:`AlreadyReversed`, and as :func:`post`.

    ``money``: what its lines in a currency come to, of an expiry of units whose twelfth decimal is another by now.
    """
    if entry.reverses_id is not None:
        raise AlreadyReversed("A reversal cannot be reversed.", remedy="Post the right entry instead.")
    lines = Line.objects.filter(entry=entry).select_related("account").order_by("line_no")
    draft = EntryDraft(
        movement=routes.ENTRY_REVERSED,
        key=key,
        lines=[_worth(line, money) for line in mirror(replays.spec_of(line) for line in lines)],
        effective_at=at,
        actor=actor,
        customer_key=entry.customer_key,
        refs={
            name: value
            for name, value in (
                ("invoice", entry.invoice_ref),
                ("grant", entry.grant_ref),
                ("stripe", entry.stripe_ref),
                ("batch", entry.batch_ref),
            )
            if value
        },
        reason_code=reason_code,
        reason_note=reason_note,
        fx_rate=entry.fx_rate,
        reverses_id=entry.pk,
    )
    return Entry.objects.get(pk=post_many([draft], at=at)[0].id)


def _worth(line: LineSpec, money: Decimal | None) -> LineSpec:
    return line if money is None or is_own(line.unit) else replace(line, amount=money)


@dataclass(frozen=True, slots=True)
class Entered:
    """An open day that this transaction keeps from being closed."""

    book: OneBook
    day: date
    period_id: int

    @property
    def begins(self) -> datetime:
        """The day's first instant in the book's time zone."""
        return datetime.combine(self.day, time(), ZoneInfo(self.book.timezone))


def enter_period(*, effective_at: datetime) -> Entered:
    """Keep the period of that instant from being closed until the transaction ends, or raise :class:`PeriodClosed`."""
    book = opening.default_book()
    day = effective_at.astimezone(ZoneInfo(book.timezone)).date()
    period_id, status = opening.enter_periods(book, [day])[day]
    return entered(book, day, period_id, status)


def entered(book: OneBook, day: date, period_id: int, status: str) -> Entered:
    """The day of a period that is kept from being closed, or :class:`PeriodClosed`."""
    if status != "open":
        raise PeriodClosed(f"The books of {day:%Y-%m-%d} are closed.")
    return Entered(book, day, period_id)


def post_reserved(drafts: Sequence[EntryDraft], *, at: datetime, day: Entered) -> None:
    """Post entries under ids that this transaction reserved and with keys made of them: so they are new, nothing is
    looked for, and if one is refused the whole transaction is. Raises as :func:`post`, and ``IntegrityError``.
    """
    for draft in drafts:
        if has_hidden_mistake(draft) or draft.reserved_id is None:
            check(draft)
            raise InvalidEntry("An entry without a reserved id is posted by post_many.", rule="reserved_id")
    _write(drafts, at, day)


def reserve_entry_id() -> int:
    """An id for an entry to come, so that draws can name it before it is posted."""
    return _next_ids(1)[0]


def reserve_entry_ids(count: int) -> list[int]:
    """Ids for entries to come, as :func:`reserve_entry_id`."""
    return _next_ids(count)


def violated_rule(error: BaseException) -> str:
    """The name of the constraint or rule that the database says was violated; empty if it says none."""
    cause = error.__cause__
    return str(getattr(getattr(cause, "diag", None), "constraint_name", None) or "")


def _post(
    drafts: Sequence[EntryDraft], known: Mapping[replays.Identity, replays.Earlier], at: datetime
) -> list[Posted]:
    answers: dict[replays.Identity, Posted] = {}
    fresh: dict[replays.Identity, EntryDraft] = {}
    for draft in drafts:
        if has_hidden_mistake(draft):
            check(draft)
        identity = (draft.source, draft.key)
        if identity in known:
            earlier = known[identity]
            _same(draft, replays.differences(draft, earlier))
            answers[identity] = Posted(earlier.entry.pk, replayed=True)
        elif identity in fresh:
            _same(draft, replays.differing_fields(draft, fresh[identity]))
        else:
            fresh[identity] = draft
    if fresh:
        for identity, entry_id in zip(fresh, _write(list(fresh.values()), at), strict=True):
            answers[identity] = Posted(entry_id, replayed=False)
    return [answers[draft.source, draft.key] for draft in drafts]


def _write(drafts: Sequence[EntryDraft], at: datetime, today: Entered | None = None) -> list[int]:
    """Write drafts whose keys are new; their entries' ids. ``today``: a day that is entered, if one is."""
    book = opening.default_book() if today is None else today.book
    days = _dated(book, drafts, {} if today is None else {today.day: (today.period_id, "open")})
    places = opening.lock_accounts(book, {opening.key_of(line) for draft in drafts for line in draft.lines})
    numbers = iter(_next_ids(sum(draft.reserved_id is None for draft in drafts)))
    public = copying.ordered_hex(at, len(drafts))

    def decided() -> Iterator[copying.Decided]:
        for hexadecimal, draft, day in zip(public, drafts, days, strict=True):
            reserved = draft.reserved_id
            entry_id = next(numbers) if reserved is None else reserved
            lines = decide(draft, entry_id, day.effective_on.isoformat(), places)
            yield copying.Decided(entry_id, hexadecimal, draft, day, lines)

    return [row.id for row in copying.copy_in(book.pk, decided())]


def _same(draft: EntryDraft, differs: list[str]) -> None:
    if differs:
        raise EntryDiffers(
            f"The key “{draft.key}” was used for another entry: {', '.join(differs)} differ.",
            differs=differs,
            key=draft.key,
        )


def _dated(
    book: OneBook, drafts: Sequence[EntryDraft], entered_days: Mapping[date, tuple[int, str]]
) -> list[copying.Day]:
    """The accounting day and period of each draft; drafts of one instant share theirs."""
    zone = ZoneInfo(book.timezone)
    instants = {draft.effective_at for draft in drafts}
    days = {instant: instant.astimezone(zone).date() for instant in instants}
    missing = set(days.values()) - entered_days.keys()
    periods = {**entered_days, **(opening.enter_periods(book, missing) if missing else {})}
    open_days = {
        instant: copying.Day(instant, day, periods[day][0])
        for instant, day in days.items()
        if day in periods and periods[day][1] == "open"
    }
    return [open_days.get(draft.effective_at) or _elsewhere(book, zone, draft, periods) for draft in drafts]


def _elsewhere(
    book: OneBook, zone: ZoneInfo, draft: EntryDraft, periods: Mapping[date, tuple[int, str]]
) -> copying.Day:
    """Where an entry goes whose own day is not open."""
    day = draft.effective_at.astimezone(zone).date()
    if day not in periods:
        raise InvalidEntry(f"No period of the books has room for {day:%Y-%m-%d}.", rule="period")
    route = routes.BY_TYPE.get(draft.movement)
    by_person = draft.actor.type == "user" and draft.reason_code != ""
    if lifecycle.takes(periods[day][1], adjusts=route is not None and route.adjusts, by_person=by_person):
        return copying.Day(draft.effective_at, day, periods[day][0])
    if draft.late != "move":
        raise PeriodClosed(f"The books of {day:%Y-%m-%d} are closed.", day=day.isoformat())
    return _first_open(book, zone, draft, periods[day][0])


def _first_open(book: OneBook, zone: ZoneInfo, draft: EntryDraft, period_id: int) -> copying.Day:
    """The first open day after a closed period; the draft's own date is kept beside it."""
    status = "closed"
    while status != "open":
        day = Period.objects.values_list("ends_before", flat=True).get(pk=period_id)
        period_id, status = opening.enter_periods(book, [day])[day]
    midnight = datetime.combine(day, time(), zone)
    return copying.Day(midnight.astimezone(UTC), day, period_id, draft.effective_at)


def _next_ids(count: int) -> list[int]:
    if not count:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT string_agg(nextval('ledger_entry_id_seq')::text, ' ') FROM generate_series(1, %s)", [count]
        )
        return [int(number) for number in cursor.fetchone()[0].split()]


_RULES = {
    "data": "The entry holds text or a number that the books cannot keep.",
    "ledger_entry_reversed_once": "The entry has been reversed already.",
    "ledger_entry_reverses": "A reversal cannot be reversed.",
    "ledger_entry_approved": "The approval is for something else, or was used already.",
    "ledger_entry_needs_approval": "An entry of this kind needs an approval.",
    "ledger_line_drawn": "What an entry takes from credits must be drawn first, under the entry's reserved id.",
    "ledger_line_grant_issued_once": "A credit grant is issued once.",
    "ledger_line_units_money": "The money beside units keeps its proportion: give back what was drawn instead.",
    "ledger_line_scale": "An account that meets the outside holds whole minor units.",
}


def _explained(rule: str, drafts: Sequence[EntryDraft]) -> BillingError:
    """A database refusal in words: first by the drafts' own mistakes, else by the rule that the database names."""
    for draft in drafts:
        try:
            check(draft)
        except InvalidEntry as found:
            return found
    if rule in ("ledger_entry_reversed_once", "ledger_entry_reverses"):
        return AlreadyReversed(_RULES[rule])
    if rule == "ledger_entry_period_open":
        return PeriodClosed("The books of that day are closed.")
    return InvalidEntry(_RULES.get(rule, f"The database refused the entry: {rule or 'no rule named'}."), rule=rule)
