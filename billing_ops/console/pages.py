"""The table of the console's own pages: route, name, view, who may open it and how.

One place decides permission and method for all of them; a view can rely on both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse

View = Callable[..., HttpResponse]


@dataclass(frozen=True)
class Page:
    """A page of the console. ``view`` is guarded: other methods get 405, other people 403."""

    route: str
    name: str
    view: View
    permission: str
    methods: tuple[str, ...]


def _page(route: str, name: str, view: View, permission: str, *methods: str) -> Page:
    allowed = methods or ("GET", "HEAD")

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not request.user.has_perm(permission):
            raise PermissionDenied
        if request.method not in allowed:
            return HttpResponseNotAllowed(allowed)
        return view(request, *args, **kwargs)

    return Page(route, name, guarded, permission, allowed)


def show(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> TemplateResponse:
    """Render a page of the console inside its frame. ``context`` holds ``title`` and may hold ``breadcrumbs``."""
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context}, status=status)


def crumb(title: str, url: str) -> dict[str, str]:
    """One step of the path above a page's title."""
    return {"title": title, "url": url}


def _pages() -> list[Page]:
    return []


PAGES: list[Page] = _pages()
