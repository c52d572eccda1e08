"""Usage that is drawn from credits, on the pages: each figure leads to the draws, and a draw to its usage."""

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from django.test import Client

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


def test_the_period_shows_what_was_rated_drawn_and_owed_and_each_step(quiet_desk: "Desk", as_role: AsRole) -> None:
    from invoicing.models import Drawdown

    row = Drawdown.objects.get()
    page = as_role("finance").get(f"/console/drawdowns/{row.pk}/")
    drawn = page.context["drawn"]
    assert (drawn.drawn, drawn.owed, row.rated) == (Decimal(1), Decimal("0.05015"), Decimal("1.05015"))
    assert [step.step for step in page.context["steps"]] == [3, 2, 1]
    assert sum(step.amount for step in page.context["steps"]) == row.rated
    assert sum(step.amount for step in page.context["rated"].steps) == row.rated
    text = page.content.decode()
    assert "Given back 3" in text
    assert "<script>alert(1)" not in text


def test_steps_come_in_pages(quiet_desk: "Desk", as_role: AsRole, monkeypatch: pytest.MonkeyPatch) -> None:
    from billing_ops.console import drawdown_page
    from invoicing.models import Drawdown

    monkeypatch.setattr(drawdown_page, "PAGE", 2)
    url = f"/console/drawdowns/{Drawdown.objects.get().pk}/"
    first = as_role("support").get(url)
    assert [step.step for step in first.context["steps"]] == [3, 2]
    second = as_role("support").get(url + first.context["next_url"])
    assert [step.step for step in second.context["steps"]] == [1]
    assert second.context["next_url"] == ""


def test_customer_grant_and_entry_lead_there(quiet_desk: "Desk", as_role: AsRole) -> None:
    from invoicing.models import Drawdown, UsageDraw
    from ledger.models import CreditGrant
    from plans.models import Customer

    browser, row = as_role("finance"), Drawdown.objects.get()
    link = f"/console/drawdowns/{row.pk}/"
    customer = Customer.objects.get(key="prepaid-co")
    page = browser.get(f"/console/customers/{customer.pk}/").content.decode()
    assert link in page
    assert "1.00 USD drawn from credits, 0.05015 USD owed beyond them" in page
    grant = CreditGrant.objects.get(customer_key="prepaid-co")
    assert link in browser.get(f"/console/grants/{grant.pk}/").content.decode()
    step = UsageDraw.objects.get(step=1)
    assert link in browser.get(f"/console/entries/{step.entry.public_id}/").content.decode()


def test_the_overage_line_leads_there_and_the_api_tells_it(quiet_desk: "Desk", as_role: AsRole) -> None:
    from datetime import timedelta

    from invoicing import drafting
    from invoicing.models import Drawdown
    from tests.support.billing import TESTER

    row = Drawdown.objects.get()
    at = row.service_end + timedelta(hours=1)
    (invoice,) = drafting.draft(customer_id=row.item.customer_id, edge=row.service_end, at=at, actor=TESTER)
    page = as_role("finance").get(f"/console/invoices/{invoice.pk}/").content.decode()
    assert f"/console/drawdowns/{row.pk}/" in page
    assert "7,001 tokens rated 1.05015 USD, 1 drawn from credits, 0.05015 owed" in page
