"""What an invoice line says, as pure values: fees in advance and usage in arrears.

Rounding rule (money.md): a line is rounded once, half away from zero. Usage is re-rated on the cumulative quantity of
its service period and only the difference is billed, so roundings telescope: bills of 0.33 and then 0.34 add up to the
0.67 that the whole period costs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from billing_ops.kit.money import plain, round_amount, round_scale
from billing_ops.kit.periods import Period
from plans.rules.prices import PriceTerms
from plans.rules.rating import Rated, rate

RULE_ADVANCE = "flat_in_advance"
RULE_USAGE = "cumulative_usage"
RULE_DIFFERENCE = "difference_to_billed_usage"
RULE_SET_ASIDE = "usage_set_aside"
RULE_TOPUP = "topup"
RULE_OVERAGE = "overage_beyond_credits"

MAX_AMOUNT = Decimal(10) ** 12
"""A usage line comes to less than this, in any currency: a million millions is a mistake, and the columns of invoices
and of the ledger (16 digits before the point) keep room for sums of such lines."""
MAX_QUANTITY = Decimal(10) ** 25
"""Where the columns of a quantity end."""

RULES: Mapping[str, str] = {
    RULE_ADVANCE: "A flat fee for the whole period to come: unit amount × quantity, rounded once, half away from zero.",
    RULE_USAGE: "The period's usage, rated as a whole and rounded once, half away from zero.",
    RULE_DIFFERENCE: (
        "Usage that arrived after its period was billed: the whole period is rated again, rounded once, and only the "
        "difference to what was billed before is charged."
    ),
    RULE_TOPUP: "Credit bought in advance; it can be used once this invoice is paid.",
    RULE_OVERAGE: (
        "Use that credits did not cover when it happened, less what later credits covered of it, since the last bill: "
        "summed exactly and rounded once over all bills, half away from zero."
    ),
    RULE_SET_ASIDE: (
        "The period's usage is too large to be true. It is set aside: nothing of it is charged beyond what was billed "
        "before, and the next invoice rates it again once the usage is corrected."
    ),
}
"""What each rule means, in the words that the console and the printed invoice show."""


@dataclass(frozen=True, slots=True)
class Billed:
    """What earlier revisions billed for one service period: exact and rounded sums, and the last revision."""

    revision: int = 0
    exact: Decimal = Decimal(0)
    rounded: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class LineAmounts:
    """The priced part of a line. ``quantity`` and ``cumulative`` are of the whole service period."""

    quantity: Decimal
    cumulative: Decimal
    unrounded: Decimal
    amount: Decimal
    revision: int
    rule: str
    working: tuple[dict[str, Any], ...]


def working_of(rated: Rated) -> tuple[dict[str, Any], ...]:
    """The rating steps as JSON values, decimals as plain strings."""
    return tuple(
        {
            "label": step.label,
            "rule": step.rule,
            "from": plain(step.from_),
            "to": None if step.to is None else plain(step.to),
            "quantity": plain(step.quantity),
            "unit_amount": plain(step.unit_amount),
            "flat_amount": plain(step.flat_amount),
            "amount": plain(step.amount),
        }
        for step in rated.steps
    )


def advance(terms: PriceTerms, quantity: Decimal) -> LineAmounts:
    """A flat fee for a period to come."""
    rated = rate(terms, quantity)
    exact = round_scale(rated.amount)
    return LineAmounts(
        quantity=quantity,
        cumulative=exact,
        unrounded=exact,
        amount=round_amount(exact, terms.currency),
        revision=1,
        rule=RULE_ADVANCE,
        working=working_of(rated),
    )


def rate_usage(terms: PriceTerms, quantity: Decimal) -> Rated:
    """What a period's usage costs, before what was billed of it.

    Events may take usage back. A period in which more was taken back than used is rated as one without usage.
    """
    return rate(terms, max(quantity, Decimal(0)))


def usage(terms: PriceTerms, quantity: Decimal, billed: Billed) -> LineAmounts:
    """A service period's usage less what earlier revisions billed; the difference may be zero or negative.

    One absurd event must not stop a customer's fees and other meters: usage that no amount of money can express is set
    aside, as a line of its own that charges nothing.
    """
    rated = rate_usage(terms, quantity)
    exact = round_scale(rated.amount)
    if exact >= MAX_AMOUNT or abs(quantity) >= MAX_QUANTITY:
        return LineAmounts(
            quantity=quantity if abs(quantity) < MAX_QUANTITY else Decimal(0),
            cumulative=billed.exact,
            unrounded=Decimal(0),
            amount=round_amount(Decimal(0), terms.currency),
            revision=billed.revision + 1,
            rule=RULE_SET_ASIDE,
            working=(),
        )
    return LineAmounts(
        quantity=quantity,
        cumulative=exact,
        unrounded=exact - billed.exact,
        amount=round_amount(exact, terms.currency) - billed.rounded,
        revision=billed.revision + 1,
        rule=RULE_DIFFERENCE if billed.revision else RULE_USAGE,
        working=working_of(rated),
    )


def earned(amount: Decimal, period: Period, until: datetime) -> Decimal:
    """How much of a prepaid amount is earned by ``until``: by the second, to twelve decimals, all of it at the end."""
    if until <= period.start:
        return Decimal(0)
    if until >= period.end:
        return amount
    elapsed = Period(period.start, until).seconds
    return round_scale(amount * Decimal(elapsed) / Decimal(period.seconds))
