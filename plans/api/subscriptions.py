"""Subscriptions over HTTP."""

from typing import Literal

from ninja import Query
from pydantic import Field

from billing_ops.kit import clock
from billing_ops.kit.http import (
    ApiRequest,
    ApiRouter,
    Body,
    Instant,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
    Slug,
    paginate,
)
from plans import catalog, customers, subscribing, subscriptions
from plans.models import Subscription

router = ApiRouter(tags=["Subscriptions"])


class SubscriptionIn(Body):
    """Who subscribes to what, from when."""

    key: Key
    customer: Key = Field(description="The customer's key.")
    plan: Slug
    version: int | None = Field(None, ge=1, le=10**6, description="Left out: the newest published one.")
    starts_at: Instant | None = Field(None, description="Left out: now. Kept to the second.")
    anchor: Instant | None = Field(
        None, description="Billing periods are counted from it, month by month in the customer's zone. Left out: start."
    )


class PeriodOut(Out):
    """One billing period: from `starts_at` until just before `ends_at`."""

    number: int
    starts_at: InstantOut
    ends_at: InstantOut


class ItemOut(Out):
    """One charge of a subscription."""

    price_id: int
    price: str
    meter: str
    quantity: int
    starts_at: InstantOut
    ends_at: InstantOut | None


class SubscriptionOut(Out):
    """A subscription. It stays *active* until the edge at `ends_at` was billed."""

    key: str
    customer: str
    plan: str
    version: int
    status: Literal["active", "ended"]
    starts_at: InstantOut
    anchor: InstantOut
    ends_at: InstantOut | None
    due_at: InstantOut | None = Field(description="The next edge at which something is invoiced.")
    created_at: InstantOut
    period: PeriodOut = Field(description="The period that was opened last.")
    items: list[ItemOut]


class SubscriptionsQuery(PageQuery):
    """Filters of the listing."""

    customer: Key | None = Field(None, description="The customer's key.")


@router.make("/subscriptions", scope="subscriptions:write", answer=SubscriptionOut)
def create_subscription(request: ApiRequest, body: SubscriptionIn) -> SubscriptionOut:
    """Subscribe a customer to a published version of a plan in the customer's currency."""
    at = clock.now()
    made = subscribing.subscribe(
        customer=customers.get(body.customer),
        version=catalog.version(body.plan, body.version),
        key=body.key,
        starts_at=body.starts_at or at,
        anchor=body.anchor,
        at=at,
        actor=request.auth.actor,
    )
    return _out(subscriptions.get(made.key))


@router.read("/subscriptions", scope="subscriptions:read", answer=Page[SubscriptionOut])
def list_subscriptions(request: ApiRequest, query: Query[SubscriptionsQuery]) -> Page[SubscriptionOut]:
    """Subscriptions, the oldest first."""
    key = customers.get(query.customer).key if query.customer else ""
    found = paginate(subscriptions.listing(customer_key=key), page=query, order=["id"], listing="subscriptions")
    return Page(items=[_out(row) for row in found.items], next_cursor=found.next_cursor)


@router.read("/subscriptions/{subscription_key}", scope="subscriptions:read", answer=SubscriptionOut)
def get_subscription(request: ApiRequest, subscription_key: str) -> SubscriptionOut:
    """One subscription."""
    return _out(subscriptions.get(subscription_key))


@router.make("/subscriptions/{subscription_key}/end", scope="subscriptions:write", answer=SubscriptionOut, status=200)
def end_subscription(request: ApiRequest, subscription_key: str) -> SubscriptionOut:
    """End a subscription at the end of its current period. Its usage until then is still billed."""
    subscription = subscriptions.get(subscription_key)
    subscribing.end(subscription=subscription, at=clock.now(), actor=request.auth.actor)
    return _out(subscriptions.get(subscription_key))


def _out(subscription: Subscription) -> SubscriptionOut:
    names = ("key", "status", "starts_at", "anchor", "ends_at", "due_at", "created_at")
    return SubscriptionOut.model_validate(
        {name: getattr(subscription, name) for name in names}
        | {
            "customer": subscription.customer.key,
            "plan": subscription.version.plan.key,
            "version": subscription.version.number,
            "period": max(subscription.periods.all(), key=lambda period: period.number),
            "items": [
                {
                    "price_id": item.price_id,
                    "price": item.price.key,
                    "meter": item.price.meter.key if item.price.meter else "",
                    "quantity": item.quantity,
                    "starts_at": item.starts_at,
                    "ends_at": item.ends_at,
                }
                for item in subscription.items.all()
            ],
        }
    )
