from django.apps import AppConfig


class BillingOpsConfig(AppConfig):
    name = "billing_ops"
    verbose_name = "Billing Ops"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        # Celery is loaded here and not in ``__init__``, so that the pure modules of the kit stay importable without it.
        from billing_ops import celery as _celery  # noqa: F401
