"""Charts as data: a picture and its table twin from the same rows, so that they cannot disagree."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from billing_ops.kit.money import plain
from metering.usage import Hour

_GREY = "rgba(128, 140, 160, 0.9)"
_FAINT = "rgba(128, 140, 160, 0.22)"


@dataclass(frozen=True)
class Chart:
    """One series of bars. ``labels`` and ``values`` go together; ``columns`` head the table twin."""

    title: str
    columns: tuple[str, str]
    labels: Sequence[str]
    values: Sequence[Decimal]
    unit: str = ""
    note: str = ""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(self.values)

    @property
    def total(self) -> Decimal:
        """The sum of the bars."""
        return sum(self.values, Decimal(0))

    @property
    def rows(self) -> list[tuple[str, Decimal]]:
        """The table twin; rows of nothing are left out, as in the picture."""
        return [(label, value) for label, value in zip(self.labels, self.values, strict=True) if value]

    @property
    def data(self) -> str:
        """What the theme's script draws. Decimals travel as strings, never as floats."""
        series = {
            "label": f"{self.columns[1]}{f' ({self.unit})' if self.unit else ''}",
            "data": [plain(value) for value in self.values],
            "backgroundColor": "var(--color-primary-500)",
            "borderRadius": 2,
        }
        return json.dumps({"labels": list(self.labels), "datasets": [series]})

    @property
    def options(self) -> str:
        """Axes and colours that read well on light and dark alike."""
        ticks: dict[str, Any] = {"color": _GREY, "font": {"size": 11}}
        return json.dumps(
            {
                "animation": False,
                "responsive": True,
                "maintainAspectRatio": False,
                "plugins": {"legend": {"display": False}},
                "scales": {
                    "x": {"grid": {"display": False}, "ticks": {**ticks, "maxTicksLimit": 9, "maxRotation": 0}},
                    "y": {"beginAtZero": True, "grid": {"color": _FAINT}, "ticks": {**ticks, "maxTicksLimit": 5}},
                },
            }
        )


def by_hour(title: str, hours: Sequence[Hour], *, start: datetime, count: int, unit: str, note: str = "") -> Chart:
    """Bars for ``count`` whole UTC hours from ``start``, quiet hours included."""
    known = {hour.hour_start: hour.quantity for hour in hours}
    instants = [start + timedelta(hours=number) for number in range(count)]
    return Chart(
        title=title,
        columns=("Hour (UTC)", "Quantity"),
        labels=[instant.astimezone(UTC).strftime("%m-%d %H:00") for instant in instants],
        values=[known.get(instant, Decimal(0)) for instant in instants],
        unit=unit,
        note=note,
    )


def by_day(title: str, hours: Sequence[Hour], *, start: datetime, end: datetime, unit: str, note: str = "") -> Chart:
    """Bars for every UTC day that ``[start, end)`` touches, quiet days included."""
    sums: dict[str, Decimal] = {}
    day = start.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    while day < end:
        sums[day.strftime("%Y-%m-%d")] = Decimal(0)
        day += timedelta(days=1)
    for hour in hours:
        sums[hour.hour_start.astimezone(UTC).strftime("%Y-%m-%d")] += hour.quantity
    return Chart(title, ("Day (UTC)", "Quantity"), list(sums), list(sums.values()), unit, note)
