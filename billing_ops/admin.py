"""The floor's own rows in the console: the audit trail and failing jobs. Users are managed elsewhere."""

from django.contrib import admin
from django.contrib.auth.models import Group, User

from billing_ops.kit.admin_base import RecordAdmin
from billing_ops.models import AuditEntry, FailedWork

# Accounts and roles come from commands: a form that edits them would let a role give itself another.
admin.site.unregister(User)
admin.site.unregister(Group)


@admin.register(AuditEntry)
class AuditEntryAdmin(RecordAdmin):
    """Who did what, when and why."""

    list_display = ("at", "who", "summary", "customer_key", "ticket")
    list_filter = ("actor_type",)
    search_fields = ("=customer_key", "=subject_key", "=actor_id", "=action", "=ticket", "=request_id")
    search_help_text = "Customer, subject, actor, action, ticket or request id, in full"
    record_fields = (
        "at", "who", "action", "subject_type", "subject_key", "customer_key", "summary", "reason", "ticket", "note",
        "changes", "request_id",
    )  # fmt: skip
    list_title = "Audit trail"
    big = True
    empty_hint = "Every act leaves an entry here."

    @admin.display(description="Who", ordering="actor_id")
    def who(self, entry: AuditEntry) -> str:
        return entry.actor_label or f"{entry.actor_type}:{entry.actor_id}"


@admin.register(FailedWork)
class FailedWorkAdmin(RecordAdmin):
    """Unattended work that failed; it disappears when it succeeds."""

    list_display = ("task", "subject", "code", "tries", "last_failed_at", "next_try_at")
    list_filter = ("task",)
    search_fields = ("=subject", "=customer_key", "=code")
    record_fields = (
        "task", "subject", "customer_key", "code", "message", "tries", "first_failed_at", "last_failed_at",
        "next_try_at",
    )  # fmt: skip
    list_title = "Failing jobs"
    list_note = "Each is tried again by itself, with pauses from a minute to six hours."
    empty_hint = "Nothing fails."
