"""The webhook inbox: what Stripe sent, how handling it went, and the replay of what failed."""

import json
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from unfold.forms import BaseDialogForm

from billing_ops.kit import clock
from billing_ops.kit.actor import Actor
from billing_ops.kit.admin_base import RecordAdmin, act, badge
from billing_ops.kit.errors import BillingError
from invoicing.models import StripeEvent
from invoicing.stripe import handling


class StateFilter(admin.SimpleListFilter):
    """Where an event stands."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("waiting", "Waiting"), ("parked", "Parked"), ("handled", "Handled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[StripeEvent]) -> QuerySet[StripeEvent]:
        if self.value() == "waiting":
            return queryset.filter(handled_at=None, parked_at=None)
        if self.value() == "parked":
            return queryset.filter(handled_at=None, parked_at__isnull=False)
        if self.value() == "handled":
            return queryset.filter(handled_at__isnull=False)
        return queryset


@admin.register(StripeEvent)
class StripeEventAdmin(RecordAdmin):
    """Verified events as they came; a parked one is replayed once its cause is fixed."""

    list_display = ("type", "state", "received_at", "tries", "short_error", "object_id", "event_id")
    list_filter = (StateFilter,)
    search_fields = ("=event_id", "=object_id", "type__startswith")
    search_help_text = "Event id, object id or the beginning of a type"
    record_fields = (
        "event_id", "type", "object_id", "state", "outcome", "livemode", "api_version", "created_at", "received_at",
        "handled_at", "tries", "next_try_at", "parked_at", "error",
    )  # fmt: skip
    record_template = "console/webhook.html"
    actions_detail = ("replay",)
    big = True
    list_title = "Webhook inbox"
    list_note = "An event is stored before it is handled, and handling it twice changes nothing."
    empty_hint = "Stripe sends events to POST /webhooks/stripe; the stand-in of make run does it by itself."

    def get_queryset(self, request: HttpRequest) -> QuerySet[StripeEvent]:
        rows: QuerySet[StripeEvent] = super().get_queryset(request)
        opened = (
            request.resolver_match is not None and request.resolver_match.url_name == "invoicing_stripeevent_change"
        )
        return rows if opened else rows.defer("body")

    @admin.display(description="State")
    def state(self, event: StripeEvent) -> str:
        if event.handled_at:
            return badge("Handled", "good")
        return badge("Parked", "bad") if event.parked_at else badge("Waiting", "warn")

    @admin.display(description="Error")
    def short_error(self, event: StripeEvent) -> str:
        return event.error[:80]

    def record_context(self, request: HttpRequest, record: StripeEvent) -> dict[str, Any]:
        try:
            body = json.dumps(json.loads(record.body), indent=2, ensure_ascii=False)
        except ValueError:  # stored as it was signed, whatever it is
            body = record.body
        return {"title": record.type, "header_note": record.event_id, "body": body}

    @act(
        permissions=["invoicing.replay_stripeevent"],
        title="Replay",
        question="The event is handled again from the beginning. Its effects have their own keys, so nothing is "
        "posted or charged twice.",
        submit="Replay the event",
    )
    def replay(self, request: HttpRequest, form: BaseDialogForm, object_id: str) -> HttpResponse:
        """Make the event due again."""
        actor = Actor("user", request.user.get_username(), request.user.get_username())
        try:
            event = handling.replay(event_pk=int(object_id), at=clock.now(), actor=actor)
        except BillingError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, f"{event.event_id} is due again and will be handled within seconds.")
        return HttpResponse(headers={"HX-Redirect": reverse("admin:invoicing_stripeevent_change", args=[object_id])})
