"""The console: Django Admin, themed, with our home page."""

from unfold.sites import UnfoldAdminSite


class ConsoleSite(UnfoldAdminSite):
    """The one admin site of the product."""

    site_header = "Billing Ops"
    site_title = "Billing Ops"
