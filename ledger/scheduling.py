"""Credit that comes again: make and end schedules, give what is due, roll remainders over.

Rows carry the work: a schedule says when its next period and its next reset are due. One step of one schedule is one
transaction under the schedule's lock, and every grant has the natural key (schedule, period, part), so whoever runs it,
however often and after whatever outage, gives each period once.

At one instant: what is over expires, the reset rolls over, then the new period is given. A reset waits for the grace of
expiry, and for the metering watermark if one is supplied: late usage still finds the credit that was there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from django.db import DatabaseError, IntegrityError, transaction
from django.db.models import Q
from django.db.models.functions import Least

from billing_ops.kit import audit, failing
from billing_ops.kit.actor import Actor, system
from billing_ops.kit.errors import BillingError, Conflict, IdempotencyMismatch
from billing_ops.kit.money import plain
from billing_ops.kit.periods import Period
from ledger import drawing, issuing, limiting, moving, opening, posting, units, voiding
from ledger.issuing import Issue, Origin
from ledger.models import CreditGrant, CreditSchedule
from ledger.rules import movements
from ledger.rules.limits import NO_AUTHORITY, Authority
from ledger.rules.recurrence import Kept, Rollover, keep, period_of, split, start_of
from ledger.rules.schedules import ScheduleTerms, check_schedule
from ledger.rules.terms import Terms, differences
from ledger.rules.worth import Breakage, PromoPolicy, account_of, is_own

TASK: Final = "ledger.run_schedules"
SCHEDULES: Final = system("credit-schedules")


class ScheduleDiffers(IdempotencyMismatch):
    """A schedule with this key is there and has other terms."""

    code = "schedule.differs"


class ScheduleEnded(Conflict):
    """The schedule was given an end already, or would end in the past."""

    code = "schedule.ended"


@dataclass(frozen=True, slots=True)
class Run:
    """What a run goes by: the instant, until when resets are due, and the company's policies."""

    at: datetime
    reset_until: datetime
    promo_policy: PromoPolicy
    breakage: Breakage


def schedule(
    *, terms: ScheduleTerms, key: str, actor: Actor, at: datetime, authority: Authority = NO_AUTHORITY
) -> CreditSchedule:
    """Make a schedule; the same key and terms return the one that is there. Nothing is given before the task runs.

    A person or an API key may promise in 30 days no more than they may give, on ``authority``. Raises
    ``InvalidTerms``, ``units.NoRate``, ``limiting.AboveLimit`` and :class:`ScheduleDiffers`.
    """
    check_schedule(terms)
    first = terms.of_period(starts_at=terms.anchor_at, ends_at=terms.anchor_at + timedelta(days=1))
    units.worth_of(first, at=at, promo_policy="memo")
    rollover = terms.rollover or Rollover()
    try:
        with transaction.atomic():
            opening.register_units({terms.unit})
            if (earlier := _earlier(terms, key)) is not None:
                return earlier
            if limiting.limited(actor):
                limiting.lock_agent(actor)
                drawing.lock_wallet(terms.customer_key, terms.unit)
            limiting.enforce(terms=first, actor=actor, authority=authority, at=at, every=terms.every)
            made = CreditSchedule.objects.create(
                customer_key=terms.customer_key, unit_id=terms.unit, currency=terms.currency, kind=terms.kind,
                amount=terms.amount, every=terms.every, time_zone=terms.time_zone, anchor_at=terms.anchor_at,
                ends_at=terms.ends_at, priority=terms.priority, scope=list(terms.scope),
                rolls_over=terms.rollover is not None, rollover_min=rollover.least, rollover_max=rollover.most,
                reason_code=terms.reason_code, reason_note=terms.note, ticket=terms.ticket, idempotency_key=key,
                request=terms.request(), made_by_type=actor.type, made_by_id=actor.id, made_at=at,
                issue_due_at=terms.anchor_at,
            )  # fmt: skip
            _audit(made, "schedule.made", f"{_said(made)} from {made.anchor_at:%Y-%m-%d}", actor=actor, at=at)
            return made
    except IntegrityError:  # somebody used the same key at the same moment
        found = _earlier(terms, key)
        if found is None:
            raise
        return found


def end(
    *, schedule: CreditSchedule, reason: str, actor: Actor, at: datetime, ends_at: datetime | None = None
) -> CreditSchedule:
    """Give no period that would start at ``ends_at`` (default now) or later. What was given stays until it expires.

    Ended again for the same reason it is what it is. Raises :class:`ScheduleEnded`.
    """
    last = ends_at or at
    with transaction.atomic():
        row = CreditSchedule.objects.select_for_update().get(pk=schedule.pk)
        if row.ended_by == actor.id and row.end_reason == reason:
            return row
        if row.ended_by or last < at or (row.ends_at is not None and last > row.ends_at):
            raise ScheduleEnded("The schedule has an end already, or that instant is over.")
        row.ends_at, row.ended_by, row.end_reason = last, actor.id, reason
        if row.issue_due_at is not None and row.issue_due_at >= last:
            row.issue_due_at = None
        row.save(update_fields=["ends_at", "ended_by", "end_reason", "issue_due_at"])
        _audit(row, "schedule.ended", f"{_said(row)}: ended {last:%Y-%m-%d}", actor=actor, at=at, note=reason)
        return row


def run_due(
    *,
    at: datetime,
    grace: timedelta,
    promo_policy: PromoPolicy = "memo",
    breakage: Breakage = "income",
    watermark: datetime | None = None,
    limit: int = 1000,
) -> int:
    """Take every step that is due, at most ``limit``; how many. After an outage it goes on where it stopped.

    A schedule that fails is noted as failed work, rests for a while, and holds up none of the others.
    """
    run = Run(at, (min(at, watermark) if watermark else at) - grace, promo_policy, breakage)
    done = 0
    while done < limit and _step_of_one(run):
        done += 1
    return done


def of_customer(*, customer_key: str) -> list[CreditSchedule]:
    """A customer's schedules, the newest first."""
    return list(CreditSchedule.objects.filter(customer_key=customer_key).order_by("-id"))


def terms_of(row: CreditSchedule) -> ScheduleTerms:
    """A schedule's terms as they were asked for."""
    return ScheduleTerms(
        customer_key=row.customer_key,
        kind=row.kind,  # type: ignore[arg-type]  # the database holds the kinds
        amount=row.amount,
        unit=row.unit_id,
        every=row.every,  # type: ignore[arg-type]
        anchor_at=row.anchor_at,
        reason_code=row.reason_code,
        time_zone=row.time_zone,
        ends_at=row.ends_at,
        rollover=Rollover(row.rollover_min, row.rollover_max) if row.rolls_over else None,
        priority=row.priority,
        scope=tuple(row.scope),
        currency=row.currency,
        ticket=row.ticket,
        note=row.reason_note,
    )


def _step_of_one(run: Run) -> bool:
    """Take one step of the schedule that waits longest; False when none is due."""
    resting = failing.resting(task=TASK, at=run.at)
    row = None
    try:
        with transaction.atomic():
            row = (
                CreditSchedule.objects.select_for_update(skip_locked=True)
                .filter(Q(issue_due_at__lte=run.at) | Q(reset_due_at__lte=run.reset_until))
                .exclude(public_id__in=resting)
                .order_by(Least("issue_due_at", "reset_due_at"), "id")
                .first()
            )
            if row is None:
                return False
            _step(row, run)
    except (BillingError, DatabaseError) as error:
        if row is None:
            raise
        subject = str(row.public_id)
        failing.note(task=TASK, subject=subject, error=error, at=run.at, customer_key=row.customer_key[:128])
    else:
        failing.clear(task=TASK, subject=str(row.public_id))
    return True


def _step(row: CreditSchedule, run: Run) -> None:
    """The earlier of the two that are due; at one instant the reset comes first."""
    issue, reset = row.issue_due_at, row.reset_due_at
    resets = reset is not None and reset <= run.reset_until
    gives = issue is not None and issue <= run.at
    if resets and not (gives and issue is not None and reset is not None and issue < reset):
        _reset(row, run)
    else:
        _give(row, run)
    row.save(update_fields=["next_number", "reset_number", "issue_due_at", "reset_due_at"])


def _give(row: CreditSchedule, run: Run) -> None:
    """Give the next period its credit."""
    terms, number = terms_of(row), row.next_number
    period = period_of(row.anchor_at, number, every=row.every, zone=row.time_zone)
    wallet = _locked(row, run)
    _grant(row, terms.of_period(starts_at=period.start, ends_at=period.end), number, "base", run, wallet=wallet)
    row.next_number = number + 1
    row.issue_due_at = None if row.ends_at is not None and period.end >= row.ends_at else period.end
    if row.rolls_over and row.reset_due_at is None:
        row.reset_due_at = start_of(row.anchor_at, row.reset_number + 1, every=row.every, zone=row.time_zone)


def _reset(row: CreditSchedule, run: Run) -> None:
    """End a period: what is above the most expires, the rest goes on, and is filled up to the least."""
    number, terms = row.reset_number, terms_of(row)
    after = period_of(row.anchor_at, number + 1, every=row.every, zone=row.time_zone)
    goes_on = row.ends_at is None or after.start < row.ends_at
    wallet = _locked(row, run)
    grants = list(CreditGrant.objects.filter(schedule=row, schedule_period=number).order_by("pk"))
    open_ones = [one for one in map(voiding.taken_out, grants) if one.amount > 0]
    remaining = sum((one.amount for one in open_ones), terms.amount * 0)
    kept = keep(remaining, terms.rollover or Rollover()) if goes_on else Kept(remaining * 0, remaining, remaining * 0)
    parts = split(kept.moved, [one.amount for one in open_ones])
    for one, part in zip(open_ones, parts, strict=True):
        if one.amount > part:
            over = voiding.taken_out(one.grant, one.amount - part)
            voiding.book_expiry(over, at=run.at, actor=SCHEDULES, breakage=run.breakage)
        if part:
            _roll(row, voiding.taken_out(one.grant, part), after, number + 1, run, wallet=wallet)
    if kept.granted:
        filled = terms.of_period(starts_at=after.start, ends_at=after.end, amount=kept.granted)
        _grant(row, filled, number + 1, "minimum", run, wallet=wallet)
    row.reset_number = number + 1
    row.reset_due_at = after.end if goes_on or row.reset_number < row.next_number else None


def _locked(row: CreditSchedule, run: Run) -> int:
    posting.enter_period(effective_at=run.at)
    return drawing.lock_wallet(row.customer_key, row.unit_id)


def _grant(row: CreditSchedule, terms: Terms, number: int, part: str, run: Run, *, wallet: int) -> None:
    key = f"schedule:{row.public_id}:{number}:{part}"
    worth = units.worth_of(terms, at=max(row.made_at, terms.effective_at or run.at), promo_policy=run.promo_policy)
    code = account_of(terms.kind, own=is_own(terms.unit), expensed=run.promo_policy == "expense_on_grant")
    issue = Issue(terms, uuid4(), key, code, worth, _origin(row, number, part))
    lines = issuing.lines_for(terms, movements.CREDIT_GRANTED, code, worth, str(issue.public_id))
    when: dict[str, Any] = {"at": run.at, "effective_at": terms.effective_at, "late": "move"}
    issuing.post(issue, movement=movements.CREDIT_GRANTED, lines=lines, actor=SCHEDULES, **when)
    made = issuing.record(issue, at=run.at, actor=SCHEDULES, wallet=wallet)
    issuing.leave_trail(made, action="credit.granted", done="granted by a schedule", at=run.at, actor=SCHEDULES)


def _roll(
    row: CreditSchedule,
    leaving: voiding.Leaving,
    into: Period,
    number: int,
    run: Run,
    *,
    wallet: int,
) -> None:
    origin = _origin(row, number, "rolled", from_grant=leaving.grant)
    move = moving.plan(
        leaving,
        to_customer=row.customer_key,
        public_id=uuid4(),
        key=f"schedule:{row.public_id}:{number}:rolled:{leaving.grant.pk}",
        reason_code=row.reason_code,
        effective_at=into.start,
        expires_at=into.end,
        origin=origin,
    )
    issuing.post(
        move.issue,
        movement=movements.CREDIT_ROLLED_OVER,
        lines=move.lines(),
        at=run.at,
        effective_at=into.start,
        late="move",
        actor=SCHEDULES,
    )
    made = issuing.record(move.issue, at=run.at, actor=SCHEDULES, wallet=wallet)
    issuing.leave_trail(made, action="credit.rolled_over", done="rolled over", at=run.at, actor=SCHEDULES)


def _origin(row: CreditSchedule, number: int, part: str, from_grant: CreditGrant | None = None) -> Origin:
    return Origin(
        from_grant_id=from_grant.pk if from_grant else None,
        schedule_id=row.pk,
        schedule_period=number,
        schedule_part=part,
        rolls_over=row.rolls_over,
    )


def _earlier(terms: ScheduleTerms, key: str) -> CreditSchedule | None:
    found = CreditSchedule.objects.filter(idempotency_key=key).first()
    if found is not None and (differs := differences(terms.request(), found.request)):
        raise ScheduleDiffers(
            f"The key “{key}” was used for another schedule: {', '.join(differs)} differ.", differs=differs, key=key
        )
    return found


def _said(row: CreditSchedule) -> str:
    return f"{plain(row.amount)} {row.unit_id} of {row.kind} credit every {row.every}"


def _audit(row: CreditSchedule, action: str, summary: str, *, actor: Actor, at: datetime, note: str = "") -> None:
    audit.record(
        at=at, actor=actor, action=action, subject_type="credit_schedule", subject_key=str(row.public_id),
        customer_key=row.customer_key[:128], summary=summary, reason=row.reason_code, ticket=row.ticket[:64],
        note=note or row.reason_note,
    )  # fmt: skip


def upcoming(row: CreditSchedule, *, count: int = 3) -> Sequence[datetime]:
    """The next instants at which it gives credit."""
    starts = [
        start_of(row.anchor_at, row.next_number + step, every=row.every, zone=row.time_zone) for step in range(count)
    ]
    return [start for start in starts if row.issue_due_at is not None and (row.ends_at is None or start < row.ends_at)]
