"""Errors for people, with stable codes for programs.

A concrete error stands beside the function that raises it::

    class InvoiceNotDraft(BillingError):
        code = "invoice.not_draft"
        http_status = 409

Edges render it: the API as ``application/problem+json``, the console as a message.
"""

from typing import Any, ClassVar


class BillingError(Exception):
    """A refusal that a person can act on.

    ``message`` says what happened, ``kept`` what was kept (or that nothing was changed) and ``remedy`` what to do next.
    ``details`` are machine-readable facts, JSON-serialisable.
    """

    code: ClassVar[str] = "billing.error"
    http_status: ClassVar[int] = 422
    kept: str = "Nothing was changed."
    remedy: str = ""

    def __init__(self, message: str, *, kept: str | None = None, remedy: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.kept = self.kept if kept is None else kept
        self.remedy = self.remedy if remedy is None else remedy
        self.details = details

    def __str__(self) -> str:
        return " ".join(part for part in (self.message, self.kept, self.remedy) if part)


class InvalidInput(BillingError):
    """A value that cannot be understood; ``details["field"]`` names it."""

    code = "input.invalid"
    http_status = 422


class NotFound(BillingError):
    """The thing that was named does not exist."""

    code = "not_found"
    http_status = 404


class Conflict(BillingError):
    """The request contradicts what is already recorded."""

    code = "conflict"
    http_status = 409


class IdempotencyMismatch(Conflict):
    """The same idempotency key came with another content; ``details["differs"]`` names the fields."""

    code = "idempotency.mismatch"
    remedy = "Send the original content to get the original answer, or use a new key for a new request."
