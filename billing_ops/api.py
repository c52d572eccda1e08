"""The API's root: every app's router under ``/api/v1``, one set of errors, one OpenAPI document."""

from collections.abc import Callable
from typing import Any, Final

from django.conf import settings
from django.contrib.admin.views.decorators import staff_member_required
from django.http import HttpRequest, HttpResponse

from billing_ops.kit.http.root import ApiRoot
from invoicing import api as invoicing
from ledger import api as ledger
from metering import api as metering
from plans import api as plans

DESCRIPTION: Final = """
Send usage, agree on prices, read what is owed, and get it paid.

* **Keys**: `Authorization: Bearer bo_…`. A key is shown once, has scopes, and each operation needs exactly one.
* **Once**: what makes something takes an `Idempotency-Key`; the same request again gets the same answer, with
  `Idempotent-Replayed: true`. Usage events carry their own identity (`source` and `id`) and need none.
* **Amounts** are decimal strings, **instants** RFC 3339 with their zone. Unknown fields and parameters are refused.
* **Listings** go page by page: pass `next_cursor` back as `cursor`.
* **Errors** are `application/problem+json` with a stable `code`, what was kept and what to do next.
* **`X-Request-ID`** is taken from you if you send one, and comes back with every answer.
"""


def for_staff_where_private(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The page and the document are for anybody, or with ``API_DOCS_PUBLIC`` off (production) for signed-in staff."""
    private = staff_member_required(view)

    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return (view if settings.API_DOCS_PUBLIC else private)(request, *args, **kwargs)

    return shown


api = ApiRoot(
    title="Billing Ops",
    version="1.0.0",
    description=DESCRIPTION.strip(),
    urls_namespace="api-v1",
    docs_decorator=for_staff_where_private,
    openapi_extra={
        "tags": [
            {"name": "Metering", "description": "Usage events in, meters, and what was used, always current."},
            {"name": "Customers", "description": "Who is billed."},
            {"name": "Plans", "description": "What things cost; published versions never change."},
            {"name": "Subscriptions", "description": "Who agreed to what."},
            {"name": "Balances", "description": "What is owed and what is left."},
            {"name": "Credits", "description": "Grants of credit."},
            {"name": "Schedules", "description": "Credit that comes again every period."},
            {"name": "Top-ups", "description": "Credit that is bought: spendable once its invoice is paid."},
            {"name": "Invoices", "description": "The bill, from preview to payment."},
        ]
    },
)
for _router in (metering.router, plans.router, ledger.router, invoicing.router):
    api.add_router("", _router)
