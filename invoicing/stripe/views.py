"""The webhook's address: verify, store, answer."""

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billing_ops.kit import clock
from billing_ops.kit.errors import BillingError
from invoicing.stripe import receiving


@csrf_exempt  # Stripe signs its requests instead
@require_POST
def webhook(request: HttpRequest) -> JsonResponse:
    """200 once the event is committed (new or known), 4xx when it is not Stripe's word, and then nothing is stored."""
    header = request.headers.get("Stripe-Signature", "")
    try:
        _, created = receiving.receive(body=request.body, header=header, at=clock.now())
    except BillingError as error:
        return JsonResponse({"code": error.code, "detail": str(error)}, status=error.http_status)
    return JsonResponse({"received": True, "new": created})
