"""The console: Django Admin, themed, with our home page, search and the pages that span the apps."""

from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from unfold.sites import UnfoldAdminSite

from billing_ops.console.signing_in import SignInForm


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]  # unfold has no types
    """The one admin site of the product."""

    site_header = "Billing Ops"
    site_title = "Billing Ops"
    index_title = "Home"
    index_template = "console/home.html"
    enable_nav_sidebar = True
    login_form = SignInForm

    def extra_urls(self) -> list[URLPattern]:
        """The pages that belong to no single model; imported here because the apps' models must be loaded first."""
        from billing_ops.console.pages import PAGES

        return [path(page.route, self.admin_view(page.view), name=page.name) for page in PAGES]

    def get_urls(self) -> list[Any]:
        """Django's own, without what nothing here uses: every URL less is one less to guard."""
        unused = {"autocomplete", "jsi18n", "view_on_site", "app_list"}
        return [pattern for pattern in super().get_urls() if getattr(pattern, "name", None) not in unused]

    def has_permission(self, request: HttpRequest) -> bool:
        """Active staff, and never a superuser: every right that is used here comes from a role."""
        return bool(super().has_permission(request)) and not getattr(request.user, "is_superuser", False)

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        """Nothing: the menu is ours, in the order of the work and not of the tables."""
        return []

    def extra_context(self, context: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
        """What every page shows around its content."""
        from billing_ops.console.navigation import menu

        signed_in = self.has_permission(request)
        context["console_navigation"] = menu(request) if signed_in else []
        context["console_roles"] = [group.name for group in request.user.groups.all()] if signed_in else []
        return context

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Home: what happens now and what needs somebody."""
        from billing_ops.console.home import home

        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        context = {**self.each_context(request), "title": self.index_title, **home(request), **(extra_context or {})}
        request.current_app = self.name
        return TemplateResponse(request, self.index_template, context)

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The one search box; replaces the theme's, which is unbounded and remembers answers."""
        from billing_ops.console.search_page import search_page

        return search_page(request)
