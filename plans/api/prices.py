"""What a price costs, over HTTP: its terms, and the calculator."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated, Literal

from moneyed import Money
from pydantic import Field, PlainSerializer, WithJsonSchema

from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.http import AmountOut, ApiRequest, ApiRouter, Body, CurrencyCode, DecimalText, Out
from billing_ops.kit.money import plain, round_amount
from plans import catalog
from plans.rules.prices import PriceTerms, Tier
from plans.rules.rating import Rated, rate
from plans.rules.terms import check_terms

router = ApiRouter(tags=["Plans"])

ModelName = Literal["flat", "per_unit", "graduated"]
Exact = Annotated[
    Decimal,
    PlainSerializer(plain, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(0|[1-9][0-9]*)(\.[0-9]{1,24})?$", "examples": ["1.2000024"]}),
]
"""An amount before rounding: a price of twelve decimals times a quantity of twelve."""


class RateSentNothing(InvalidInput):
    """Neither a stored price nor an inline one was given, or both."""

    code = "preview.price_ambiguous"


class TierIn(Body):
    """Units up to and including `up_to` cost `unit_amount` each, and `flat_amount` once when one is reached."""

    up_to: DecimalText | None = Field(None, description="Null: open; the last tier and no other.")
    unit_amount: DecimalText
    flat_amount: DecimalText = Field(Decimal(0), description="The first tier's is owed even at zero units.")


class TermsIn(Body):
    """What a price costs. Tiers count billable units: what is left after the included ones."""

    model: ModelName
    unit_amount: DecimalText | None = Field(None, description="Of a flat or per-unit price.")
    included_units: DecimalText = Field(Decimal(0), description="Free in each period.")
    tiers: list[TierIn] = Field(default_factory=list, max_length=100, description="Of a graduated price.")


class InlinePriceIn(TermsIn):
    """A price that is not stored."""

    currency: CurrencyCode


class RateIn(Body):
    """A quantity, and the price to rate it by: the id of a stored one, or all of it."""

    quantity: DecimalText
    price_id: int | None = Field(None, ge=1, le=2**63 - 1)
    price: InlinePriceIn | None = None


class RatedStepOut(Out):
    """One part of the amount: the units above `above` up to `up_to` (null: open), included units counted."""

    rule: str
    label: str
    above: AmountOut
    up_to: AmountOut | None
    quantity: AmountOut
    unit_amount: AmountOut
    flat_amount: AmountOut
    amount: Exact


class RatedOut(Out):
    """What the quantity costs. An invoice line is rounded once, half away from zero."""

    rule: str
    currency: CurrencyCode
    quantity: AmountOut
    unrounded_amount: Exact
    amount: AmountOut
    steps: list[RatedStepOut]


@router.ask("/prices/preview", scope="plans:read", answer=RatedOut, problems=(404,))
def preview_price(request: ApiRequest, body: RateIn) -> RatedOut:
    """Rate a quantity by any price, with the same function that makes invoice lines."""
    return _rated_out(rate(_terms(body), body.quantity))


def _terms(body: RateIn) -> PriceTerms:
    if (body.price is None) == (body.price_id is None):
        raise RateSentNothing("Give either price_id or price.", field="price")
    if body.price is None:
        return catalog.terms_of(catalog.price(body.price_id or 0))
    inline = body.price
    terms = PriceTerms(inline.model, inline.currency, inline.unit_amount, inline.included_units, tiers_of(inline.tiers))
    check_terms(terms, prefix="price.")
    return terms


def tiers_of(tiers: Sequence[TierIn]) -> tuple[Tier, ...]:
    """The tiers that were sent, as values."""
    return tuple(Tier(tier.up_to, tier.unit_amount, tier.flat_amount) for tier in tiers)


def _rated_out(rated: Rated) -> RatedOut:
    names = ("rule", "label", "quantity", "unit_amount", "flat_amount", "amount")
    return RatedOut.model_validate(
        {
            "rule": rated.rule,
            "currency": rated.currency,
            "quantity": rated.quantity,
            "unrounded_amount": rated.amount,
            "amount": Money(round_amount(rated.amount, rated.currency), rated.currency),
            "steps": [
                {name: getattr(step, name) for name in names} | {"above": step.from_, "up_to": step.to}
                for step in rated.steps
            ],
        }
    )
