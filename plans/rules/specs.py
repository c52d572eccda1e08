"""What a plan version says, as a value: to draft it, to check it, and to compare it with what is stored."""

import re
from collections import Counter
from dataclasses import dataclass, fields
from decimal import Decimal

from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.money import currency, exponent
from plans.rules.prices import ChargeModel, PriceTerms, Tier
from plans.rules.terms import BadPrice, check_amounts, check_terms

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}", re.ASCII)
"""The shape of a key in the catalogue."""

_FINEST_CHARGED = 2
"""Decimals: of the three of KWD, BHD, JOD, OMR and TND the processor wants the last one to be 0."""

_CHARGED_WHOLE = frozenset(["MGA"])
"""Two decimals in ISO 4217, none at the processor."""


class VersionInvalid(InvalidInput):
    """A plan version that cannot be drafted or published; ``details["field"]`` names why."""

    code = "version.invalid"


class CurrencyNotChargeable(VersionInvalid):
    """A currency whose smallest amount the payment processor cannot charge."""

    code = "version.currency_not_chargeable"
    remedy = "Price the plan in another currency."


class VersionEmpty(VersionInvalid):
    """A version without a price."""

    code = "version.without_prices"


class MeterPricedTwice(VersionInvalid):
    """Two prices of one version on the same meter: the same usage would be billed twice."""

    code = "version.meter_priced_twice"


class MeterMismatch(BadPrice):
    """A usage price without a meter, or a flat price with one."""

    code = "price.meter_mismatch"


@dataclass(frozen=True, slots=True)
class PriceSpec:
    """One charge: its terms, the key of its ``meter`` ("" for a flat price) and its settlement."""

    key: str
    name: str
    model: ChargeModel
    unit_amount: Decimal | None = None
    included_units: Decimal = Decimal(0)
    tiers: tuple[Tier, ...] = ()
    meter: str = ""
    settlement: str = "arrears"

    def terms(self, currency_code: str) -> PriceTerms:
        """What rating needs of it."""
        return PriceTerms(self.model, currency_code, self.unit_amount, self.included_units, self.tiers)


@dataclass(frozen=True, slots=True)
class VersionSpec:
    """Everything that a plan version fixes: its currency and its prices in the order in which they are shown."""

    currency: str
    prices: tuple[PriceSpec, ...]


def check_draft(spec: VersionSpec) -> None:
    """Refuse what cannot be kept at all. A draft may still lack prices or a sound tier ladder: publishing looks."""
    currency(spec.currency)
    for price in spec.prices:
        prefix = f"prices.{price.key}."
        if not SLUG.fullmatch(price.key):
            raise BadPrice(
                f"“{price.key[:40]}” cannot be a price's key.",
                remedy="Use lower-case letters, digits, - and _, at most 64 characters.",
                field="prices.key",
            )
        if not price.name.strip() or len(price.name) > 200:
            raise BadPrice("A price needs a name of at most 200 characters.", field=f"{prefix}name")
        if price.settlement not in ("arrears", "drawdown"):
            raise BadPrice(f"“{price.settlement[:40]}” is not a settlement.", field=f"{prefix}settlement")
        check_amounts(price.terms(spec.currency), prefix=prefix)
        if (price.model == "flat") == bool(price.meter):
            message = "A flat price has no meter." if price.meter else f"A {price.model} price needs a meter."
            raise MeterMismatch(message, field=f"{prefix}meter")
        if price.model == "flat" and price.settlement != "arrears":
            raise BadPrice(
                "A flat price is settled by its invoice; drawdown is for usage.", field=f"{prefix}settlement"
            )
    for key, count in Counter(price.key for price in spec.prices).items():
        if count > 1:
            raise VersionInvalid(f"The price key “{key}” stands {count} times.", field=f"prices.{key}.key")


def check_publishable(spec: VersionSpec) -> None:
    """Refuse a version that could not be billed; whether its meters exist and live is the caller's to see."""
    check_draft(spec)
    _check_chargeable(spec.currency)
    if not spec.prices:
        raise VersionEmpty("A version without a price would bill nothing.", remedy="Add a price.", field="prices")
    # A drawdown price may have nothing that is known only at the period's end: no minimum, no cap, no coupon. No price
    # here has one; whoever adds one refuses it for drawdown by name.
    for price in spec.prices:
        check_terms(price.terms(spec.currency), prefix=f"prices.{price.key}.")
    for meter, count in Counter(price.meter for price in spec.prices if price.meter).items():
        if count > 1:
            raise MeterPricedTwice(
                f"{count} prices rate the meter “{meter}”: the same usage would be billed {count} times.",
                remedy="Make it one price.",
                field="prices",
            )


def _check_chargeable(code: str) -> None:
    """An invoice is rounded to the currency's minor unit, and what it says must be what can be charged."""
    if exponent(code) > _FINEST_CHARGED or code in _CHARGED_WHOLE:
        unit = "whole ones" if code in _CHARGED_WHOLE else "hundredths"
        raise CurrencyNotChargeable(
            f"Amounts in {code} have {exponent(code)} decimals, and the payment processor charges {unit} only.",
            field="currency",
        )


def differences(before: VersionSpec, after: VersionSpec) -> list[str]:
    """The fields in which two versions differ, by path (``prices.context.unit_amount``); empty: they say the same."""
    found = [] if before.currency == after.currency else ["currency"]
    old, new = ({price.key: price for price in spec.prices} for spec in (before, after))
    for key in list(old) + [key for key in new if key not in old]:
        if key not in old or key not in new:
            found.append(f"prices.{key}")
            continue
        found += [
            f"prices.{key}.{field.name}"
            for field in fields(PriceSpec)
            if getattr(old[key], field.name) != getattr(new[key], field.name)
        ]
    if not found and list(old) != list(new):
        found.append("prices (their order)")
    return found
