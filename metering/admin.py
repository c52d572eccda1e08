"""Meters in the console. Events and batches have pages of their own there."""

from django.contrib import admin

from billing_ops.kit.admin_base import RecordAdmin, badge
from metering.models import Meter


@admin.register(Meter)
class MeterAdmin(RecordAdmin):
    """What is counted, of which events."""

    list_display = ("name", "key", "event_type", "aggregation", "value_path", "unit", "state")
    search_fields = ("key", "name", "event_type")
    record_fields = (
        "key", "name", "event_type", "aggregation", "value_path", "filters", "unit", "created_at", "created_by",
        "archived_at",
    )  # fmt: skip
    list_note = "A meter never changes: other counting is another meter."
    empty_hint = "Define a meter with POST /api/v1/meters."

    @admin.display(description="State")
    def state(self, meter: Meter) -> str:
        return badge("Archived") if meter.archived_at else badge("Active", "good")
