"""The agreement in the console: customers, plans and subscriptions, to be read."""

from plans.admin.catalogue import PlanAdmin, PlanVersionAdmin
from plans.admin.customers import CustomerAdmin, SubscriptionAdmin

__all__ = ["CustomerAdmin", "PlanAdmin", "PlanVersionAdmin", "SubscriptionAdmin"]
