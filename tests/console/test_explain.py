"""An amount explained: from the line to the raw events, the same to the cent, and honest when it no longer is."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


def test_every_line_of_every_invoice_comes_to_its_amount(quiet_desk: "Desk", as_role: AsRole) -> None:
    from invoicing.models import InvoiceLine

    browser = as_role("finance")
    for line in InvoiceLine.objects.filter(item__isnull=False):
        explained: Any = browser.get(f"/console/lines/{line.pk}/explain/").context["explained"]
        assert explained.difference == 0, line
        assert explained.amount == line.amount.amount
        assert explained.cumulative == sum(step.amount for step in explained.steps)
        assert sum((day.quantity for day in explained.days), Decimal(0)) == (
            explained.quantity if line.kind == "usage" else 0
        )


def test_a_line_of_no_subscription_tells_how_it_came_about_on_its_invoice(quiet_desk: "Desk", as_role: AsRole) -> None:
    from invoicing.models import InvoiceLine

    line = InvoiceLine.objects.get(kind="topup")
    browser = as_role("finance")
    assert browser.get(f"/console/lines/{line.pk}/explain/").status_code == 404
    page = browser.get(f"/console/invoices/{line.invoice_id}/").content.decode()
    assert line.description in page
    assert f"/console/lines/{line.pk}/" not in page


def test_hours_and_events_add_up_to_the_billed_quantity(
    quiet_desk: "Desk", as_role: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_ops.console import explain_page

    monkeypatch.setattr(explain_page, "PAGE", 2)  # a day of three events has two pages
    browser, line = as_role("finance"), quiet_desk.usage_line()
    explained = browser.get(f"/console/lines/{line.pk}/explain/").context["explained"]
    total = Decimal(0)
    for day in explained.days:
        url = f"/console/lines/{line.pk}/explain/events/?from={day.date}T00&span=day"
        counted = Decimal(0)
        while url:
            page = browser.get(url)
            counted += sum(row["event"].value for row in page.context["events"])
            url = (
                f"/console/lines/{line.pk}/explain/events/{page.context['next_url']}"
                if page.context["next_url"]
                else ""
            )
        assert counted == day.quantity == page.context["reading"].quantity
        total += counted
    assert total == line.quantity


def test_usage_that_came_after_the_bill_is_told_apart(desk: "Desk", as_role: AsRole) -> None:
    from tests.support.billing import START, event, send

    line = desk.usage_line()
    late = START + timedelta(days=20, hours=5)
    send([event(77_777, subject="acme", time=late, context=1_000_000)], at=desk.now)
    browser = as_role("finance")
    page = browser.get(f"/console/lines/{line.pk}/explain/")
    explained = page.context["explained"]
    assert explained.quantity_difference == 1_000_000
    assert explained.difference == Decimal("2.40")
    assert b"The difference is billed on a later invoice" in page.content
    events = browser.get(f"/console/lines/{line.pk}/explain/events/?from={late:%Y-%m-%dT%H}&span=hour")
    assert [(row["event"].event_id, row["late"]) for row in events.context["events"] if row["late"]] == [
        ("req-77777", True)
    ]
    assert b"After billing" in events.content


@pytest.mark.parametrize(
    "query",
    ["", "?from=2025-01-06", "?from=x&span=hour", "?from=2024-01-06T00&span=hour", "?from=2025-01-06T00&span=year"],
)
def test_a_time_outside_the_line_is_not_found(quiet_desk: "Desk", as_role: AsRole, query: str) -> None:
    response = as_role("finance").get(f"/console/lines/{quiet_desk.usage_line().pk}/explain/events/{query}")
    assert response.status_code == 404


def test_three_clicks_from_the_invoice_to_the_events(quiet_desk: "Desk", as_role: AsRole) -> None:
    from tests.console.test_crawl import links_of

    browser, invoice = as_role("finance"), f"/console/invoices/{quiet_desk.paid().pk}/"
    explain = f"/console/lines/{quiet_desk.usage_line().pk}/explain/"
    assert explain in links_of(browser.get(invoice).content.decode(), invoice)
    hours = [link for link in links_of(browser.get(explain).content.decode(), explain) if "span=hour" in link]
    assert hours
    assert browser.get(hours[0]).context["events"]
