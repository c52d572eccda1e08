"""The kind of Ninja root that all our routes live under."""

from functools import cached_property
from typing import Any

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


class DocsPage(DocsBase):
    """Swagger UI from our own static files, without an inline script."""

    def render_page(self, request: HttpRequest, api: NinjaAPI, **kwargs: Any) -> HttpResponse:
        address = reverse(f"{api.urls_namespace}:openapi-json")
        return render(request, "api/docs.html", {"api": api, "openapi_url": address})


class ApiRoot(NinjaAPI):
    """Strict parsing, our JSON, problems for every exception, and one complete OpenAPI document."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            docs=DocsPage(),
            servers=[{"url": "/", "description": "This installation"}],
            renderer=ApiRenderer(),
            parser=StrictParser(),
            **options,
        )
        install(self)

    def get_openapi_schema(
        self, *, path_prefix: str | None = None, path_params: dict[str, Any] | None = None
    ) -> OpenAPISchema:
        """The document, the same for every request."""
        return self._document

    @cached_property
    def _document(self) -> OpenAPISchema:
        document = super().get_openapi_schema()
        complete(document)
        return document
