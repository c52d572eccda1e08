"""The page of periods: what finance sees and does there, and what it is told."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from billing_ops.models import Approval, AuditEntry
from ledger import sealing
from ledger.models import Period, PeriodChange

if TYPE_CHECKING:
    from tests.console.desk import Desk

PAGE = "/console/periods/"


def january() -> Period:
    return Period.objects.get(starts_on="2025-01-01")


def send(browser: Client, act: str, period: Period, **data: str) -> str:
    """Press the button; the page that follows."""
    return browser.post(f"{PAGE}{period.pk}/{act}/", data, follow=True).content.decode()


def test_finance_soft_closes_and_closes_and_says_why(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    browser = as_role("finance")
    page = browser.get(PAGE).content.decode()
    assert "Soft-close January 2025" in page
    assert "/console/trial-balance/?until=2025-01-31" in page
    assert "soft-closed" in send(browser, "soft-close", january(), note="two invoices are late")
    assert january().status == "soft_closed"
    assert "are closed" in send(browser, "close", january())
    page = send(browser, "close", january())  # a second click
    assert "two invoices are late" in page
    rows = PeriodChange.objects.order_by("pk")
    assert [(row.to_status, row.actor_id) for row in rows] == [("soft_closed", "finance"), ("closed", "finance")]
    assert AuditEntry.objects.filter(subject_type="period", actor_id="finance").count() == 2


def test_what_cannot_be_closed_says_why(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    browser = as_role("finance")
    february = Period.objects.get(starts_on="2025-02-01")
    assert "It runs: it can be closed from 2025-03-01 on." in browser.get(PAGE).content.decode()
    assert "is not over" in send(browser, "close", february)
    assert not PeriodChange.objects.exists()


def test_reopening_is_asked_for_and_somebody_else_decides(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    browser = as_role("finance")
    assert "is open" in send(browser, "reopen", january(), reason="wrong_invoice")
    send(browser, "close", january())
    assert "Say why" in send(browser, "reopen", january(), reason="because")
    for _ in range(2):
        page = send(browser, "reopen", january(), reason="wrong_invoice", note="INV-7 was for another customer")
    request = Approval.objects.get(kind="period.reopen")
    assert (request.kind, request.status, request.requested_by_id) == ("period.reopen", "pending", "finance")
    assert "Reopen the books from 2025-01-01" in page
    assert "Reopening was asked for" in browser.get(PAGE).content.decode()
    assert january().status == "closed"


def test_the_page_asks_a_constant_number_of_questions(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    browser = as_role("finance")
    send(browser, "soft-close", january())
    with CaptureQueriesContext(connection) as few:
        browser.get(PAGE)
    for year in range(2026, 2029):
        for month in range(1, 13):
            Period.objects.create(
                book=january().book, starts_on=f"{year}-{month:02}-01",
                ends_before=f"{year + month // 12}-{month % 12 + 1:02}-01",
            )  # fmt: skip
    send(browser, "close", january())
    with CaptureQueriesContext(connection) as many:
        browser.get(PAGE)
    assert len(many) == len(few) < 25


def test_the_seals_are_told(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    browser = as_role("finance")
    assert "Nothing is sealed yet" in browser.get(PAGE).content.decode()
    sealing.seal(at=desk.now)
    call_command("verify_ledger", verbosity=0)
    page = browser.get(PAGE).content.decode()
    head = sealing.head()
    assert head is not None
    assert head.hash in page
    assert "The ledger verified: it holds" in page
