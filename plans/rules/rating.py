"""Rating: what a quantity costs. The one function behind preview, projection, invoice and check.

1. Included units come off first; what is left is billable.
2. *flat*: the unit amount for each subscribed unit. *per unit*: the unit amount for each billable unit. *graduated*:
   billable units fill the tiers from the first; each tier has its own rate, and its flat amount is owed once as soon as
   a unit reaches it. The first tier's flat amount is owed even at zero units.
3. Nothing is rounded here: amounts are exact, and the invoice line rounds once (``kit.money``).

Zero-priced parts keep their step, so that a customer can see what was free.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal, Inexact, localcontext

from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.money import LEDGER_SCALE, plain
from plans.rules.prices import PriceTerms, Tier
from plans.rules.wording import amount_text, number_text

_PRECISION = 120  # digits: a price of 28 times a quantity of 38, summed over any number of tiers, never fills it
_ZERO = Decimal(0)


class BadQuantity(InvalidInput):
    """A quantity that cannot be rated: negative, not finite, or finer than twelve decimals."""

    code = "quantity.invalid"


@dataclass(frozen=True, slots=True)
class Step:
    """One part of an amount, as a person reads it: the units above ``from_`` up to ``to`` (None: open), by one rule.

    ``quantity`` units at ``unit_amount`` each plus ``flat_amount`` once make ``amount``, exactly. ``from_`` and ``to``
    count all units of the period, the included ones too.
    """

    rule: str
    label: str
    from_: Decimal
    to: Decimal | None
    quantity: Decimal
    unit_amount: Decimal
    flat_amount: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Rated:
    """An exact amount (unrounded), the rule that made it and its working; the steps' amounts add up to it."""

    rule: str
    currency: str
    quantity: Decimal
    amount: Decimal
    steps: tuple[Step, ...]


def rate(terms: PriceTerms, quantity: Decimal) -> Rated:
    """Rate ``quantity`` units (of the meter; for a flat price: subscribed units) under checked ``terms``, exactly.

    ``terms`` must pass :func:`plans.rules.terms.check_terms`. Raises :class:`BadQuantity`.
    """
    _check_quantity(quantity)
    with _exact():
        steps = tuple(_steps(terms, quantity))
        amount = sum((step.amount for step in steps), _ZERO)
    return Rated(f"rating.{terms.model}", terms.currency, quantity, amount, steps)


def difference(terms: PriceTerms, before: Decimal, after: Decimal) -> Decimal:
    """R(after) − R(before), exactly: what usage that moved the cumulative quantity is worth (negative if it fell)."""
    high, low = rate(terms, after).amount, rate(terms, before).amount
    with _exact():
        return high - low


@contextmanager
def _exact() -> Iterator[None]:
    """Arithmetic that raises rather than round."""
    with localcontext() as context:
        context.prec = _PRECISION
        context.traps[Inexact] = True
        yield


def _check_quantity(quantity: Decimal) -> None:
    if not quantity.is_finite():
        raise BadQuantity(f"{quantity} is not a quantity.", field="quantity")
    if quantity < 0:
        raise BadQuantity(f"The quantity {quantity:f} is negative; usage is rated from zero up.", field="quantity")
    if len(plain(quantity).partition(".")[2]) > LEDGER_SCALE:
        raise BadQuantity(f"The quantity {quantity:f} has more than {LEDGER_SCALE} decimals.", field="quantity")


def _steps(terms: PriceTerms, quantity: Decimal) -> Iterator[Step]:
    if terms.model == "flat":
        yield _flat(terms, quantity)
        return
    included = terms.included_units
    if included:
        used = min(quantity, included)
        label = f"first {number_text(included)} included"
        if used < included:
            label += f", {number_text(used)} used"
        yield Step("included", label, _ZERO, included, used, _ZERO, _ZERO, _ZERO)
    billable = max(quantity - included, _ZERO)
    if terms.model == "per_unit":
        yield _per_unit(terms, billable)
    else:
        yield from _graduated(terms, billable)


def _flat(terms: PriceTerms, quantity: Decimal) -> Step:
    unit_amount = _unit_amount(terms)
    amount = unit_amount * quantity
    price = amount_text(unit_amount, terms.currency)
    label = f"{price} a period"
    if quantity != 1:
        label = f"{number_text(quantity)} at {price} a period = {amount_text(amount, terms.currency)}"
    return Step("flat", label, _ZERO, None, quantity, unit_amount, _ZERO, amount)


def _per_unit(terms: PriceTerms, billable: Decimal) -> Step:
    unit_amount = _unit_amount(terms)
    amount = billable * unit_amount
    label = _priced(billable, unit_amount, _ZERO, amount, terms.currency)
    return Step("per_unit", label, terms.included_units, None, billable, unit_amount, _ZERO, amount)


def _graduated(terms: PriceTerms, billable: Decimal) -> Iterator[Step]:
    lower = _ZERO
    for number, tier in enumerate(terms.tiers, start=1):
        if number > 1 and billable <= lower:
            return  # not reached: no unit lies in it, and its flat amount is not owed
        yield _tier(terms, tier, number, lower, billable)
        if tier.up_to is None:
            return
        lower = tier.up_to


def _tier(terms: PriceTerms, tier: Tier, number: int, lower: Decimal, billable: Decimal) -> Step:
    upper = billable if tier.up_to is None else min(billable, tier.up_to)
    units = upper - lower
    amount = units * tier.unit_amount + tier.flat_amount
    label = _priced(units, tier.unit_amount, tier.flat_amount, amount, terms.currency)
    end = None if tier.up_to is None else tier.up_to + terms.included_units
    start = lower + terms.included_units
    return Step(f"tier {number}", label, start, end, units, tier.unit_amount, tier.flat_amount, amount)


def _priced(units: Decimal, unit_amount: Decimal, flat: Decimal, amount: Decimal, currency: str) -> str:
    """``400,000 at $0.000003 = $1.20``, with the flat amount of a tier if it has one."""
    fixed = f" + {amount_text(flat, currency)}" if flat else ""
    return f"{number_text(units)} at {amount_text(unit_amount, currency)}{fixed} = {amount_text(amount, currency)}"


def _unit_amount(terms: PriceTerms) -> Decimal:
    if terms.unit_amount is None:
        raise ValueError(f"terms of model {terms.model} without a unit amount were not checked")
    return terms.unit_amount
