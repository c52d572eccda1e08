"""What was agreed: customers, the catalogue and subscriptions."""

from plans.models.catalogue import Plan, PlanVersion, Price, PriceTier
from plans.models.customers import Customer
from plans.models.subscriptions import BillingPeriod, Subscription, SubscriptionItem

__all__ = [
    "BillingPeriod",
    "Customer",
    "Plan",
    "PlanVersion",
    "Price",
    "PriceTier",
    "Subscription",
    "SubscriptionItem",
]
