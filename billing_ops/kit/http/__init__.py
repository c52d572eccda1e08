'''What every app's ``api.py`` needs: routes with keys and scopes, schemas, cursors, idempotency, problems.

A router is written with three verbs, each view parses, makes one domain call and renders::

    from billing_ops.kit import clock
    from billing_ops.kit.money import parse_money
    from billing_ops.kit.http import (
        AmountOut, AmountText, ApiRequest, ApiRouter, Body, CurrencyCode, Instant, InstantOut, Out, Page, PageQuery,
        idempotency, paginate,
    )
    from ninja import Query

    router = ApiRouter(tags=["Credits"])

    class CreditIn(Body):                       # unknown fields are refused
        customer: Key
        amount: AmountText                      # "19.99"; JSON numbers are refused
        currency: CurrencyCode
        expires_at: Instant | None = None       # RFC 3339 with its zone -> aware UTC datetime

    class CreditOut(Out):
        id: int
        amount: AmountOut                       # give it Money or Decimal -> a decimal string
        granted_at: InstantOut

    @router.make("/credits", scope="credits:write", answer=CreditOut)      # POST, 201, needs Idempotency-Key
    def grant_credit(request: ApiRequest, body: CreditIn) -> CreditOut:
        """Grant a credit."""                                              # becomes the operation's description
        grant = crediting.grant(
            customer_key=body.customer, amount=parse_money(body.amount, body.currency),
            key=idempotency.operation_key(request), at=clock.now(), actor=request.auth.actor, ...
        )
        return CreditOut(id=grant.id, amount=grant.amount, granted_at=grant.created_at)

    class CreditsQuery(PageQuery):              # limit and cursor; add filters
        customer: str | None = None

    @router.read("/credits", scope="balances:read", answer=Page[CreditOut])
    def list_credits(request: ApiRequest, query: Query[CreditsQuery]) -> Page[CreditOut]:
        rows = CreditGrant.objects.all()
        found = paginate(rows, page=query, order=["-id"], listing="credits")
        return Page(items=[...for row in found.items], next_cursor=found.next_cursor)

    @router.ask("/prices/preview", scope="plans:read", answer=RatedOut)    # POST that makes nothing: no key

* Raise any ``BillingError``: it is answered as a problem with its ``http_status``, code, kept, remedy and details.
  ``OperationalError`` becomes 503 with Retry-After, anything unforeseen 500.
* ``make`` runs the view inside the transaction that also stores the answer (a refusal rolls it back and is not
  stored). An operation that calls out (a payment) takes ``transaction=False``: its answer is stored after it.
  ``idempotency.operation_key(request)`` is a natural key to pass down where an operation asks for one.
* The function's name is the OpenAPI operation id: make it unique in the whole API. A path has no trailing slash.
* For a body that is not a Pydantic model read ``request.body`` in an ``ask`` route: ``max_bytes=`` raises the limit of
  1 MB, ``body.check_type(request, types)`` checks the media type, ``openapi={"requestBody": …}`` documents it.
* JSON numbers with a point arrive as Decimal in free-form fields.
* In free listings that do not page by columns use ``cursors.seal(listing, filters, position)`` and ``cursors.unseal``.
'''

from billing_ops.kit.http import body, cursors, idempotency
from billing_ops.kit.http.auth import ApiRequest
from billing_ops.kit.http.cursors import PageQuery, paginate
from billing_ops.kit.http.fields import (
    AmountOut,
    AmountText,
    Body,
    CurrencyCode,
    DecimalText,
    Instant,
    InstantOut,
    Key,
    Out,
    Page,
    Slug,
)
from billing_ops.kit.http.router import ApiRouter

__all__ = [
    "AmountOut",
    "AmountText",
    "ApiRequest",
    "ApiRouter",
    "Body",
    "CurrencyCode",
    "DecimalText",
    "Instant",
    "InstantOut",
    "Key",
    "Out",
    "Page",
    "PageQuery",
    "Slug",
    "body",
    "cursors",
    "idempotency",
    "paginate",
]
