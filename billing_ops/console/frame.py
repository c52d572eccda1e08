"""The frame of the console around a page."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.response import TemplateResponse

from billing_ops.kit.errors import BillingError


def show(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> TemplateResponse:
    """Render a page of the console inside its frame. ``context`` holds ``title`` and may hold ``breadcrumbs``."""
    return TemplateResponse(request, template, {**admin.site.each_context(request), **context}, status=status)


def crumb(title: str, url: str) -> dict[str, str]:
    """One step of the path above a page's title."""
    return {"title": title, "url": url}


def in_form(error: BillingError) -> str:
    """What is wrong with a field, in words that stand below it: its technical name is left out."""
    text = error.message.removeprefix(f"{error.details.get('field')}: ")
    return f"{text[:1].upper()}{text[1:]} {error.remedy}".strip()
