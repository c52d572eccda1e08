"""An event as an endpoint of an older API version would get it: what older code expects and newer must not trust."""

from billing_ops.stripe_standin.errors import Json


def as_of(event: Json, version: str) -> Json:
    """The event with that version's stamp; before 2025-03-31 an invoice names its charge and payment intent itself."""
    obj = dict(event["data"]["object"])
    if version < "2025-03-31":
        if obj.get("object") == "invoice":
            for gone in (
                "amount_overpaid",
                "amount_paid_off_stripe",
                "parent",
                "total_taxes",
                "total_pretax_credit_amounts",
            ):
                obj.pop(gone, None)
            obj.update(charge=None, paid=obj["status"] == "paid", payment_intent=None, subscription=None, tax=None)
        elif obj.get("object") in ("charge", "payment_intent"):
            obj["invoice"] = None
    return {**event, "api_version": version, "data": {**event["data"], "object": obj}}
