"""The floor's own rows: who may call, what was answered, who did what. They name their subject and import no app."""

import uuid
from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models


class ApiKey(models.Model):
    """A program's key: shown once, kept as a SHA-256 of a 256-bit random secret, scoped, revocable and expiring."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE"

    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16, unique=True)
    secret_sha256 = models.CharField(max_length=64)
    scopes = ArrayField(models.CharField(max_length=32))
    created_at = models.DateTimeField()
    created_by = models.CharField(max_length=150)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "API key"
        ordering: ClassVar = ["name", "id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(secret_sha256__regex=r"^[0-9a-f]{64}$"),  # noqa: S106  # a pattern
                name="api_key_hashed",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"


class IdempotencyRecord(models.Model):
    """The answer to a request that made something, stored in the transaction that made it.

    The same principal with the same key gets the same answer; another request under the key is refused with the fields
    that differ, which is why the canonical request is kept and not only its hash.
    """

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    principal = models.CharField(max_length=150)
    key = models.CharField(max_length=255)
    operation = models.CharField(max_length=200)  # method and route, e.g. "POST /api/v1/credits"
    request = models.JSONField()
    status = models.PositiveSmallIntegerField()
    response = models.TextField()  # the JSON as it was sent, so that a replay is the same to the byte
    created_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["principal", "key"], name="idempotency_principal_key"),
        ]

    def __str__(self) -> str:
        return f"{self.principal} {self.key}"


class AuditEntry(models.Model):
    """Who did what to which subject, when and why; appended in the transaction of the act and never changed."""

    app_privileges: ClassVar[str] = "SELECT, INSERT"

    at = models.DateTimeField()
    actor_type = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=150)
    actor_label = models.CharField(max_length=200, blank=True)
    action = models.CharField(max_length=64)  # e.g. "credit.granted"
    subject_type = models.CharField(max_length=64)
    subject_key = models.CharField(max_length=128)
    customer_key = models.CharField(max_length=128, blank=True)
    summary = models.CharField(max_length=300)
    reason = models.CharField(max_length=64, blank=True)
    ticket = models.CharField(max_length=64, blank=True)
    note = models.TextField(max_length=2000, blank=True)
    changes = models.JSONField(default=dict)
    request_id = models.CharField(max_length=64, blank=True)

    class Meta:
        verbose_name_plural = "audit entries"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["customer_key", "-id"], name="audit_customer"),
            models.Index(fields=["subject_type", "subject_key", "-id"], name="audit_subject"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.action} {self.subject_key}"


class Approval(models.Model):
    """A request that a second person decides: bound to its content, which never changes, and used at most once.

    ``kind`` says what it does (``credit.grant``; see ``kit.approving``), ``subject`` with what. The database
    checks the hash, that nobody decides their own request, that statuses move only as
    ``billing_ops.kit.approvals.TRANSITIONS`` says, and that an approval is used once, in the transaction that gives it.
    """

    app_privileges: ClassVar[str] = (
        "SELECT, INSERT, UPDATE (status, decided_by_type, decided_by_id, decided_by_label, decided_at, decision_note, "
        "used_at, used_for)"
    )

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    key = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=40)
    subject = models.JSONField()
    content_hash = models.CharField(max_length=64)
    """SHA-256 of the subject's canonical text."""
    customer_key = models.CharField(max_length=200, blank=True)
    summary = models.CharField(max_length=300)
    why = models.CharField(max_length=300, blank=True)
    """Why it needs a second person, e.g. the limit it exceeds."""
    flags = ArrayField(models.CharField(max_length=32), default=list, blank=True)
    requested_by_type = models.CharField(max_length=8)
    requested_by_id = models.CharField(max_length=150)
    requested_by_label = models.CharField(max_length=200, blank=True)
    reason_code = models.CharField(max_length=64)
    ticket = models.CharField(max_length=120, blank=True)
    note = models.TextField(max_length=2000, blank=True)
    requested_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    replaces = models.OneToOneField("self", on_delete=models.PROTECT, null=True, blank=True, related_name="replaced_by")
    """The request whose content this one changes; that one is void."""
    status = models.CharField(max_length=10, default="pending")
    decided_by_type = models.CharField(max_length=8, blank=True)
    decided_by_id = models.CharField(max_length=150, blank=True)
    decided_by_label = models.CharField(max_length=200, blank=True)
    decided_at = models.DateTimeField(null=True, blank=True)
    """When it stopped being pending, whichever way."""
    decision_note = models.TextField(max_length=2000, blank=True)
    used_at = models.DateTimeField(null=True, blank=True)
    used_for = models.CharField(max_length=200, blank=True)
    """What it led to, e.g. ``entry:<public id>``."""

    class Meta:
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="approval_status",
                condition=models.Q(status__in=["pending", "approved", "rejected", "withdrawn", "expired", "void"]),
            ),
            models.CheckConstraint(
                name="approval_decided",
                condition=models.Q(status="pending", decided_at__isnull=True, decided_by_id="")
                | models.Q(status__in=["approved", "rejected"], decided_at__isnull=False) & ~models.Q(decided_by_id="")
                | models.Q(status__in=["withdrawn", "expired", "void"], decided_at__isnull=False, decided_by_id=""),
            ),
            models.CheckConstraint(
                name="approval_in_time",
                condition=models.Q(expires_at__gt=models.F("requested_at"))
                & (~models.Q(status="approved") | models.Q(decided_at__lt=models.F("expires_at")))
                & (~models.Q(status="expired") | models.Q(decided_at__gte=models.F("expires_at"))),
            ),
            models.CheckConstraint(
                name="approval_gives_reason",
                condition=~models.Q(requested_by_id="") & ~models.Q(reason_code=""),
            ),
            models.CheckConstraint(
                name="approval_used",
                condition=models.Q(used_at__isnull=True, used_for="")
                | models.Q(status="approved", used_at__isnull=False) & ~models.Q(used_for=""),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["status", "-id"], name="approval_queue"),
            models.Index(fields=["customer_key", "-id"], name="approval_customer"),
            models.Index(fields=["requested_by_id", "-id"], name="approval_requester"),
            models.Index(fields=["expires_at"], name="approval_due", condition=models.Q(status="pending")),
        ]

    def __str__(self) -> str:
        return f"{self.summary} ({self.status})"


class FailedWork(models.Model):
    """A unit of unattended work that failed: shown until it succeeds, retried when ``next_try_at`` has come."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE, DELETE"

    task = models.CharField(max_length=64)  # e.g. "invoicing.finalize"
    subject = models.CharField(max_length=128)  # what it worked on, e.g. an invoice's public id
    customer_key = models.CharField(max_length=128, blank=True)
    code = models.CharField(max_length=64)
    message = models.TextField(max_length=2000)
    tries = models.PositiveIntegerField(default=1)
    first_failed_at = models.DateTimeField()
    last_failed_at = models.DateTimeField()
    next_try_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "failed work"
        ordering: ClassVar = ["-last_failed_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["task", "subject"], name="failed_work_once"),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.subject}"


class SignInTries(models.Model):
    """Failed sign-ins of one user name from one address, whether or not there is such a user; forgotten after a day."""

    app_privileges: ClassVar[str] = "SELECT, INSERT, UPDATE, DELETE"

    username = models.CharField(max_length=150)
    address = models.CharField(max_length=45)
    failures = models.PositiveSmallIntegerField(default=0)  # since the last success, or since a pause
    last_at = models.DateTimeField(db_index=True)
    locked_until = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "sign-in tries"
        default_permissions: ClassVar = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["username", "address"], name="sign_in_tries_once"),
        ]

    def __str__(self) -> str:
        return f"{self.username} from {self.address}"
