"""The product's application with one more route, which does nothing: what a request costs before any work is done."""

import os

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billing_ops.settings")

import django

django.setup()

from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402

from billing_ops.api import api  # noqa: E402
from billing_ops.kit.http import ApiRequest, ApiRouter  # noqa: E402
from billing_ops.wsgi import application as wsgi  # noqa: E402

router = ApiRouter()


@router.ask("/noop", scope="draws:write", answer=dict)
def noop(request: ApiRequest) -> HttpResponse:
    """Nothing."""
    return HttpResponse(b'{"nothing":true}', content_type="application/json")


api.add_router("", router)
asgi = get_asgi_application()
__all__ = ["asgi", "wsgi"]
