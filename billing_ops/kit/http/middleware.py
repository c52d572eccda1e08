"""Around every request: its id, and a problem in place of whatever Django would say under ``/api/``."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from billing_ops.kit import request_id
from billing_ops.kit.http import problems

HEADER = "X-Request-ID"


class RequestIdMiddleware:
    """Takes ``X-Request-ID`` if it is sane or makes one, keeps it while the request is answered, and sends it back.

    It stands first, so that what other middleware refuses is answered as the API answers: an error under ``/api/``
    without a problem of its own (no such route, wrong method, an exception outside an operation) gets one here.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        token = request_id.begin(request.headers.get(HEADER, ""))
        request.request_id = request_id.current()  # type: ignore[attr-defined]  # for what is logged after us
        try:
            response = self.get_response(request)
            if response.status_code >= 400 and request.path.startswith("/api/"):
                response = self._as_problem(request, response)
            response[HEADER] = request_id.current()
            if "Authorization" in request.headers:
                response.headers.setdefault("Cache-Control", "no-store")  # what a key may see is for its holder alone
            return response
        finally:
            request_id.end(token)

    def _as_problem(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        if response.headers.get("Content-Type", "").startswith(problems.MEDIA_TYPE):
            return response
        answer = problems.from_status(request, response.status_code)
        if "Allow" in response:
            answer["Allow"] = response["Allow"]
        return answer
