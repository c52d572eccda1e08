"""Account, entry, grant, trial balance and export: each figure leads to where it comes from."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


def _account(code: str, customer: str = "") -> Any:
    from ledger.models import Account

    return Account.objects.filter(code=code, customer_key=customer).order_by("pk")[0]


def _read(browser: Client, url: str) -> tuple[str, Any]:
    answer = browser.get(url)
    assert answer.status_code == 200
    return answer.content.decode(), answer.context


def test_an_account_ends_at_its_stored_balance_and_leads_to_its_entries(quiet_desk: "Desk", as_role: AsRole) -> None:
    from ledger.models import Entry

    account = _account("1100", "acme")
    text, context = _read(as_role("finance"), f"/console/accounts/{account.pk}/")
    statement = context["statement"]
    assert statement.closing == account.balance.net == statement.lines[-1].balance
    for line in statement.lines:
        assert f"/console/entries/{line.entry_id}/" in text
        assert Entry.objects.filter(public_id=line.entry_id, line__account=account).exists()
    assert f"/console/customers/{quiet_desk.acme.pk}/" in text


def test_an_account_is_read_as_of_days_and_by_page(
    quiet_desk: "Desk", as_role: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_ops.console import account_page

    browser, url = as_role("finance"), f"/console/accounts/{_account('1110', 'acme').pk}/"
    _, whole = _read(browser, url)
    lines = whole["statement"].lines
    cut = lines[len(lines) // 2].position.day
    _, later = _read(browser, f"{url}?since={cut}")
    assert later["statement"].opening == [line for line in lines if line.position.day < cut][-1].balance
    assert list(later["statement"].lines) == [line for line in lines if line.position.day >= cut]
    text, unknown = _read(browser, f"{url}?known=2020-01-01")
    assert unknown["statement"].lines == ()
    assert "No line in these days." in text
    for wrong in ("since=2025-02-31", f"since={cut}&until=2020-01-01", "after=x", "after=2025-99-99.1.1"):
        assert browser.get(f"{url}?{wrong}").status_code == 200
    monkeypatch.setattr(account_page, "PAGE", 2)
    seen: list[Any] = []
    following = "?"
    while following:
        _, page = _read(browser, f"{url}{following}")
        seen += page["statement"].lines
        following = page["next_url"]
    assert seen == list(lines)


def test_a_shared_account_is_added_up(quiet_desk: "Desk", as_role: AsRole) -> None:
    from ledger import balances

    account = _account("4000")
    text, context = _read(as_role("finance"), f"/console/accounts/{account.pk}/")
    assert context["total"] == balances.account_total(code="4000", unit="USD") == context["statement"].closing
    assert "added up" in text


def test_a_customers_statement_ends_at_what_they_owe(quiet_desk: "Desk", as_role: AsRole) -> None:
    from ledger import statements

    customer = quiet_desk.declined
    for scope in ("due", "credits", "all"):
        text, context = _read(as_role("support"), f"/console/customers/{customer.pk}/statement/?scope={scope}")
        stored = statements.stored_balance(customer_key=customer.key, unit="USD", scope=scope)
        assert context["statement"].closing == stored
        assert "/console/entries/" not in text, "support may not read the journal"


def _drawing_entry() -> Any:
    from ledger.models import Entry

    return Entry.objects.filter(creditdraw__isnull=False).order_by("pk")[0]


def test_an_entry_leads_to_its_accounts_and_down_to_what_credit_paid_for(quiet_desk: "Desk", as_role: AsRole) -> None:
    from ledger.models import CreditDraw, Line

    entry = _drawing_entry()
    text, _ = _read(as_role("finance"), f"/console/entries/{entry.public_id}/")
    for line in Line.objects.filter(entry=entry):
        assert f"/console/accounts/{line.account_id}/" in text
    for draw in CreditDraw.objects.filter(entry=entry, creditdrawallocation__isnull=False):
        assert f"/console/lines/{draw.ref}/explain/" in text, "and from there down to the events"
        for allocation in draw.creditdrawallocation_set.all():
            assert f"/console/grants/{allocation.grant_id}/" in text
    assert f"/console/customers/{quiet_desk.acme.pk}/" in text or entry.customer_key != "acme"
    assert "/console/invoices/" in text
    missing = as_role("finance").get("/console/entries/00000000-0000-0000-0000-000000000000/")
    assert missing.status_code == 404


def test_a_reversal_and_what_it_undoes_lead_to_each_other(desk: "Desk", as_role: AsRole) -> None:
    from ledger import posting
    from ledger.models import Entry
    from tests.support.billing import TESTER

    entry = Entry.objects.filter(event_type="payment.succeeded").order_by("pk")[0]
    undo = posting.reverse(entry=entry, key="undo", at=desk.now, actor=TESTER, reason_code="wrong")
    browser = as_role("finance")
    text, _ = _read(browser, f"/console/entries/{entry.public_id}/")
    assert f"/console/entries/{undo.public_id}/" in text
    text, _ = _read(browser, f"/console/entries/{undo.public_id}/")
    assert f"/console/entries/{entry.public_id}/" in text


def test_a_grants_parts_add_up_and_its_history_says_what_it_paid_for(quiet_desk: "Desk", as_role: AsRole) -> None:
    from ledger.models import CreditGrant

    grant = CreditGrant.objects.filter(creditdrawallocation__isnull=False).order_by("pk")[0]
    text, context = _read(as_role("finance"), f"/console/grants/{grant.pk}/")
    assert sum(part.amount for part in context["parts"]) == grant.amount
    steps = context["history"].steps
    assert steps[-1].remaining == context["standing"].remaining
    assert sum(step.amount for step in steps) == context["standing"].remaining
    assert all(f"/console/lines/{draw.ref}/explain/" in text for step in steps for draw in step.draws)
    assert f"/console/entries/{steps[0].entry_id}/" in text
    text, _ = _read(as_role("support"), f"/console/grants/{grant.pk}/")
    assert "/console/entries/" not in text


def test_the_trial_balance_balances_beside_its_control_totals(quiet_desk: "Desk", as_role: AsRole) -> None:
    from ledger import balances

    browser = as_role("finance")
    text, context = _read(browser, "/console/trial-balance/")
    assert [line.net for line in context["lines"]] == [line.net for line in balances.trial_balance(unit="USD")]
    assert context["debits"] == context["credits"] > 0
    assert "Balanced" in text
    assert {one.difference for one in context["controls"]} == {Decimal(0)}
    assert {"1100", "1110", "9010"} <= {one.code for one in context["controls"]}
    _, then = _read(browser, f"/console/trial-balance/?until={(quiet_desk.now - timedelta(days=20)).date()}")
    assert then["lines"] != context["lines"]
    assert sum(line.net for line in then["lines"]) == 0
    text, none = _read(browser, "/console/trial-balance/?until=2001-01-01")
    assert none["lines"] == []
    assert "Nothing counted yet" in text
    assert browser.get("/console/trial-balance/?until=x&unit=y").status_code == 200
    link = "/console/ledger/account/?code__code__exact=1100&unit__code__exact=USD"
    assert link.replace("&", "&amp;") in _read(browser, "/console/trial-balance/")[0]
    accounts, _ = _read(browser, link)
    assert "acme" in accounts
    assert "1110 Unbilled usage</" not in accounts.partition("<tbody")[2].partition("</table")[0]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_the_ledger_is_exported_with_its_totals_and_a_trace(desk: "Desk", as_role: AsRole, form: str) -> None:
    from billing_ops.models import AuditEntry
    from ledger.models import Line

    asked = {"since": "2025-01-01", "until": "2025-12-31", "form": form}
    answer = as_role("finance").post("/console/trial-balance/export/", asked)
    assert answer.status_code == 200
    assert "general-ledger_2025-01-01_2025-12-31.zip" in answer["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:  # type: ignore[attr-defined]
        totals = json.loads(archive.read("control-totals.json"))
        content = archive.read(f"general-ledger.{form}")
    assert totals["rows"] == sum(one["rows"] for one in totals["controls"]) == Line.objects.count()
    if form == "csv":
        assert len(list(csv.DictReader(io.StringIO(content.decode())))) == totals["rows"]
    trail = AuditEntry.objects.get(action="ledger.exported")
    assert (trail.actor_id, trail.changes["sha256"][1]) == ("finance", totals["sha256"])


def test_an_export_that_cannot_be_is_told_in_words(
    desk: "Desk", as_role: AsRole, monkeypatch: pytest.MonkeyPatch
) -> None:
    from billing_ops.console import trial_balance_page
    from billing_ops.models import AuditEntry
    from ledger import exporting

    browser, url = as_role("finance"), "/console/trial-balance/export/"
    good = {"since": "2025-01-01", "until": "2025-12-31", "form": "csv"}

    def told(**asked: str) -> str:
        return browser.post(url, {**good, **asked}, follow=True).content.decode()

    assert "This day is before the first one." in told(until="2024-12-31")
    assert "Nothing was exported" in told(form="xlsx")

    def differs(*args: Any) -> None:
        raise exporting.ExportDiffers("The rows do not add up to the trial balance: USD 4000.")

    with monkeypatch.context() as patch:
        patch.setattr(exporting, "_compare", differs)
        assert "do not add up to the trial balance: USD 4000" in told()
    monkeypatch.setattr(trial_balance_page, "MOST_ROWS", 3)
    assert "more than a browser should wait for" in told()
    assert not AuditEntry.objects.filter(action="ledger.exported").exists()


def test_search_finds_entries_and_grants_by_id(quiet_desk: "Desk") -> None:
    from ledger.models import CreditGrant
    from tests.console.test_search import _find

    entry, grant = _drawing_entry(), CreditGrant.objects.order_by("pk")[0]
    assert (("Entry", "Invoice finalised", True)) in _find(str(entry.public_id))
    assert ("Credit", f"{grant.kind.capitalize()} credit", True) in _find(str(grant.public_id).upper())
    assert ("Credit", f"{grant.kind.capitalize()} credit", True) in _find(str(grant.public_id), "support")
    assert not [hit for hit in _find(str(entry.public_id), "support") if hit[0] == "Entry"]


def test_pages_ask_the_same_however_much_happened(desk: "Desk", as_role: AsRole) -> None:
    from moneyed import USD, Money

    from ledger import crediting
    from ledger.models import CreditGrant
    from tests.support.billing import TESTER

    browser = as_role("finance")
    grant = CreditGrant.objects.filter(creditdrawallocation__isnull=False).order_by("pk")[0]
    urls = [
        f"/console/accounts/{_account('1110', 'acme').pk}/",
        f"/console/entries/{_drawing_entry().public_id}/",
        f"/console/grants/{grant.pk}/",
        "/console/trial-balance/",
        f"/console/customers/{desk.acme.pk}/statement/?scope=all",
    ]

    def counts() -> list[int]:
        found = []
        for url in urls:
            with CaptureQueriesContext(connection) as asked:
                assert browser.get(url).status_code == 200
            found.append(len(asked))
        return found

    before = counts()
    for number in range(6):
        crediting.grant(
            customer_key="acme", kind="goodwill", amount=Money(1, USD), reason_code="trial", actor=TESTER, at=desk.now,
            key=f"more-{number}",
        )  # fmt: skip
    assert counts() == before
    assert max(before) <= 24
