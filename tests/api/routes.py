"""A small API of the tests' own, built from the same parts as the product's: an effect is one audit entry."""

from collections.abc import Callable
from typing import Any

from django.db import OperationalError
from django.urls import path
from ninja import Query
from pydantic import Field

from billing_ops.kit import audit, clock
from billing_ops.kit.errors import Conflict
from billing_ops.kit.http import (
    AmountOut,
    AmountText,
    ApiRequest,
    ApiRouter,
    Body,
    CurrencyCode,
    DecimalText,
    Instant,
    InstantOut,
    Key,
    Out,
    Page,
    PageQuery,
    idempotency,
    paginate,
)
from billing_ops.kit.http.root import ApiRoot
from billing_ops.kit.money import parse_money
from billing_ops.models import AuditEntry

router = ApiRouter(tags=["Notes"])
refusing: set[str] = set()  # notes that are refused for now
meanwhile: list[Callable[[], None]] = []  # what happens while a note is being sent


class NoteRefused(Conflict):
    """The note cannot be taken in the present state."""

    code = "note.refused"
    remedy = "Wait."


class NoteIn(Body):
    subject: Key
    amount: AmountText = "1"
    currency: CurrencyCode = "USD"
    rate: DecimalText | None = None
    due: Instant | None = None
    tags: list[str] = Field(default_factory=list)
    extra: dict[str, Any] = Field(default_factory=dict)


class NoteOut(Out):
    id: int
    subject: str
    amount: AmountOut
    rate: AmountOut | None
    due: InstantOut | None
    request_id: str
    operation_key: str


class NotesQuery(PageQuery):
    customer: str | None = None


@router.make("/notes", scope="credits:write", answer=NoteOut)
def take_note(request: ApiRequest, body: NoteIn) -> NoteOut:
    """Take a note."""
    note = _write(request, body.subject)
    if body.subject in refusing:
        raise NoteRefused(f"{body.subject} is refused just now.", subject=body.subject)
    return NoteOut.model_validate(
        {
            "id": note.pk,
            "subject": body.subject,
            "amount": parse_money(body.amount, body.currency),
            "rate": body.rate,
            "due": body.due,
            "request_id": note.request_id,
            "operation_key": idempotency.operation_key(request),
        }
    )


@router.make("/notes/{note_id}/send", scope="credits:write", answer=NoteOut, status=200, transaction=False)
def send_note(request: ApiRequest, note_id: int) -> dict[str, Any]:
    """An operation of several transactions."""
    for act in meanwhile:
        act()
    key = idempotency.operation_key(request)
    made = NoteOut(id=note_id, subject="s", amount="1", rate=None, due=None, request_id="", operation_key=key)
    return made.model_dump()


@router.read("/notes", scope="balances:read", answer=Page[str])
def list_notes(request: ApiRequest, query: Query[NotesQuery]) -> Page[str]:
    rows = AuditEntry.objects.filter(action="note")
    if query.customer:
        rows = rows.filter(customer_key=query.customer)
    found = paginate(rows, page=query, order=["-at", "-id"], listing="notes")
    return Page(items=[row.subject_key for row in found.items], next_cursor=found.next_cursor)


@router.read("/breaks/{how}", scope="balances:read", answer=NoteOut)
def break_down(request: ApiRequest, how: str) -> NoteOut:
    """Fail in the way that is asked for."""
    if how == "database":
        raise OperationalError("connection refused: secret-host")
    raise RuntimeError("secret detail")


def _write(request: ApiRequest, subject: str) -> AuditEntry:
    return audit.record(
        at=clock.now(),
        actor=request.auth.actor,
        action="note",
        subject_type="note",
        subject_key=subject,
        customer_key=subject.partition(".")[0],
        summary=subject,
    )


api = ApiRoot(title="Notes", version="1", urls_namespace="notes")
api.add_router("", router)
urlpatterns = [path("api/test/", api.urls)]
