"""Invoicing over HTTP: invoices, top-ups, and topping up by itself."""

from billing_ops.kit.http import ApiRouter
from invoicing.api import auto_top_ups, invoices, top_ups

router = ApiRouter()
for _part in (invoices, top_ups, auto_top_ups):
    router.add_router("", _part.router)

__all__ = ["router"]
