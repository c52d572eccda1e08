"""Top-ups over HTTP: order credit, see what became of it, give it up unpaid."""

from typing import Annotated, Any, Literal
from uuid import UUID

from ninja import Query
from pydantic import Field, StringConstraints

from billing_ops.kit import clock
from billing_ops.kit.http import (
    AmountOut,
    AmountText,
    ApiRequest,
    ApiRouter,
    Body,
    CurrencyCode,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
    idempotency,
    paginate,
)
from invoicing import topping_up
from invoicing.models import TopUp
from ledger.api.fields import UnitCode, quantity_of
from plans import customers

router = ApiRouter(tags=["Top-ups"])


class TopUpIn(Body):
    """A top-up to order: money's worth of credit in the customer's currency, or a quantity of a company's own unit."""

    customer: Key
    unit: UnitCode
    amount: AmountText = Field(description="Money in that currency, or the quantity of that unit.")
    valid_days: Annotated[int, Field(ge=1, le=36_500)] | None = Field(
        None, description="The credit expires so many days after it was paid; null: never."
    )
    priority: Annotated[int, Field(ge=0, le=100, description="Lower burns first.")] = 50
    scope: list[Annotated[str, StringConstraints(min_length=1, max_length=100)]] = Field(default=[], max_length=50)
    ticket: Annotated[str, StringConstraints(max_length=120)] = ""
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


class TopUpOut(Out):
    """A top-up. *open*: invoiced, not paid, not spendable. *paid*: ``credit`` can be used. *void*: given up."""

    id: str
    customer: str
    status: Literal["open", "paid", "void"]
    unit: str
    quantity: AmountOut
    currency: CurrencyCode
    price: AmountOut = Field(description="Without tax.")
    amount_due: AmountOut = Field(description="Of the invoice, tax included.")
    invoice: str
    invoice_number: str | None
    credit: UUID | None
    automatic: bool
    valid_days: int | None
    priority: int
    scope: list[str]
    ordered_at: InstantOut
    settled_at: InstantOut | None


class TopUpsQuery(PageQuery):
    """Whose top-ups."""

    customer: Key
    status: Literal["open", "paid", "void"] | None = None


class GiveUpIn(Body):
    """Why a top-up is given up."""

    reason_code: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    note: Annotated[str, StringConstraints(max_length=2000)] = ""


@router.make("/top-ups", scope="invoices:write", answer=TopUpOut, problems=(404,))
def order_top_up(request: ApiRequest, body: TopUpIn) -> TopUpOut:
    """Order a top-up: an invoice of its own, final at once and collected like any other.

    The credit comes when the invoice is paid, in the same transaction, and once; a partial payment gives nothing yet.
    """
    customer = customers.get(body.customer)
    made = topping_up.order(
        customer_id=customer.pk,
        order=topping_up.Order(
            unit=body.unit,
            quantity=quantity_of(body.amount, body.unit),
            **body.model_dump(exclude={"customer", "unit", "amount"}),
        ),
        key=idempotency.operation_key(request),
        at=clock.now(),
        actor=request.auth.actor,
    )
    return _out(topping_up.get(made.public_id))


@router.read("/top-ups", scope="invoices:read", answer=Page[TopUpOut], problems=(404,))
def list_top_ups(request: ApiRequest, query: Query[TopUpsQuery]) -> Page[TopUpOut]:
    """A customer's top-ups, the newest first."""
    rows = TopUp.objects.filter(customer=customers.get(query.customer)).select_related("customer", "invoice", "grant")
    if query.status is not None:
        rows = rows.filter(status=query.status)
    found = paginate(rows, page=query, order=["-id"], listing="top-ups")
    return Page(items=[_out(row) for row in found.items], next_cursor=found.next_cursor)


@router.read("/top-ups/{top_up_id}", scope="invoices:read", answer=TopUpOut)
def get_top_up(request: ApiRequest, top_up_id: str) -> TopUpOut:
    """One top-up."""
    return _out(topping_up.get(top_up_id))


@router.make("/top-ups/{top_up_id}/give-up", scope="invoices:write", answer=TopUpOut, status=200)
def give_up_top_up(request: ApiRequest, top_up_id: str, body: GiveUpIn) -> TopUpOut:
    """Give up a top-up of which nothing was paid. Its invoice is void and nothing is owed. Paid ones: 409."""
    row = topping_up.get(top_up_id)
    topping_up.give_up(top_up=row, at=clock.now(), actor=request.auth.actor, **body.model_dump())
    return _out(topping_up.get(top_up_id))


def _out(row: TopUp) -> TopUpOut:
    names = ("unit", "quantity", "currency", "price", "status", "valid_days", "priority", "scope", "ordered_at",
             "settled_at")  # fmt: skip
    said: dict[str, Any] = {name: getattr(row, name) for name in names}
    return TopUpOut.model_validate(
        said
        | {
            "id": row.public_id,
            "customer": row.customer.key,
            "amount_due": row.invoice.amount_due,
            "invoice": row.invoice.public_id,
            "invoice_number": row.invoice.number,
            "credit": row.grant.public_id if row.grant else None,
            "automatic": row.rule_id is not None,
        }
    )
