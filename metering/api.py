"""Routes of metering: events in, meters, and what was used."""

from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from django.http import HttpResponse
from ninja import Query
from pydantic import Field

from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError, Conflict, InvalidInput, NotFound
from billing_ops.kit.http import (
    AmountOut,
    ApiRequest,
    ApiRouter,
    Body,
    Instant,
    InstantOut,
    Out,
    Page,
    PageQuery,
    Slug,
    paginate,
)
from billing_ops.kit.http.cursors import seal, unseal
from billing_ops.kit.periods import Period
from metering import defining, ingesting, usage
from metering.models import Meter
from metering.openapi import INGEST_BODY
from metering.rules import bodies

router = ApiRouter(tags=["Metering"])

Subject = Annotated[str, Field(min_length=1, max_length=255, description="The customer's key, as events carry it.")]
_encode: Final = msgspec.json.Encoder().encode


class MeterNotFound(NotFound):
    """No meter has this key."""

    code = "meter.not_found"


class EventRejected(BillingError):
    """The one event of a request was not taken; ``details["outcome"]`` says why."""

    code = "event.rejected"
    kept = "Nothing was stored."


class EventConflicts(Conflict):
    """The one event of a request has the identity of another; it is kept apart."""

    code = "event.conflict"
    kept = "The first event counts; this one is kept in the list of conflicts."
    remedy = "Give a new event a new id."


class BadPeriod(InvalidInput):
    """An end that is not after its start, or a period too long to read."""

    code = "period.invalid"


class OutcomeOut(Out):
    """What became of one event."""

    index: int
    id: str | None
    outcome: str = Field(description="accepted, duplicate, conflict or rejected")
    code: str | None = Field(None, description="Why it was not accepted: stable, for programs.")
    message: str | None = Field(None, description="The same for people.")


class IngestOut(Out):
    """The outcomes in the order of the events, and how many of each; given after the commit."""

    accepted: int
    duplicate: int
    conflict: int
    rejected: int
    batch: int | None = Field(description="The batch that holds the accepted events; null when nothing was new.")
    outcomes: list[OutcomeOut]


@router.ask(
    "/events",
    scope="events:write",
    answer=IngestOut,
    max_bytes=bodies.MAX_BODY_BYTES,
    problems=(409,),
    openapi={"requestBody": INGEST_BODY},
)
def send_events(request: ApiRequest) -> HttpResponse:
    """Send usage events as CloudEvents 1.0: one, an array, or one a line.

    Each event has an outcome. Identity is `source` and `id`: sent again it is a duplicate and counts once; with other
    content it is a conflict and is kept apart. One bad event never sinks its batch. A single event that is not taken is
    answered with a problem instead.
    """
    raw, single = bodies.split(request.body, request.headers.get("Content-Type", ""))
    result = ingesting.accept(events=raw, at=clock.now(), actor=request.auth.actor)
    if single:
        _refuse_single(result.outcomes[0])
    return HttpResponse(_encode(result), content_type="application/json")


def _refuse_single(outcome: ingesting.Outcome) -> None:
    if outcome.outcome == "rejected":
        raise EventRejected(outcome.message, outcome=msgspec.to_builtins(outcome))
    if outcome.outcome == "conflict":
        raise EventConflicts(outcome.message, outcome=msgspec.to_builtins(outcome))


class FilterIn(Body):
    """A condition that an event's data must pass."""

    path: str = Field(max_length=400, examples=["model"])
    op: str = Field(description="eq, ne, in, gt, gte, lt, lte or exists", examples=["eq"])
    value: Any = Field(examples=["large"])


class MeterIn(Body):
    """How events of one type become a quantity."""

    key: Slug
    name: str = Field(min_length=1, max_length=200)
    event_type: str = Field(min_length=1, max_length=255, examples=["llm.request"])
    aggregation: str = Field(description="sum or count", examples=["sum"])
    value_path: str = Field("", max_length=400, description="The property that a sum adds.", examples=["tokens.input"])
    filters: list[FilterIn] = Field(default_factory=list, max_length=10)
    unit: str = Field("", max_length=40, examples=["tokens"])


class MeterOut(Out):
    """A meter."""

    key: str
    name: str
    event_type: str
    aggregation: str
    value_path: str
    filters: list[dict[str, Any]]
    unit: str
    created_at: InstantOut
    archived_at: InstantOut | None


@router.make("/meters", scope="meters:write", answer=MeterOut)
def define_meter(request: ApiRequest, body: MeterIn) -> Meter:
    """Define a meter. It counts the events that came before it, too, and never changes what it counts."""
    return defining.define(**body.model_dump(), at=clock.now(), actor=request.auth.actor)


@router.read("/meters", scope="meters:read", answer=Page[MeterOut])
def list_meters(request: ApiRequest, query: Query[PageQuery]) -> Page[MeterOut]:
    """List the meters by key."""
    found = paginate(Meter.objects.all(), page=query, order=["key"], listing="meters")
    return Page(items=[MeterOut.model_validate(meter) for meter in found.items], next_cursor=found.next_cursor)


@router.read("/meters/{key}", scope="meters:read", answer=MeterOut)
def get_meter(request: ApiRequest, key: str) -> Meter:
    """Look at one meter."""
    return _meter(key)


class UsageQuery(Body):
    """Whose usage, of what, in which half-open period."""

    meter: Slug
    customer: Subject
    start: Instant
    end: Instant

    def period(self) -> Period:
        if self.end <= self.start:
            raise BadPeriod("end must be after start.", field="end")
        return Period(self.start, self.end)


class UsageOut(Out):
    """A quantity, always current: ``lag_seconds`` says how far folding is behind, not that the figure is."""

    meter: str
    unit: str
    customer: str
    start: InstantOut
    end: InstantOut
    quantity: AmountOut
    events: int
    as_of: InstantOut
    lag_seconds: AmountOut
    watermark: int


@router.read("/usage", scope="usage:read", answer=UsageOut, problems=(404,))
def read_usage(request: ApiRequest, query: Query[UsageQuery]) -> UsageOut:
    """What a customer used of a meter from `start` up to `end`, to the microsecond."""
    meter = _meter(query.meter)
    reading = usage.quantity(meter=meter, subject=query.customer, period=query.period(), at=clock.now())
    return UsageOut(
        meter=meter.key,
        unit=meter.unit,
        customer=query.customer,
        start=query.start,  # type: ignore[arg-type]  # written as text
        end=query.end,  # type: ignore[arg-type]
        quantity=reading.quantity,  # type: ignore[arg-type]
        events=reading.events,
        as_of=reading.as_of,  # type: ignore[arg-type]
        lag_seconds=reading.lag_seconds,  # type: ignore[arg-type]
        watermark=reading.watermark,
    )


class HourOut(Out):
    """What was counted in one UTC hour."""

    hour_start: InstantOut
    quantity: AmountOut
    events: int


class HoursOut(Out):
    """Hours in which something was counted."""

    hours: list[HourOut]


@router.read("/usage/hours", scope="usage:read", answer=HoursOut, problems=(404,))
def read_usage_hours(request: ApiRequest, query: Query[UsageQuery]) -> HoursOut:
    """The same by UTC hour, at most 366 days; hours without a counted event are left out."""
    period = query.period()
    if period.seconds > 366 * 86_400:
        raise BadPeriod("At most 366 days can be read by the hour.", field="end")
    hours = usage.hourly(meter=_meter(query.meter), subject=query.customer, period=period)
    return HoursOut(hours=[HourOut.model_validate(hour) for hour in hours])


class UsageEventsQuery(UsageQuery, PageQuery):
    """Whose events, page by page."""


class CountedEventOut(Out):
    """A raw event behind a quantity: what it counted, or why it counted nothing."""

    source: str
    event_id: str
    occurred_at: InstantOut
    data: dict[str, Any]
    value: AmountOut | None
    verdict: str = Field(description="counted, missing or not_numeric")


@router.read("/usage/events", scope="usage:read", answer=Page[CountedEventOut], problems=(404,))
def list_usage_events(request: ApiRequest, query: Query[UsageEventsQuery]) -> Page[CountedEventOut]:
    """The raw events behind a quantity, oldest first; their values add up to it."""
    filters = query.filters()
    position = unseal("usage-events", filters, query.cursor)
    after = usage.Position(datetime.fromisoformat(position[0]), *position[1:]) if position else None
    page = usage.events_of(
        meter=_meter(query.meter), subject=query.customer, period=query.period(), after=after, limit=query.limit
    )
    cursor = None
    if page.next is not None:
        cursor = seal("usage-events", filters, [page.next.occurred_at, page.next.source, page.next.event_id])
    return Page(items=[CountedEventOut.model_validate(event) for event in page.events], next_cursor=cursor)


def _meter(key: str) -> Meter:
    meter = Meter.objects.filter(key=key).first()
    if meter is None:
        raise MeterNotFound(f"There is no meter “{key[:80]}”.", remedy="GET /meters lists them.")
    return meter
