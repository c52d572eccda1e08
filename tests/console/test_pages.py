"""The pages that people read: what they say, how much they ask, and that stored text stays text."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from moneyed import USD, Money

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


def _queries(browser: Client, url: str) -> int:
    with CaptureQueriesContext(connection) as asked:
        assert browser.get(url).status_code == 200
    return len(asked)


def test_the_customer_page_asks_the_same_however_much_happened(desk: "Desk", as_role: AsRole) -> None:
    from ledger import crediting
    from tests.support.billing import TESTER

    browser, url = as_role("support"), f"/console/customers/{desk.acme.pk}/"
    before = _queries(browser, url)
    for number in range(10):
        crediting.grant(
            customer_key="acme", kind="goodwill", amount=Money(1, USD), reason_code="trial", actor=TESTER, at=desk.now,
            key=f"more-{number}",
        )  # fmt: skip
    assert _queries(browser, url) == before
    assert before <= 44


def test_the_customer_page_shows_other_units_and_open_holds(desk: "Desk", as_role: AsRole) -> None:
    from ledger import crediting, holding, registering
    from tests.support.billing import TESTER

    registering.register(code="voices", actor=TESTER, at=desk.now)
    crediting.grant(
        customer_key="acme", kind="included", unit="voices", amount=Decimal(500), reason_code="trial", actor=TESTER,
        at=desk.now, key="voices",
    )  # fmt: skip
    holding.reserve(
        customer_key="acme", unit="voices", amount=Decimal("12.5"), feature="choir", key="job", at=desk.now,
        expires_at=desk.now + timedelta(hours=1), actor=TESTER, usage_ref="job-7731",
    )  # fmt: skip
    page = as_role("support").get(f"/console/customers/{desk.acme.pk}/").content.decode()
    others = page[page.index("Credit in other units") : page.index("Open holds")]
    assert [cell in others for cell in ("500 voices", "12.5 voices", "487.5 voices")] == [True] * 3
    held = page[page.index("Open holds") : page.index("Usage in the current period")]
    assert [cell in held for cell in ("12.5 voices", "job-7731", "choir")] == [True] * 3


def test_the_trial_balance_names_the_unit_that_it_shows(desk: "Desk", as_role: AsRole) -> None:
    page = as_role("finance").get("/console/trial-balance/").content.decode()
    assert '<option value="USD" selected>' in page


def test_the_customer_page_keeps_balances_apart(quiet_desk: "Desk", as_role: AsRole) -> None:
    from ledger import balances

    page = as_role("support").get(f"/console/customers/{quiet_desk.declined.pk}/")
    stored = balances.of(customer_key="declined-co", unit="USD")
    assert stored.receivable == quiet_desk.open().amount_due.amount + 20
    text = page.content.decode()
    assert f"<dt>Receivable</dt><dd>${stored.receivable:.2f}" in text
    assert page.context["standing"].available == 0
    assert "Pro" in text
    assert "On file" in text


def test_available_is_credits_less_holds_and_unbilled_use() -> None:
    from decimal import Decimal

    from billing_ops.console.customer_page import Standing
    from ledger.balances import CustomerBalances

    rich = Standing(
        CustomerBalances(
            goodwill_credits=Decimal(10),
            held=Decimal(3),
        ),
        Decimal("2.5"),
    )
    poor = Standing(CustomerBalances(goodwill_credits=Decimal(1)), Decimal("2.5"))
    assert (rich.available, rich.shortfall) == (Decimal("4.5"), Decimal(0))
    assert (poor.available, poor.shortfall) == (Decimal(0), Decimal("1.5"))


def test_an_act_that_cannot_be_done_stays_and_says_why(quiet_desk: "Desk", as_role: AsRole) -> None:
    support = as_role("support").get(f"/console/customers/{quiet_desk.declined.pk}/").content.decode()
    finance = as_role("finance")
    assert "Finance collects invoices." in support
    assert (
        "The customer has no payment method."
        in finance.get(f"/console/customers/{quiet_desk.cardless.pk}/").content.decode()
    )
    paid = finance.get(f"/console/invoices/{quiet_desk.paid().pk}/").content.decode()
    assert "It is paid." in paid
    assert 'data-opens="dialog-collect"' not in paid
    assert 'data-opens="dialog-collect"' in finance.get(f"/console/invoices/{quiet_desk.open().pk}/").content.decode()


def test_the_invoice_page_shows_lines_books_attempts_and_tax(quiet_desk: "Desk", as_role: AsRole) -> None:
    invoice = quiet_desk.paid()
    text = as_role("finance").get(f"/console/invoices/{invoice.pk}/").content.decode()
    for said in (invoice.number, "Context tokens", "1,477,910", "Invoice finalised", "Succeeded", invoice.tax_note):
        assert str(said) in text, said


def test_home_says_what_fails_and_how_current_it_is(quiet_desk: "Desk", as_role: AsRole) -> None:
    page = as_role("finance").get("/console/")
    assert {trouble.title for trouble in page.context["troubles"]} == {
        "Approvals", "Declined payments", "Parked webhooks", "Failing jobs",
    }  # fmt: skip
    assert page.context["lag"].unfolded_events == 1
    assert page.context["money"]["unpaid"][0]["count"] == 5
    chart = page.context["usage_charts"][0]
    assert len(chart.labels) == 48
    assert chart.total == sum(value for _, value in chart.rows)
    assert not as_role("engineer").get("/console/").context.get("shows_money")
    assert b"no role yet" in as_role("bare").get("/console/").content


def test_an_empty_installation_tells_what_to_do(db: None) -> None:
    from django.contrib.auth.models import Group, User

    for role in ("Finance", "Engineer"):
        person = User.objects.create_user(role, is_staff=True)
        person.groups.set([Group.objects.get(name=role)])
        browser = Client()
        browser.force_login(person)
        assert b"POST /api/v1/meters" in browser.get("/console/").content
    assert b"POST /api/v1/events" in browser.get("/console/events/").content
    assert b"Make the first below" in browser.get("/console/keys/").content


def test_the_journal_filters_and_pages_without_gaps(
    quiet_desk: "Desk", as_role: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_ops.console import journal_page
    from ledger.models import Entry

    monkeypatch.setattr(journal_page, "PAGE", 3)
    browser, url, seen = as_role("finance"), "/console/journal/?customer=acme", []
    while url:
        page = browser.get(url)
        seen += [entry.id for entry in page.context["page"].items]
        url = f"/console/journal/{page.context['next_url']}" if page.context["next_url"] else ""
    assert seen == list(Entry.objects.filter(customer_key="acme").order_by("-id").values_list("id", flat=True))
    narrow = browser.get("/console/journal/?account=2010&movement=credit.granted")
    assert {entry.event_type for entry in narrow.context["page"].items} == {"credit.granted"}
    assert browser.get("/console/journal/?after=x&since=never&account=nothing").status_code == 200


def test_events_are_found_and_paged_stably(
    quiet_desk: "Desk", as_role: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_ops.console import usage_pages
    from metering.models import Event

    monkeypatch.setattr(usage_pages, "PAGE", 7)
    browser, url, seen = as_role("engineer"), "/console/events/?subject=acme", []
    while url:
        page = browser.get(url)
        seen += [row["event"].event_id for row in page.context["rows"]]
        url = f"/console/events/{page.context['next_url']}" if page.context["next_url"] else ""
    assert len(seen) == len(set(seen)) == Event.objects.filter(subject="acme").count()
    for query in ("id=req-17", "id=req-17&source=gateway", "id=req-17&subject=acme"):
        one = browser.get(f"/console/events/?{query}").context["rows"]
        assert [row["event"].event_id for row in one] == ["req-17"], query
    assert browser.get("/console/events/?id=req-17&subject=other").context["rows"] == []
    assert browser.get("/console/events/?after=forged&since=never").status_code == 200
    late = (quiet_desk.now - timedelta(days=1)).strftime("%Y-%m-%d")
    assert browser.get(f"/console/events/?since={late}&until={late}").context["rows"]
    backwards = browser.get("/console/events/?since=2025-02-10&until=2025-02-01")
    assert backwards.context["rows"] == []
    assert b"before the first day" in backwards.content


def test_an_events_story_says_what_each_meter_made_of_it(quiet_desk: "Desk", as_role: AsRole) -> None:
    browser = as_role("engineer")
    page = browser.get("/console/events/one/", {"source": "gateway", "id": "req-17"})
    assert {(one.meter_key, one.verdict) for one in page.context["story"].findings} == {
        ("context-tokens", "counted"), ("generated-tokens", "counted"),
    }  # fmt: skip
    assert browser.get("/console/events/one/", {"source": "elsewhere", "id": "req-17"}).status_code == 404


def test_what_is_not_counted_is_shown_with_its_cause(desk: "Desk", as_role: AsRole) -> None:
    from tests.support.billing import event, send

    stray = event(1, subject="acme", time=desk.now) | {"id": "stray", "type": "image.request"}
    empty = event(2, subject="acme", time=desk.now) | {"id": "empty", "data": {"generated_tokens": "many"}}
    other = event(17, subject="acme", time=desk.now, context=5)
    send([stray, empty, other], at=desk.now)
    text = as_role("engineer").get("/console/uncounted/").content.decode()
    assert "No meter listens to “image.request”." in text
    assert "which these events do not have" in text
    assert "which is not a number" in text
    assert "req-17" in text
    send([event(999, subject="nobody-at-all", time=desk.now, context=5)], at=desk.now)
    text = as_role("engineer").get("/console/uncounted/").content.decode()
    assert "There is no customer “nobody-at-all”." in text


def test_no_list_asks_once_a_row(quiet_desk: "Desk", as_role: AsRole) -> None:
    from django.contrib import admin
    from django.urls import reverse

    browsers = {name: as_role(name) for name in ("finance", "engineer")}
    for model in admin.site._registry:
        url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        able = [browser for browser in browsers.values() if browser.get(url).status_code == 200]
        assert able, url
        assert _queries(able[0], url) <= 14, url


@pytest.mark.parametrize(
    "query", ["?q=%00", "?p=0", "?p=x", "?p=99999999999", "?nonsense=1", "?status__exact=%F0", "?o=99"]
)
def test_a_list_survives_a_strange_address(quiet_desk: "Desk", as_role: AsRole, query: str) -> None:
    browser = as_role("finance")
    for url in ("/console/invoicing/invoice/", "/console/plans/customer/", "/console/ledger/account/"):
        assert browser.get(url + query).status_code in (200, 302), url


def test_a_list_does_not_answer_questions_about_other_tables(quiet_desk: "Desk", as_role: AsRole) -> None:
    """A filter across a relation that the list does not offer would let a reader guess what they may not see."""
    answer = as_role("finance").get("/console/invoicing/invoice/?customer__stripe_id__startswith=cus_")
    assert answer.status_code in (302, 400)


def test_a_customer_who_took_back_more_than_was_used_still_has_pages(desk: "Desk", as_role: AsRole) -> None:
    from tests.support.billing import event, send

    send([event(99_001, subject="acme", time=desk.now, context=-50_000_000)], at=desk.now)
    support = as_role("support")
    page = support.get(f"/console/customers/{desk.acme.pk}/")
    assert page.status_code == 200
    assert page.context["uses"][0].cost == 0
