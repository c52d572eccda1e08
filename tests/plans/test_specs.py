"""Which prices and versions can be drafted and published, and how two versions differ."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from billing_ops.kit.errors import BillingError
from plans.rules.prices import PriceTerms, Tier
from plans.rules.specs import PriceSpec, VersionSpec, check_draft, check_publishable, differences
from plans.rules.terms import check_terms

ONE = Decimal(1)
OPEN = Tier(None, ONE)
FEE = PriceSpec("fee", "Fee", "flat", unit_amount=Decimal(20))
CONTEXT = PriceSpec("context", "Context", "graduated", tiers=(Tier(Decimal(10), ONE), OPEN), meter="context")
SPEC = VersionSpec("USD", (FEE, CONTEXT))


def _graduated(*tiers: Tier) -> PriceTerms:
    return PriceTerms("graduated", "USD", tiers=tiers)


@pytest.mark.parametrize(
    ("terms", "code", "field"),
    [
        (PriceTerms("volume", "USD"), "price.model_unknown", "model"),  # type: ignore[arg-type]
        (PriceTerms("per_unit", "usd", ONE), "currency.invalid", "currency"),
        (PriceTerms("per_unit", "USD"), "price.unit_amount_invalid", "unit_amount"),
        (PriceTerms("flat", "USD", Decimal(-1)), "price.unit_amount_invalid", "unit_amount"),
        (PriceTerms("flat", "USD", Decimal("NaN")), "price.unit_amount_invalid", "unit_amount"),
        (PriceTerms("flat", "USD", Decimal("1E-13")), "price.unit_amount_invalid", "unit_amount"),
        (PriceTerms("flat", "USD", Decimal(10) ** 16), "price.unit_amount_invalid", "unit_amount"),
        (PriceTerms("graduated", "USD", ONE, tiers=(OPEN,)), "price.unit_amount_invalid", "unit_amount"),
        (PriceTerms("flat", "USD", ONE, ONE), "price.included_units_invalid", "included_units"),
        (PriceTerms("per_unit", "USD", ONE, -ONE), "price.included_units_invalid", "included_units"),
        (PriceTerms("per_unit", "USD", ONE, Decimal(10) ** 20), "price.included_units_invalid", "included_units"),
        (PriceTerms("per_unit", "USD", ONE, tiers=(OPEN,)), "price.tiers_invalid", "tiers"),
        (_graduated(), "price.tiers_invalid", "tiers"),
        (_graduated(Tier(ONE, ONE)), "price.tiers_invalid", "tiers.0.up_to"),
        (_graduated(OPEN, OPEN), "price.tiers_invalid", "tiers.0.up_to"),
        (_graduated(Tier(Decimal(5), ONE), Tier(Decimal(5), ONE), OPEN), "price.tiers_invalid", "tiers.1.up_to"),
        (_graduated(Tier(Decimal(5), ONE), Tier(Decimal(4), ONE), OPEN), "price.tiers_invalid", "tiers.1.up_to"),
        (_graduated(Tier(Decimal(0), ONE), OPEN), "price.tiers_invalid", "tiers.0.up_to"),
        (_graduated(Tier(None, -ONE)), "price.tiers_invalid", "tiers.0.unit_amount"),
        (_graduated(Tier(None, ONE, Decimal("1E-13"))), "price.tiers_invalid", "tiers.0.flat_amount"),
    ],
)
def test_terms_that_cannot_be_rated_are_refused_by_field(terms: PriceTerms, code: str, field: str) -> None:
    with pytest.raises(BillingError) as refused:
        check_terms(terms, prefix="")
    assert (refused.value.code, refused.value.details["field"]) == (code, field)


def test_twelve_decimals_and_sixteen_digits_are_kept() -> None:
    check_terms(PriceTerms("per_unit", "USD", Decimal("9999999999999999.999999999999"), Decimal("1E-12")))


def _with(**changes: Any) -> VersionSpec:
    return VersionSpec("USD", (FEE, replace(CONTEXT, **changes)))


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        (VersionSpec("XYZ", ()), "currency.invalid", "currency"),
        (_with(key="Context!"), "price.invalid", "prices.key"),
        (_with(key="c" * 65), "price.invalid", "prices.key"),
        (_with(key="fee"), "version.invalid", "prices.fee.key"),
        (_with(name=" "), "price.invalid", "prices.context.name"),
        (_with(name="n" * 201), "price.invalid", "prices.context.name"),
        (_with(settlement="later"), "price.invalid", "prices.context.settlement"),
        (_with(meter=""), "price.meter_mismatch", "prices.context.meter"),
        (VersionSpec("USD", (replace(FEE, meter="context"),)), "price.meter_mismatch", "prices.fee.meter"),
        (VersionSpec("USD", (replace(FEE, settlement="drawdown"),)), "price.invalid", "prices.fee.settlement"),
        (_with(tiers=(Tier(None, Decimal("1E-13")),)), "price.tiers_invalid", "prices.context.tiers.0.unit_amount"),
    ],
)
def test_what_cannot_be_kept_is_not_drafted(spec: VersionSpec, code: str, field: str) -> None:
    with pytest.raises(BillingError) as refused:
        check_draft(spec)
    assert (refused.value.code, refused.value.details["field"]) == (code, field)


@pytest.mark.parametrize(
    ("spec", "code", "field"),
    [
        (VersionSpec("USD", ()), "version.without_prices", "prices"),
        (replace(SPEC, currency="KWD"), "version.currency_not_chargeable", "currency"),
        (replace(SPEC, currency="MGA"), "version.currency_not_chargeable", "currency"),
        (_with(tiers=()), "price.tiers_invalid", "prices.context.tiers"),
        (_with(tiers=(Tier(ONE, ONE),)), "price.tiers_invalid", "prices.context.tiers.0.up_to"),
        (VersionSpec("USD", (CONTEXT, replace(CONTEXT, key="again"))), "version.meter_priced_twice", "prices"),
    ],
)
def test_what_cannot_be_billed_is_drafted_but_not_published(spec: VersionSpec, code: str, field: str) -> None:
    check_draft(spec)
    with pytest.raises(BillingError) as refused:
        check_publishable(spec)
    assert (refused.value.code, refused.value.details["field"]) == (code, field)


def test_a_sound_version_is_publishable() -> None:
    check_publishable(SPEC)
    check_publishable(_with(settlement="drawdown"))


@pytest.mark.parametrize(
    ("other", "fields"),
    [
        (_with(tiers=(Tier(Decimal("10.000"), Decimal("1.0")), OPEN)), []),
        (replace(SPEC, currency="EUR"), ["currency"]),
        (_with(name="Input", meter="other"), ["prices.context.name", "prices.context.meter"]),
        (_with(tiers=(OPEN,)), ["prices.context.tiers"]),
        (VersionSpec("USD", (FEE,)), ["prices.context"]),
        (VersionSpec("USD", (*SPEC.prices, replace(CONTEXT, key="more"))), ["prices.more"]),
        (VersionSpec("USD", (CONTEXT, FEE)), ["prices (their order)"]),
    ],
)
def test_differences_are_named_by_field(other: VersionSpec, fields: list[str]) -> None:
    assert differences(SPEC, other) == fields
