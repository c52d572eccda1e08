"""What is answered outside the API's operations when something failed: the console's pages and the webhook's address.

A database that is away is no mistake of ours: 503 and when to come back, as the API says it. Programs get a problem,
people a page, neither of which needs the database.
"""

import sys

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views import defaults

from billing_ops.kit.http.failures import database_failed


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's ``handler500``: called while the exception that nobody caught is being handled."""
    error = sys.exc_info()[1]
    if not isinstance(error, OperationalError | InterfaceError):
        return defaults.server_error(request)
    answer = database_failed(request, error)
    if request.path.startswith(("/api/", "/webhooks/")):
        return answer
    page = HttpResponse(render_to_string("503.html"), status=answer.status_code)
    page["Retry-After"] = answer["Retry-After"]
    return page
