"""Whether terms can be rated: amounts of at most twelve decimals, tiers contiguous, ascending and open at the end."""

from decimal import Decimal
from typing import get_args

from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.money import LEDGER_SCALE, currency, plain
from plans.rules.prices import ChargeModel, PriceTerms, Tier

PRICE_LIMIT = Decimal(10) ** 16
"""Unit and flat amounts are below this: their columns hold sixteen digits before the point."""

UNITS_LIMIT = Decimal(10) ** 20
"""Included units and tier bounds are below this."""


class BadPrice(InvalidInput):
    """A price that cannot be rated; ``details["field"]`` names what is wrong with it."""

    code = "price.invalid"


class ModelUnknown(BadPrice):
    """A charge model that does not exist."""

    code = "price.model_unknown"


class UnitAmountInvalid(BadPrice):
    """A unit amount that is missing, misplaced, negative or too fine."""

    code = "price.unit_amount_invalid"


class IncludedUnitsInvalid(BadPrice):
    """Included units that are negative, too fine, or on a price that has no usage."""

    code = "price.included_units_invalid"


class TiersInvalid(BadPrice):
    """Tiers that are missing, misplaced, out of order, closed at the end, or with an amount that cannot be kept."""

    code = "price.tiers_invalid"


def check_terms(terms: PriceTerms, *, prefix: str = "") -> None:
    """Refuse terms that :func:`plans.rules.rating.rate` cannot rate; ``prefix`` stands before the named field."""
    check_amounts(terms, prefix=prefix)
    currency(terms.currency)
    if terms.model == "graduated":
        _check_bounds(terms.tiers, f"{prefix}tiers")


def check_amounts(terms: PriceTerms, *, prefix: str = "") -> None:
    """Refuse what cannot even be kept in a draft: an unknown model, numbers missing, misplaced or out of range."""
    if terms.model not in get_args(ChargeModel):
        known = ", ".join(get_args(ChargeModel))
        raise ModelUnknown(
            f"“{terms.model}” is not a charge model.", remedy=f"Use one of {known}.", field=f"{prefix}model"
        )
    _check_unit_amount(terms, f"{prefix}unit_amount")
    _check_included(terms, f"{prefix}included_units")
    if terms.tiers and terms.model != "graduated":
        raise TiersInvalid(f"A {terms.model} price has no tiers.", field=f"{prefix}tiers")
    for index, tier in enumerate(terms.tiers):
        _check_tier(tier, f"{prefix}tiers.{index}")


def _check_unit_amount(terms: PriceTerms, field: str) -> None:
    if terms.model == "graduated":
        if terms.unit_amount is not None:
            raise UnitAmountInvalid("A graduated price has its amounts in its tiers.", field=field)
    elif terms.unit_amount is None:
        raise UnitAmountInvalid(f"A {terms.model} price needs a unit amount.", field=field)
    elif fault := _fault(terms.unit_amount, PRICE_LIMIT):
        raise UnitAmountInvalid(f"The unit amount {fault}.", field=field)


def _check_included(terms: PriceTerms, field: str) -> None:
    if fault := _fault(terms.included_units, UNITS_LIMIT):
        raise IncludedUnitsInvalid(f"The number of included units {fault}.", field=field)
    if terms.model == "flat" and terms.included_units:
        raise IncludedUnitsInvalid("A flat price has no usage that units could be included of.", field=field)


def _check_tier(tier: Tier, field: str) -> None:
    for name, value in (("unit_amount", tier.unit_amount), ("flat_amount", tier.flat_amount)):
        if fault := _fault(value, PRICE_LIMIT):
            raise TiersInvalid(f"The tier's {name.replace('_', ' ')} {fault}.", field=f"{field}.{name}")
    if tier.up_to is not None:
        if fault := _fault(tier.up_to, UNITS_LIMIT):
            raise TiersInvalid(f"The tier's upper bound {fault}.", field=f"{field}.up_to")
        if tier.up_to == 0:
            raise TiersInvalid("The tier's upper bound is zero, so it holds no units.", field=f"{field}.up_to")


def _check_bounds(tiers: tuple[Tier, ...], field: str) -> None:
    if not tiers:
        raise TiersInvalid("A graduated price needs at least one tier.", field=field)
    lower = Decimal(0)
    for index, tier in enumerate(tiers):
        last = index == len(tiers) - 1
        if last and tier.up_to is not None:
            raise TiersInvalid(
                f"The last tier ends at {plain(tier.up_to)}: units above it would have no price.",
                remedy="Leave the last tier's up_to open.",
                field=f"{field}.{index}.up_to",
            )
        if not last and tier.up_to is None:
            raise TiersInvalid(
                "Only the last tier may be open: no unit would reach the tiers after it.",
                field=f"{field}.{index}.up_to",
            )
        if tier.up_to is not None:
            if tier.up_to <= lower:
                raise TiersInvalid(
                    f"The tiers do not ascend: {plain(tier.up_to)} comes after {plain(lower)}.",
                    field=f"{field}.{index}.up_to",
                )
            lower = tier.up_to


def _fault(value: Decimal, limit: Decimal) -> str:
    """What is wrong with an amount or a number of units; empty: nothing."""
    if not value.is_finite():
        return "is not a number"
    if value < 0:
        return "is negative"
    if value >= limit:
        return "is larger than this system keeps"
    if len(plain(value).partition(".")[2]) > LEDGER_SCALE:
        return f"has more than {LEDGER_SCALE} decimals"
    return ""
