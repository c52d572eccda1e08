from django.contrib import admin
from django.urls import path
from django.views.generic import RedirectView

from billing_ops import health
from billing_ops.api import api
from billing_ops.kit.http import outage
from invoicing.stripe.views import webhook

handler500 = outage.server_error

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("healthz", health.alive, name="healthz"),
    path("readyz", health.ready, name="readyz"),
    path("api/v1/", api.urls),
    path("webhooks/stripe", webhook, name="stripe-webhook"),
    path("console/", admin.site.urls),
]
