"""Routes: four verbs that bring authentication, idempotency and the documentation of every answer with them."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar

from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.security import HttpBearer
from pydantic import BaseModel

from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from billing_ops.kit.http import body, idempotency
from billing_ops.kit.http.auth import ApiRequest, Caller, authenticate
from billing_ops.kit.http.scopes import SCOPES

View = TypeVar("View", bound=Callable[..., Any])

MAX_BODY_BYTES: Final = 1024 * 1024
_ALWAYS: Final = (400, 401, 403, 405, 422, 500, 503)


class QueryInvalid(BillingError):
    """A query parameter that the operation does not have, or one given twice."""

    code = "query.invalid"
    http_status = 422


class PathInvalid(BillingError):
    """A path that holds U+0000, which no key of anything has."""

    code = "route.not_found"
    http_status = 404


class ApiKeyAuth(HttpBearer):
    """The door of one operation: who may pass, with which query parameters and how large a body."""

    openapi_bearerFormat = "bo_<prefix>_<secret>"  # noqa: N815  # OpenAPI's spelling
    openapi_description = "An API key. Each operation names the one scope that it needs."

    def __init__(self, scope: str, max_bytes: int) -> None:
        super().__init__()
        if scope not in SCOPES:
            raise ValueError(f"{scope} is not a scope")
        self.scope = scope
        self.max_bytes = max_bytes
        self.bodiless = False
        self.query_names: frozenset[str] = frozenset()
        self.repeatable: frozenset[str] = frozenset()

    def __call__(self, request: HttpRequest) -> Caller:
        caller = authenticate(request.headers.get("Authorization", ""), scope=self.scope, at=clock.now())
        body.check_size(request, self.max_bytes)
        if "\0" in request.path_info:
            raise PathInvalid("There is nothing at an address with U+0000.")
        if self.bodiless:
            body.check_empty(request)
        self._check_query(request)
        return caller

    def _check_query(self, request: HttpRequest) -> None:
        for name, values in request.GET.lists():
            if name not in self.query_names:
                known = ", ".join(sorted(self.query_names)) or "none"
                raise QueryInvalid(
                    f"“{name[:80]}” is not a query parameter of this operation.",
                    remedy=f"It knows: {known}.",
                    field=name[:80],
                )
            if len(values) > 1 and name not in self.repeatable:
                raise QueryInvalid(f"The query parameter “{name}” is given {len(values)} times.", field=name)
            if any("\0" in value for value in values):
                raise QueryInvalid(f"The query parameter “{name}” holds U+0000.", field=name)

    def authenticate(self, request: HttpRequest, token: str) -> Caller:
        """Not used: ``__call__`` does it all."""
        raise NotImplementedError


class ApiRouter(Router):
    """A router whose routes are declared with :meth:`read`, :meth:`make`, :meth:`change` and :meth:`ask`."""

    def read(self, path: str, *, scope: str, answer: Any, **extra: Any) -> Callable[[View], View]:
        """GET: answers 200 with ``answer`` and changes nothing."""
        return self._route("GET", path, scope, 200, answer, **extra)

    def ask(self, path: str, *, scope: str, answer: Any, status: int = 200, **extra: Any) -> Callable[[View], View]:
        """POST without a key: it makes nothing (a calculation), or its content is its own identity (events)."""
        return self._route("POST", path, scope, status, answer, **extra)

    def change(
        self, path: str, *, scope: str, answer: Any, method: str = "PATCH", **extra: Any
    ) -> Callable[[View], View]:
        """PATCH (or PUT): sets what exists to the values sent, so the same again changes nothing and needs no key."""
        return self._route(method, path, scope, 200, answer, **extra)

    def make(
        self, path: str, *, scope: str, answer: Any, status: int = 201, transaction: bool = True, **extra: Any
    ) -> Callable[[View], View]:
        """POST that makes something, under an ``Idempotency-Key``.

        The view runs inside the transaction that also stores its answer. ``transaction=False`` is for operations that
        need several (a payment): the answer is stored after them, and meanwhile the key is refused to others.
        """
        return self._route("POST", path, scope, status, answer, keyed=True, transaction=transaction, **extra)

    def _route(
        self,
        method: str,
        path: str,
        scope: str,
        status: int,
        answer: Any,
        *,
        keyed: bool = False,
        transaction: bool = False,
        max_bytes: int = MAX_BODY_BYTES,
        problems: tuple[int, ...] = (),
        openapi: Mapping[str, Any] | None = None,
        summary: str | None = None,
    ) -> Callable[[View], View]:
        """``problems`` are statuses beyond the usual that the operation documents, ``openapi`` goes into its entry."""

        def register(view: View) -> View:
            door = ApiKeyAuth(scope, max_bytes)
            handler = _keyed(view, f"{method} {path}", status, answer, transaction) if keyed else view
            self.add_api_operation(
                path,
                [method],
                handler,
                auth=door,
                by_alias=True,
                response={status: answer},
                operation_id=view.__name__,
                summary=summary or view.__name__.replace("_", " ").capitalize(),
                openapi_extra=_documented(scope, method, path, keyed=keyed, problems=problems, extra=openapi or {}),
            )
            operation = self.path_operations[path].operations[-1]
            door.bodiless = keyed and not any(model.__ninja_param_source__ == "body" for model in operation.models)
            for model in operation.models:
                if model.__ninja_param_source__ == "query":
                    door.query_names = frozenset(model.__ninja_flatten_map__)
                    door.repeatable = frozenset(model.__ninja_collection_fields__)
            return view

        return register


def _keyed(view: Callable[..., Any], operation: str, status: int, answer: Any, transaction: bool) -> Callable[..., Any]:
    @wraps(view)
    def handler(request: ApiRequest, **values: Any) -> HttpResponse:
        def run() -> tuple[int, Any]:
            made = view(request, **values)
            is_model = isinstance(answer, type) and issubclass(answer, BaseModel)
            return status, answer.model_validate(made) if is_model and not isinstance(made, answer) else made

        once = idempotency.once if transaction else idempotency.once_apart
        return once(request, values, run, operation=operation)

    return handler


def _documented(
    scope: str, method: str, path: str, *, keyed: bool, problems: tuple[int, ...], extra: Mapping[str, Any]
) -> dict[str, Any]:
    statuses = {*_ALWAYS, *problems}
    if "{" in path:
        statuses.add(404)
    if method != "GET":
        statuses |= {411, 413, 415}
    if method in ("PATCH", "PUT"):
        statuses |= {409}
    if keyed:
        statuses |= {404, 409}
    documented: dict[str, Any] = {**extra, "x-scope": scope}
    documented["responses"] = {
        **{status: {"$ref": f"#/components/responses/Problem{status}"} for status in sorted(statuses)},
        **documented.get("responses", {}),
    }
    if keyed:
        key = {"$ref": "#/components/parameters/IdempotencyKey"}
        documented["parameters"] = [*documented.get("parameters", []), key]
    return documented
