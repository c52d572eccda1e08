"""Plans and their versions. A price is looked at on its version's page; a change is the next version."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Prefetch, Q, QuerySet
from django.http import HttpRequest

from billing_ops.kit.admin_base import RecordAdmin, badge, right
from plans.models import Plan, PlanVersion, Price


@admin.register(Plan)
class PlanAdmin(RecordAdmin):
    """A plan with all its versions."""

    list_display = ("name", "key", "versions_text", "created_at")
    search_fields = ("name", "key")
    record_fields = ("key", "name", "created_at")
    record_template = "console/plan.html"
    list_note = "A published version never changes: a new price is a new version, and subscriptions keep theirs."
    empty_hint = "Create a plan with POST /api/v1/plans, then publish it."

    def get_queryset(self, request: HttpRequest) -> QuerySet[Plan]:
        published = Count("versions", filter=Q(versions__published_at__isnull=False))
        rows: QuerySet[Plan] = super().get_queryset(request).annotate(published=published)
        return rows

    @admin.display(description="Published versions")
    def versions_text(self, plan: Any) -> str:
        return right(str(plan.published))

    def record_context(self, request: HttpRequest, record: Plan) -> dict[str, Any]:
        sold = Count("subscriptions", filter=Q(subscriptions__status="active"))
        prices = Prefetch("prices", Price.objects.order_by("position", "id").select_related("meter"))
        versions = record.versions.order_by("-number").annotate(sold=sold).prefetch_related(prices, "prices__tiers")
        return {"versions": versions}


@admin.register(PlanVersion)
class PlanVersionAdmin(RecordAdmin):
    """One version of a plan: what it costs, to the last decimal."""

    list_display = ("__str__", "plan", "currency", "state", "published_at")
    list_filter = ("currency",)
    list_select_related = ("plan",)
    record_fields = ("plan", "number", "currency", "created_at", "published_at")
    record_template = "console/plan_version.html"

    @admin.display(description="State")
    def state(self, version: PlanVersion) -> str:
        return badge("Published", "good") if version.published_at else badge("Draft", "warn")

    def get_queryset(self, request: HttpRequest) -> QuerySet[PlanVersion]:
        return super().get_queryset(request).select_related("plan")

    def record_context(self, request: HttpRequest, record: PlanVersion) -> dict[str, Any]:
        prices = record.prices.order_by("position", "id").select_related("meter").prefetch_related("tiers")
        return {"prices": prices}
