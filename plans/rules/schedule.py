"""The calendar of a subscription: which periods it has.

Edges are counted from the anchor in the customer's time zone (``kit.periods``). Period 0 holds the start; it is shorter
than the others when the subscription starts between two edges. At edge k, where period k begins, the fees of period k
are owed in advance and the usage of period k − 1 in arrears; at the edge where the subscription ends, only usage.
"""

from dataclasses import dataclass
from datetime import datetime

from billing_ops.kit.periods import Period, edge


@dataclass(frozen=True, slots=True)
class Schedule:
    """Where a subscription's periods lie: ``starts_at`` is at or after the anchor's edge ``first``, before the next."""

    anchor: datetime
    starts_at: datetime
    zone: str
    first: int

    def period(self, number: int) -> Period:
        """Period ``number``, counted from 0."""
        start = edge(self.anchor, self.first + number, self.zone)
        return Period(max(start, self.starts_at), edge(self.anchor, self.first + number + 1, self.zone))

    def number_at(self, instant: datetime) -> int:
        """The number of the period that holds the instant; 0 before the start."""
        return max(0, _edge_before(self.anchor, instant, self.zone) - self.first)

    @property
    def begins_at_an_edge(self) -> bool:
        """Whether period 0 is a whole period."""
        return edge(self.anchor, self.first, self.zone) == self.starts_at


def schedule(*, anchor: datetime, starts_at: datetime, zone: str) -> Schedule:
    """The periods of a subscription that starts then and is billed at the edges counted from ``anchor``."""
    return Schedule(anchor, starts_at, zone, _edge_before(anchor, starts_at, zone))


def _edge_before(anchor: datetime, instant: datetime, zone: str) -> int:
    """The greatest k with edge k ≤ instant."""
    number = (instant.year - anchor.year) * 12 + instant.month - anchor.month + 2  # never too few in any zone
    while edge(anchor, number, zone) > instant:
        number -= 1
    return number


@dataclass(frozen=True, slots=True)
class Edge:
    """An instant at which a subscription is billed: the fees of the period begun, the usage of the one ended.

    ``number`` is the number of the period begun. ``ended`` is None at the start, ``begun`` at the subscription's end.
    """

    number: int
    at: datetime
    ended: Period | None
    begun: Period | None
