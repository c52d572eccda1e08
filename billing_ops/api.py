"""The API's root: every app's router under ``/api/v1``, one set of errors, one OpenAPI document."""

from functools import cache
from importlib.util import find_spec
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from ninja import NinjaAPI
from ninja.openapi.docs import DocsBase
from ninja.openapi.schema import OpenAPISchema

from billing_ops.kit.http.body import StrictParser
from billing_ops.kit.http.documentation import complete
from billing_ops.kit.http.failures import install
from billing_ops.kit.http.rendering import ApiRenderer

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

ROUTERS: Final = ("metering.api", "plans.api", "ledger.api", "invoicing.api")


class DocsPage(DocsBase):
    """Swagger UI from our own static files, without an inline script."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        return render(request, "api/docs.html", {"api": api, "openapi_url": reverse("api-v1:openapi-json")})


class BillingApi(NinjaAPI):
    """Ninja's root with the parts that every operation shares put into the document once."""

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """The document does not depend on the request, so it is made once."""
        return self._document()

    @cache  # noqa: B019  # there is one instance, for the life of the process
    def _document(self) -> OpenAPISchema:
        document = super().get_openapi_schema()
        complete(document)
        return document


api = BillingApi(
    title="Billing Ops",
    version="1.0.0",
    description=DESCRIPTION.strip(),
    urls_namespace="api-v1",
    docs=DocsPage(),
    servers=[{"url": "/", "description": "This installation"}],
    renderer=ApiRenderer(),
    parser=StrictParser(),
    openapi_extra={
        "tags": [
            {"name": "Events", "description": "Usage, as CloudEvents."},
            {"name": "Meters", "description": "What is counted in events."},
            {"name": "Usage", "description": "What was used, always current."},
            {"name": "Customers", "description": "Who is billed."},
            {"name": "Plans", "description": "What things cost; published versions never change."},
            {"name": "Subscriptions", "description": "Who agreed to what."},
            {"name": "Balances", "description": "What is owed and what is left."},
            {"name": "Credits", "description": "Grants of credit."},
            {"name": "Invoices", "description": "The bill, from preview to payment."},
        ]
    },
)
install(api)
for _module in ROUTERS:
    if find_spec(_module):
        api.add_router("", f"{_module}.router")
