"""Finance opens an invoice and follows a line to its events; engineers replay; dialogs behave."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import Page, expect

if TYPE_CHECKING:
    from tests.console.desk import Desk

OpenPage = Callable[..., Page]


def test_from_the_invoice_to_the_raw_events_in_three_clicks(quiet_desk: "Desk", open_page: OpenPage) -> None:
    page = open_page("finance")
    page.goto(f"/console/invoices/{quiet_desk.paid().pk}/")
    page.get_by_role("link", name="Explain the amount of Context tokens").click()
    expect(page.locator("#comparison")).to_contain_text("equal to the invoice to the cent")
    expect(page.get_by_role("row", name="Tier 2")).to_contain_text("0.0000024")
    page.get_by_role("link", name="Events of 2025-01-06T07").click()
    expect(page.locator("#events-sum")).to_contain_text("21,113 tokens")
    expect(page.get_by_role("row", name="req-17")).to_contain_text("21,113")


def test_the_invoice_is_found_by_its_number_and_printed(quiet_desk: "Desk", open_page: OpenPage) -> None:
    page = open_page("finance")
    page.goto("/console/")
    page.get_by_role("searchbox").fill(quiet_desk.paid().number or "")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Print").click()
    expect(page.get_by_role("heading", name=f"Invoice {quiet_desk.paid().number}")).to_be_visible()


def test_collecting_asks_first_and_keeps_the_focus_in_its_dialog(desk: "Desk", open_page: OpenPage) -> None:
    invoice = desk.open()
    before = invoice.attempts.count()
    page = open_page("finance")
    page.goto(f"/console/invoices/{invoice.pk}/")
    opener = page.get_by_role("button", name="Collect now")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Collect now?")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    assert invoice.attempts.count() == before

    opener.click()
    dialog.get_by_role("button", name="Collect now").dblclick()
    expect(page.get_by_text("Attempt 2 was declined")).to_be_visible()
    assert invoice.attempts.count() == before + 1


def test_the_themes_dialog_has_a_role_a_focus_trap_and_sends_once(desk: "Desk", open_page: OpenPage) -> None:
    from billing_ops.models import AuditEntry
    from invoicing.models import StripeEvent

    parked = StripeEvent.objects.get(event_id="evt_parked1")
    page = open_page("engineer")
    page.goto(f"/console/invoicing/stripeevent/{parked.pk}/change/")
    opener = page.get_by_role("button", name="Replay")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Replay")
    expect(dialog).to_be_visible()
    inside = "() => document.getElementById('modal-content').contains(document.activeElement)"
    page.wait_for_function(inside)
    for key in ["Tab"] * 7 + ["Shift+Tab"] * 7:
        page.keyboard.press(key)
        assert page.evaluate(inside), key
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    parked.refresh_from_db()
    assert parked.parked_at is not None

    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    opener.click()
    dialog.get_by_role("button", name="Replay the event").dblclick()
    expect(page.get_by_text("is due again")).to_be_visible()
    assert len(sent) == 1
    assert AuditEntry.objects.filter(action="webhook.replayed").count() == 1
