"""A company's own units of credit, and what they are worth."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from billing_ops.kit.errors import InvalidInput
from billing_ops.kit.money import currency as known_currency
from ledger.models import Unit, UnitRate
from ledger.rules.terms import Terms
from ledger.rules.worth import NOTHING, PromoPolicy, Worth, is_own, money_account_of, valued


class NoRate(InvalidInput):
    """A company's own unit has no rate, or none in that currency, or several and nobody said which."""

    code = "unit.no_rate"
    remedy = "Finance sets the unit's rate; or name the currency."


@dataclass(frozen=True, slots=True)
class UnitWithRates:
    """A unit and the rate in force in each currency."""

    unit: Unit
    rates: Sequence[UnitRate]


def own(*, at: datetime) -> list[UnitWithRates]:
    """Every unit of the company's own with its rates in force, by its code."""
    found = {unit.pk: unit for unit in Unit.objects.filter(kind="credit").order_by("code")}
    rates = _in_force(at, sorted(found))
    return [UnitWithRates(unit, [row for row in rates if row.unit_id == code]) for code, unit in found.items()]


def history(*, unit: str) -> list[UnitRate]:
    """Every rate of a unit, the newest first."""
    return list(UnitRate.objects.filter(unit=unit).order_by("-valid_from", "currency"))


def rate_of(*, unit: str, at: datetime, currency: str = "") -> UnitRate:
    """The rate in force; ``currency`` may stay empty where there is one only. Raises :class:`NoRate`."""
    rates = [row for row in _in_force(at, [unit]) if currency in ("", row.currency)]
    if len(rates) != 1:
        said = f" in {currency}" if currency else ""
        what = "has no rate" if not rates else f"has rates in {', '.join(row.currency for row in rates)}"
        raise NoRate(f"The unit “{unit}” {what}{said}.", field="currency" if rates else "unit", unit=unit)
    return rates[0]


def worth_of(terms: Terms, *, at: datetime, promo_policy: PromoPolicy, cost: Decimal | None = None) -> Worth:
    """What a grant of these terms is worth when it is made; nothing for one in a currency, which is its money.

    ``cost`` is what was paid for it, where that is not its quantity at the rate. Raises :class:`NoRate`.
    """
    if not is_own(terms.unit):
        return NOTHING
    if terms.kind == "included" and not terms.currency:
        return NOTHING  # the plan's fee is its money
    rate = rate_of(unit=terms.unit, at=at, currency=terms.currency)
    return worth_at(terms, rate=rate.rate, currency=rate.currency, promo_policy=promo_policy, cost=cost)


def worth_at(
    terms: Terms, *, rate: Decimal, currency: str, promo_policy: PromoPolicy, cost: Decimal | None = None
) -> Worth:
    """The worth of a grant at a rate that is known."""
    money_code = money_account_of(terms.kind, expensed=promo_policy == "expense_on_grant")
    if not money_code:
        return Worth(rate, known_currency(currency).code)
    return Worth(rate, currency, valued(rate, terms.amount) if cost is None else cost, money_code)


def _in_force(at: datetime, codes: Sequence[str]) -> list[UnitRate]:
    rows = UnitRate.objects.filter(unit__in=codes, valid_from__lte=at)
    return list(rows.order_by("unit_id", "currency", "-valid_from").distinct("unit_id", "currency"))
