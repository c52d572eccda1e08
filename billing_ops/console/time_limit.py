"""A page of the console may not keep the database busy: a read that takes longer than five seconds is stopped."""

from collections.abc import Callable
from typing import Final

from django.db import OperationalError, connection
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from psycopg.errors import QueryCanceled

LIMIT_MS: Final = 5_000
CONSOLE: Final = "/console/"  # where billing_ops.urls mounts the site


class ReadTimeLimit:
    """Sets a statement timeout for reads of the console. Acts (POST) have none: rather late than not."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD") or not request.path.startswith(CONSOLE):
            return self.get_response(request)
        _run("SELECT set_config('statement_timeout', %s, false)", str(LIMIT_MS))
        try:
            return self.get_response(request)
        finally:
            if connection.connection is not None and not connection.in_atomic_block:
                _run("RESET statement_timeout")  # back to the limit that the connection was opened with

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """A stopped read is no failure of ours: say what to do."""
        if isinstance(error, OperationalError) and isinstance(error.__cause__, QueryCanceled):
            return HttpResponse(render_to_string("console/too_slow.html"), status=503)
        return None


def _run(statement: str, *parameters: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
