"""The terms of a price as plain values: what rating needs and nothing else."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

ChargeModel = Literal["flat", "per_unit", "graduated"]


@dataclass(frozen=True, slots=True)
class Tier:
    """Billable units up to and including ``up_to`` (None: open) cost ``unit_amount`` each, and once ``flat_amount``."""

    up_to: Decimal | None
    unit_amount: Decimal
    flat_amount: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class PriceTerms:
    """A price to rate. Amounts are in the price's currency with up to twelve decimals; units are the meter's."""

    model: ChargeModel
    currency: str
    unit_amount: Decimal | None = None
    included_units: Decimal = Decimal(0)
    tiers: tuple[Tier, ...] = ()
