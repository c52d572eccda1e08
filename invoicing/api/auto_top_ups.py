"""Automatic top-ups over HTTP: read and set a customer's rules."""

from typing import Annotated, Any

from ninja import Query
from pydantic import Field, StringConstraints

from billing_ops.kit import clock
from billing_ops.kit.http import AmountOut, AmountText, ApiRequest, ApiRouter, Body, InstantOut, Key, Out
from billing_ops.kit.money import parse_money
from invoicing import auto_topping_up
from invoicing.models import AutoTopUp
from ledger.api.fields import UnitCode, quantity_of
from plans import customers

router = ApiRouter(tags=["Top-ups"])


class RuleIn(Body):
    """A rule: below ``threshold`` available credits, buy ``amount`` of the unit."""

    customer: Key
    unit: UnitCode
    enabled: bool
    threshold: AmountText
    amount: AmountText
    monthly_cap: AmountText = Field(description="Money without tax, in the customer's currency.")
    reason: Annotated[str, StringConstraints(min_length=1, max_length=500)]


class RuleOut(Out):
    """A version of a rule; the newest of a unit counts."""

    customer: str
    unit: str
    enabled: bool
    threshold: AmountOut
    amount: AmountOut
    monthly_cap: AmountOut
    currency: str
    reason: str
    set_by: str
    set_at: InstantOut


class RulesOut(Out):
    """Every version, the newest first."""

    items: list[RuleOut]


class RulesQuery(Body):
    """Whose rules."""

    customer: Key


@router.make("/auto-top-ups", scope="invoices:write", answer=RuleOut, status=200, problems=(404,))
def set_auto_top_up(request: ApiRequest, body: RuleIn) -> RuleOut:
    """Set a customer's rule for a unit, or switch it off. What it was before stays as history."""
    customer = customers.get(body.customer)
    made = auto_topping_up.set_rule(
        customer_id=customer.pk,
        unit=body.unit,
        enabled=body.enabled,
        threshold=quantity_of(body.threshold, body.unit, field="threshold", allow_zero=True),
        quantity=quantity_of(body.amount, body.unit),
        monthly_cap=parse_money(body.monthly_cap, customer.currency, field="monthly_cap", allow_zero=True),
        reason=body.reason,
        at=clock.now(),
        actor=request.auth.actor,
    )
    return _out(made)


@router.read("/auto-top-ups", scope="invoices:read", answer=RulesOut, problems=(404,))
def list_auto_top_ups(request: ApiRequest, query: Query[RulesQuery]) -> RulesOut:
    """A customer's rules with all their versions, at most the newest 200."""
    rows = AutoTopUp.objects.filter(customer=customers.get(query.customer)).select_related("customer").order_by("-id")
    return RulesOut(items=[_out(row) for row in rows[:200]])


def _out(row: AutoTopUp) -> RuleOut:
    names = ("unit", "enabled", "threshold", "monthly_cap", "currency", "reason", "set_at")
    said: dict[str, Any] = {name: getattr(row, name) for name in names}
    return RuleOut.model_validate(
        said | {"customer": row.customer.key, "amount": row.quantity, "set_by": row.set_by_id}
    )
