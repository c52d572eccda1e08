"""What usage that arrived draws from credits, as pure values: the difference to what was drawn before, in slices.

Draws telescope like bills: the period is rated again on its cumulative quantity and only the difference is drawn, so
any splitting of arrivals draws the same in total.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import accumulate

from billing_ops.kit.money import round_scale
from invoicing.rules.lines import rate_usage
from plans.rules.prices import PriceTerms


@dataclass(frozen=True, slots=True)
class Arrival:
    """Units that arrived together, and the latest instant at which one of them was used."""

    quantity: Decimal
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Slice:
    """An amount to draw for use at an instant; ``quantity`` and ``cumulative`` are of the period, with this slice."""

    amount: Decimal
    used_at: datetime
    quantity: Decimal
    cumulative: Decimal


def exact(terms: PriceTerms, quantity: Decimal) -> Decimal:
    """What a period's quantity costs, as bills know it: exact to twelve decimals."""
    return round_scale(rate_usage(terms, quantity).amount)


def slices(
    terms: PriceTerms,
    *,
    accounted: Decimal,
    before: Decimal,
    after: Decimal,
    arrivals: Sequence[Arrival],
    otherwise: datetime,
) -> list[Slice]:
    """What is to be drawn after ``accounted``, when the period's quantity went from ``before`` to ``after``.

    Each arrival draws what it adds to the rated amount, in the order given. What they do not explain of the quantity
    (a batch that committed out of order, a bucket that was mended) happened at ``otherwise``. An arrival that lowers
    the amount is set off against those around it, so nothing is drawn that would be given back at once. The slices add
    up to R(after) − accounted; without any, that is not above zero, and its opposite is to be given back.
    """
    unexplained = after - before - sum((one.quantity for one in arrivals), Decimal(0))
    found = [*arrivals, Arrival(unexplained, otherwise)] if unexplained or not arrivals else list(arrivals)
    quantities = list(accumulate((one.quantity for one in found), initial=before))[1:]
    reached = _never_falling([exact(terms, quantity) for quantity in quantities])
    made, drawn = [], accounted
    for arrival, quantity, cumulative in zip(found, quantities, reached, strict=True):
        if cumulative > drawn:
            made.append(Slice(cumulative - drawn, arrival.last_at, quantity, cumulative))
            drawn = cumulative
    return made


def _never_falling(amounts: Iterable[Decimal]) -> list[Decimal]:
    """Each amount, or a later one that is lower: what of it lasts."""
    return list(accumulate(reversed(list(amounts)), min))[::-1]
