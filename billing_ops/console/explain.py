"""*Explain this amount*: a line rated again on the spot, from its price and the raw usage behind it.

The same functions as the bill do the work (``invoicing.charges``), so an equal amount means that the invoice follows
from what is stored. Usage that arrived after the line was billed is told apart by its batch: later than the line's
watermark. It is billed as a difference on a later invoice, never by changing this one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from billing_ops.console import charts
from billing_ops.kit.periods import Period
from invoicing import charges
from invoicing.models import InvoiceLine
from invoicing.rules.lines import RULES, rate_usage
from metering import usage
from metering.models import Meter
from plans import catalog
from plans.rules import rating


@dataclass(frozen=True)
class Day:
    """The hours of one UTC day."""

    date: str
    quantity: Decimal
    events: int
    hours: Sequence[usage.Hour]


@dataclass(frozen=True)
class Explanation:
    """A line taken apart. ``amount`` is what it comes to now, ``difference`` that less what was billed."""

    line: InvoiceLine
    rule: str
    terms_currency: str
    steps: Sequence[rating.Step]
    quantity: Decimal
    cumulative: Decimal
    unrounded: Decimal
    amount: Decimal
    at: datetime
    lag_seconds: Decimal
    billed_before: Decimal
    days: Sequence[Day] = ()
    chart: charts.Chart | None = None

    @property
    def difference(self) -> Decimal:
        """Zero when the invoice follows to the cent from what is stored now."""
        billed: Decimal = self.line.amount.amount
        return self.amount - billed

    @property
    def quantity_difference(self) -> Decimal:
        """Units that arrived (or were taken back) since the line was rated."""
        return self.quantity - self.line.quantity


def explain(line: InvoiceLine, *, at: datetime) -> Explanation:
    """Rate a line again as of now. ``line`` comes with its price, version, tiers, meter and item."""
    period = Period(line.service_start, line.service_end)
    if line.kind == InvoiceLine.Kind.ADVANCE:
        charge = charges.advance(line.agreed_item, period)
        days: list[Day] = []
        chart = None
    else:
        charge = charges.usage_charge(line.agreed_item, period, at=at, revision=line.revision)
        hours = hours_of(line, period)
        days = by_day(hours)
        chart = charts.by_day("Quantity by day", hours, start=period.start, end=period.end, unit=meter_of(line).unit)
    amounts = charge.amounts
    rated = rate_usage(catalog.terms_of(line.agreed_price), amounts.quantity)
    return Explanation(
        line=line,
        rule=RULES.get(amounts.rule, amounts.rule),
        terms_currency=rated.currency,
        steps=rated.steps,
        quantity=amounts.quantity,
        cumulative=amounts.cumulative,
        unrounded=amounts.unrounded,
        amount=amounts.amount,
        at=at,
        lag_seconds=charge.lag_seconds,
        billed_before=amounts.cumulative - amounts.unrounded,
        days=days,
        chart=chart,
    )


def meter_of(line: InvoiceLine) -> Meter:
    """The meter of a usage line."""
    meter = line.agreed_price.meter
    if meter is None:
        raise ValueError(f"line {line.pk} is no usage line")
    return meter


def hours_of(line: InvoiceLine, period: Period) -> list[usage.Hour]:
    """The quantity by UTC hour within a part of the line's service period."""
    return usage.hourly(meter=meter_of(line), subject=line.agreed_item.subscription.customer.key, period=period)


def by_day(hours: Sequence[usage.Hour]) -> list[Day]:
    """The hours that have events, gathered by UTC day."""
    gathered: dict[str, list[usage.Hour]] = {}
    for hour in hours:
        gathered.setdefault(hour.hour_start.astimezone(UTC).strftime("%Y-%m-%d"), []).append(hour)
    return [
        Day(day, sum((hour.quantity for hour in within), Decimal(0)), sum(hour.events for hour in within), within)
        for day, within in gathered.items()
    ]


def part_of(line: InvoiceLine, start: datetime, length: timedelta) -> Period | None:
    """The part of the service period within ``[start, start + length)``; None when they do not meet."""
    first, last = max(line.service_start, start), min(line.service_end, start + length)
    return Period(first, last) if first < last else None
