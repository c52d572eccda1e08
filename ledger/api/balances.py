"""Balances over HTTP: what a customer owes, has paid in advance, and has left."""

from ninja import Query
from pydantic import Field

from billing_ops.kit import clock
from billing_ops.kit.http import AmountOut, ApiRequest, ApiRouter, Body, CurrencyCode, InstantOut, Key, Out
from ledger import balances
from ledger.api.fields import amount_out

router = ApiRouter(tags=["Balances"])


class BalancesOut(Out):
    """A customer's balances in one currency."""

    currency: str
    receivable: AmountOut = Field(description="Invoiced and not yet paid.")
    unbilled: AmountOut = Field(description="Used, rated and not yet invoiced.")
    deferred: AmountOut = Field(description="Paid or invoiced in advance and not yet earned.")
    customer_balance: AmountOut = Field(description="Money of the customer that pays the next invoice.")
    paid_credits: AmountOut
    goodwill_credits: AmountOut
    promotional_credits: AmountOut = Field(description="Promotional and included.")
    credits_total: AmountOut
    held: AmountOut = Field(description="What open holds keep of the credits.")
    version: int = Field(description="Grows with every change; the same version is the same state.")


class CustomerBalancesOut(Out):
    """A customer's balances, one item a currency."""

    customer: str
    as_of: InstantOut
    balances: list[BalancesOut]


class BalancesQuery(Body):
    """Whose balances, and in which currency (default: each that the customer has)."""

    customer: Key
    currency: CurrencyCode | None = None


@router.read("/balances", scope="balances:read", answer=CustomerBalancesOut)
def get_balances(request: ApiRequest, query: Query[BalancesQuery]) -> CustomerBalancesOut:
    """What a customer owes, has paid in advance, and has left in credits."""
    units = [query.currency] if query.currency else balances.units_of(customer_key=query.customer)
    return CustomerBalancesOut.model_validate(
        {
            "customer": query.customer,
            "as_of": clock.now(),
            "balances": [_balances(unit, balances.of(customer_key=query.customer, unit=unit)) for unit in units],
        }
    )


def _balances(unit: str, found: balances.CustomerBalances) -> BalancesOut:
    names = BalancesOut.model_fields.keys() - {"currency", "version"}
    amounts = {name: amount_out(getattr(found, name), unit) for name in names}
    return BalancesOut(currency=unit, version=found.version, **amounts)
