"""Credit that comes again, over HTTP: make, list, end."""

from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Query
from pydantic import Field, StringConstraints

from billing_ops.kit import clock
from billing_ops.kit.errors import NotFound
from billing_ops.kit.http import (
    AmountOut,
    AmountText,
    ApiRequest,
    ApiRouter,
    Body,
    Instant,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
    idempotency,
    paginate,
)
from ledger import holders, limiting, scheduling
from ledger.api.fields import Feature, Reason, Text, UnitCode, amount_out, quantity_of
from ledger.models import CreditSchedule
from ledger.rules.limits import Authority
from ledger.rules.recurrence import Rollover
from ledger.rules.schedules import ScheduleTerms
from ledger.rules.terms import scope_of

router = ApiRouter(tags=["Schedules"])

_AUTHORITY = Authority(roles=(limiting.API_KEY,))


class ScheduleNotFound(NotFound):
    """No schedule has that id."""

    code = "schedule.not_found"


class RolloverIn(Body):
    """What of a period's remainder is kept: min(max, max(min, remaining)). Without a maximum there is no ceiling."""

    min: AmountText = "0"
    max: AmountText | None = None


class ScheduleIn(Body):
    """Credit of these terms every period, from ``anchor`` on; each expires when its period ends."""

    customer: Key
    kind: Literal["promotional", "goodwill", "included"]
    amount: AmountText
    unit: UnitCode
    every: Literal["day", "week", "month", "year"]
    anchor: Instant = Field(description="The start of the first period. Day 31 is a shorter month's last day.")
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=64)] = Field("UTC", examples=["Europe/Berlin"])
    ends_at: Instant | None = Field(None, description="Periods that would start then or later are not given.")
    rollover: RolloverIn | None = Field(None, description="Null: a period's remainder expires with it.")
    reason_code: Reason
    priority: Annotated[int, Field(ge=0, le=100, description="Lower burns first.")] = 50
    scope: list[Feature] = Field(default=[], max_length=50, description="Features it pays for; empty: all.")
    ticket: Text = ""
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


class ScheduleOut(Out):
    """A schedule, and when it gives credit next."""

    id: UUID
    customer: str
    kind: str
    amount: AmountOut
    unit: str
    every: str
    anchor: InstantOut
    time_zone: str
    ends_at: InstantOut | None
    rollover_min: AmountOut | None
    rollover_max: AmountOut | None
    priority: int
    scope: list[str]
    reason_code: str
    given: int = Field(description="Periods given so far.")
    next_at: InstantOut | None = Field(description="Null: nothing is to come.")


class EndIn(Body):
    """From when on nothing is given, and why."""

    ends_at: Instant | None = Field(None, description="Null: now.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class SchedulesQuery(PageQuery):
    """Whose schedules."""

    customer: Key


@router.make("/credit-schedules", scope="credits:write", answer=ScheduleOut)
def make_schedule(request: ApiRequest, body: ScheduleIn) -> ScheduleOut:
    """Give credit every period. A period is given once, also after an outage; a key promises within its limits."""
    holders.check(customer_key=body.customer, unit=body.unit)
    rollover = None
    if body.rollover is not None:
        least = quantity_of(body.rollover.min, body.unit, field="rollover.min", allow_zero=True)
        most = body.rollover.max and quantity_of(body.rollover.max, body.unit, field="rollover.max")
        rollover = Rollover(least, most or None)
    made = scheduling.schedule(
        terms=ScheduleTerms(
            customer_key=body.customer,
            amount=quantity_of(body.amount, body.unit),
            anchor_at=body.anchor,
            rollover=rollover,
            scope=scope_of(body.scope),
            **body.model_dump(exclude={"customer", "amount", "anchor", "rollover", "scope"}),
        ),
        key=idempotency.operation_key(request),
        actor=request.auth.actor,
        at=clock.now(),
        authority=_AUTHORITY,
    )
    return _out(made)


@router.read("/credit-schedules", scope="balances:read", answer=Page[ScheduleOut])
def list_schedules(request: ApiRequest, query: Query[SchedulesQuery]) -> Page[ScheduleOut]:
    """A customer's schedules, the newest first, the ended ones too."""
    rows = CreditSchedule.objects.filter(customer_key=query.customer)
    found = paginate(rows, page=query, order=["-id"], listing="credit-schedules")
    return Page(items=[_out(row) for row in found.items], next_cursor=found.next_cursor)


@router.read("/credit-schedules/{schedule_id}", scope="balances:read", answer=ScheduleOut)
def get_schedule(request: ApiRequest, schedule_id: UUID) -> ScheduleOut:
    """One schedule."""
    return _out(_schedule(schedule_id))


@router.make("/credit-schedules/{schedule_id}/end", scope="credits:write", answer=ScheduleOut, status=200)
def end_schedule(request: ApiRequest, schedule_id: UUID, body: EndIn) -> ScheduleOut:
    """Give nothing more from an instant on. What was given stays until it expires."""
    row = _schedule(schedule_id)
    return _out(
        scheduling.end(schedule=row, reason=body.reason, actor=request.auth.actor, at=clock.now(), ends_at=body.ends_at)
    )


def _schedule(schedule_id: UUID) -> CreditSchedule:
    found = CreditSchedule.objects.filter(public_id=schedule_id).first()
    if found is None:
        raise ScheduleNotFound(f"There is no schedule {schedule_id}.")
    return found


def _out(row: CreditSchedule) -> ScheduleOut:
    names = ("kind", "every", "time_zone", "ends_at", "priority", "scope", "reason_code")
    said: dict[str, Any] = {name: getattr(row, name) for name in names}
    most = row.rollover_max
    return ScheduleOut.model_validate(
        said
        | {
            "id": row.public_id,
            "customer": row.customer_key,
            "unit": row.unit_id,
            "amount": amount_out(row.amount, row.unit_id),
            "anchor": row.anchor_at,
            "rollover_min": amount_out(row.rollover_min, row.unit_id) if row.rolls_over else None,
            "rollover_max": amount_out(most, row.unit_id) if most is not None else None,
            "given": row.next_number,
            "next_at": row.issue_due_at,
        }
    )
