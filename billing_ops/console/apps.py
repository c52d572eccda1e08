from django.contrib.admin.apps import AdminConfig


class ConsoleAdminConfig(AdminConfig):
    """Django Admin with the console as its default site."""

    default_site = "billing_ops.console.site.ConsoleSite"
