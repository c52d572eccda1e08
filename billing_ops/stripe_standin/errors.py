"""Refusals in the shape of Stripe's error object."""

from typing import Any

Json = dict[str, Any]


class ApiError(Exception):
    """An answer that is an error.

    ``stored``: whether the answer is kept under the request's idempotency key (Stripe keeps what an endpoint that began
    to work answered, and nothing for what was refused at the door). ``keeps_work``: whether what was written before the
    error stays (a declined charge is a fact).
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        stored: bool = True,
        keeps_work: bool = False,
        extra: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.stored = stored
        self.keeps_work = keeps_work
        self.fields: Json = {"message": message, "type": type, "code": code, "param": param, **(extra or {})}

    def body(self, request_id: str, at: int) -> Json:
        """The JSON body: absent fields are left out, as Stripe does."""
        error = {name: value for name, value in self.fields.items() if value is not None}
        code = error.get("code")
        if code:
            error["doc_url"] = "https://stripe.com/docs/error-codes/" + str(code).replace("_", "-")
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}?t={at}"
        return {"error": dict(sorted(error.items()))}


def at_the_door(status: int, message: str, **fields: Any) -> ApiError:
    """A refusal before any endpoint began to work: nothing is kept under the idempotency key."""
    return ApiError(status, message, stored=False, **fields)


def missing(kind: str, id: str, param: str = "id", status: int = 404) -> ApiError:
    """Stripe's ``resource_missing``: 404 when the address names it, 400 when a parameter does."""
    return ApiError(status, f"No such {kind}: '{id}'", code="resource_missing", param=param)


def not_implemented(what: str, param: str | None = None) -> ApiError:
    """Something that Stripe can do and this stand-in cannot, said openly rather than pretended."""
    return at_the_door(
        400, f"The Stripe stand-in does not do this: {what}.", code="standin_not_implemented", param=param
    )


def server_error(status: int) -> ApiError:
    """Stripe's own failure, of which nobody can say whether the work was done."""
    message = "An unknown error occurred"
    return ApiError(status, message, type="api_error")
