"""The floor's own rows: who may call, what was answered, who did what. They name their subject and import no app."""

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
