"""The company's own units of credit over HTTP: which there are and what they are worth."""

from billing_ops.kit import clock
from billing_ops.kit.http import AmountOut, ApiRequest, ApiRouter, InstantOut, Out
from ledger import units

router = ApiRouter(tags=["Credits"])


class RateOut(Out):
    """What a unit is worth in a currency now."""

    currency: str
    rate: AmountOut
    valid_from: InstantOut


class UnitOut(Out):
    """A unit of the company's own. Credits keep the rate that they were made at."""

    code: str
    rates: list[RateOut]


class UnitsOut(Out):
    """Every unit of the company's own."""

    items: list[UnitOut]


@router.read("/credit-units", scope="balances:read", answer=UnitsOut)
def list_units(request: ApiRequest) -> UnitsOut:
    """The company's own units with their rates in force. Finance sets them in the console."""
    found = units.own(at=clock.now())
    items = [
        {
            "code": one.unit.pk,
            "rates": [{"currency": row.currency, "rate": row.rate, "valid_from": row.valid_from} for row in one.rates],
        }
        for one in found
    ]
    return UnitsOut.model_validate({"items": items})
