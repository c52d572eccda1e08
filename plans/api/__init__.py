"""The agreement over HTTP: customers, the catalogue with its calculator, and subscriptions."""

from billing_ops.kit.http import ApiRouter
from plans.api import catalogue, customers, prices, subscriptions

router = ApiRouter()
for _part in (customers, catalogue, prices, subscriptions):
    router.add_router("", _part.router)

__all__ = ["router"]
