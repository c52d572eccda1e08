"""Issuing a credit: what is typed is checked by name, what is previewed is what is written, and once is once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]

GOOD = {
    "amount": "12.50", "currency": "USD", "kind": "goodwill", "last_day": "2025-12-31",
    "reason_code": "service_disruption", "ticket": "SUP-77", "note": "Ten hours without answers.",
}  # fmt: skip


def _url(desk: "Desk") -> str:
    return f"/console/customers/{desk.acme.pk}/credit/"


def _form(browser: Client, desk: "Desk") -> str:
    """Open the form as a link does; the number it got."""
    opened = browser.get(_url(desk))
    assert opened.status_code == 302
    return opened.headers["Location"].partition("form=")[2]


def _preview(browser: Client, desk: "Desk", **changes: str) -> Any:
    form = changes.pop("form", None) or _form(browser, desk)
    return browser.post(_url(desk), {**GOOD, "step": "preview", "form": form, **changes})


def _issue(browser: Client, desk: "Desk", previewed: Any, **changes: str) -> Any:
    context = previewed.context
    sent = {**GOOD, "step": "issue", "form": str(context["number"])}
    return browser.post(_url(desk), {**sent, "version": str(context["preview"].before.version), **changes})


def _grants(desk: "Desk") -> list[Any]:
    from ledger.models import CreditGrant

    return list(CreditGrant.objects.filter(customer_key="acme", requested_by_type="user").order_by("pk"))


@pytest.mark.parametrize("kind", ["goodwill", "promotional"])
def test_the_preview_is_what_is_written(desk: "Desk", as_role: AsRole, kind: str) -> None:
    from ledger import balances, journal

    browser = as_role("support")
    previewed = _preview(browser, desk, kind=kind)
    assert previewed.status_code == 200
    assert _grants(desk) == []
    shown = previewed.context["preview"]

    issued = _issue(browser, desk, previewed, kind=kind)
    assert issued.status_code == 302
    (grant,) = _grants(desk)
    (entry,) = journal.entries_for(grant=grant).items
    said = [(line.side, line.code, line.amount, line.unit, line.customer_key) for line in shown.lines]
    written = [(line.side, line.code, line.amount, line.unit, line.customer_key) for line in entry.lines]
    assert said == written
    after = balances.of(customer_key="acme", unit="USD")
    for name in ("goodwill_credits", "promotional_credits", "paid_credits", "credits_total", "receivable"):
        assert getattr(shown.after, name) == getattr(after, name), name
    assert after.credits_total - shown.before.credits_total == Decimal("12.50")
    assert (grant.kind, grant.amount, grant.ticket, grant.reason_code) == (
        kind, Decimal("12.50"), "SUP-77", "service_disruption",
    )  # fmt: skip
    assert grant.expires_at.isoformat() == "2026-01-01T00:00:00+00:00"
    assert (grant.requested_by_id, entry.actor_id, entry.reason_note) == ("support", "support", GOOD["note"])


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ("", "missing"),
        ("1e3", "not a plain decimal number"),
        ("NaN", "not a plain decimal number"),
        ("Infinity", "not a plain decimal number"),
        ("٣", "not a plain decimal number"),
        ("1,000", "not a plain decimal number"),
        ("1,50", "not a plain decimal number"),
        ("12.505", "more than 2 decimals"),
        ("-5.00", "negative"),
        ("0", "zero"),
        ("0.00", "zero"),
        ("$5", "not a plain decimal number"),
        ("+5", "not a plain decimal number"),
        ("99999999999999.00", "larger than this system keeps"),
    ],
)
def test_an_amount_that_cannot_be_meant_is_refused_by_name(
    quiet_desk: "Desk", as_role: AsRole, amount: str, words: str
) -> None:
    response = _preview(as_role("support"), quiet_desk, amount=amount)
    assert response.status_code == 422
    assert words in " ".join(response.context["form"].errors["amount"])
    assert _grants(quiet_desk) == []


def test_every_cent_is_read_as_it_is_written(quiet_desk: "Desk") -> None:
    from billing_ops.console.credit_form import CreditForm

    for cents in range(1, 100_001, 37):
        form = CreditForm({**GOOD, "amount": f"{cents // 100}.{cents % 100:02d}"}, currency="USD", at=quiet_desk.now)
        assert form.is_valid(), form.errors
        assert form.money is not None
        assert form.money.amount * 100 == cents


@pytest.mark.parametrize("name", ["kind", "reason_code", "ticket", "note"])
def test_who_gives_credit_says_why(quiet_desk: "Desk", as_role: AsRole, name: str) -> None:
    response = _preview(as_role("support"), quiet_desk, **{name: ""})
    assert response.status_code == 422
    assert list(response.context["form"].errors) == [name]
    assert _grants(quiet_desk) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("currency", "EUR", "billed in USD"),
        ("kind", "paid", "not one of the available choices"),
        ("kind", "included", "not one of the available choices"),
        ("reason_code", "because", "not one of the available choices"),
        ("last_day", "2025-02-09", "That day is over"),
        ("last_day", "tomorrow", "valid date"),
        ("ticket", "x" * 65, "at most 64"),
        ("note", "x" * 501, "at most 500"),
        ("note", "a\x00b", "Null characters"),
    ],
)
def test_other_mistakes_are_named_too(quiet_desk: "Desk", as_role: AsRole, name: str, value: str, words: str) -> None:
    response = _preview(as_role("support"), quiet_desk, **{name: value})
    assert response.status_code == 422
    assert words in " ".join(response.context["form"].errors[name])
    assert _grants(quiet_desk) == []


def test_the_last_day_still_counts(quiet_desk: "Desk", as_role: AsRole) -> None:
    assert _preview(as_role("support"), quiet_desk, last_day=quiet_desk.now.strftime("%Y-%m-%d")).status_code == 200


def test_sent_twice_is_issued_once(desk: "Desk", as_role: AsRole) -> None:
    browser = as_role("support")
    previewed = _preview(browser, desk)
    assert [_issue(browser, desk, previewed).status_code for _ in range(3)] == [302, 302, 302]
    assert len(_grants(desk)) == 1
    assert b"was issued already" in browser.get(f"/console/customers/{desk.acme.pk}/").content


def test_two_tabs_opened_apart_are_one_form(desk: "Desk", as_role: AsRole) -> None:
    browser = as_role("support")
    one, two = _preview(browser, desk), _preview(browser, desk)
    assert one.context["number"] == two.context["number"]
    _issue(browser, desk, one)
    _issue(browser, desk, two)
    assert len(_grants(desk)) == 1


def test_a_used_form_with_other_content_is_refused(desk: "Desk", as_role: AsRole) -> None:
    browser = as_role("support")
    previewed = _preview(browser, desk)
    _issue(browser, desk, previewed)
    response = _issue(browser, desk, previewed, amount="50.00")
    assert response.status_code == 409
    said = response.content.decode()
    assert "A credit of 12.50 USD was sent with this form before" in said
    assert "key" not in said.partition("<main")[2].partition("was sent")[2].partition("</p>")[0]
    assert response.context["form"]["amount"].value() == "50.00"  # what was typed stays, as another credit
    assert len(_grants(desk)) == 1
    issued = _issue(browser, desk, _preview(browser, desk, amount="50.00", form=str(response.context["number"])),
                    amount="50.00")  # fmt: skip
    assert issued.status_code == 302
    assert len(_grants(desk)) == 2


def test_going_back_to_a_used_form_says_so(desk: "Desk", as_role: AsRole) -> None:
    browser = as_role("support")
    previewed = _preview(browser, desk)
    _issue(browser, desk, previewed)
    again = browser.get(f"{_url(desk)}?form={previewed.context['number']}")
    assert b"Sending it again issues nothing" in again.content
    assert b'name="amount"' not in again.content
    fresh = _preview(browser, desk)
    assert fresh.context["number"] == previewed.context["number"] + 1
    _issue(browser, desk, fresh)
    assert len(_grants(desk)) == 2


def test_balances_that_moved_since_the_preview_are_shown_again(desk: "Desk", as_role: AsRole) -> None:
    support, finance = as_role("support"), as_role("finance")
    previewed = _preview(support, desk)
    _issue(finance, desk, _preview(finance, desk))

    response = _issue(support, desk, previewed)
    assert response.status_code == 409
    assert b"changed since the preview" in response.content
    assert [grant.requested_by_id for grant in _grants(desk)] == ["finance"]
    assert _issue(support, desk, response).status_code == 302
    assert [grant.requested_by_id for grant in _grants(desk)] == ["finance", "support"]


def test_at_the_same_moment_it_is_still_once(desk: "Desk", as_role: AsRole) -> None:
    from django.db import connections

    browser = as_role("support")
    previewed = _preview(browser, desk)
    context = previewed.context
    sent = {**GOOD, "step": "issue", "form": str(context["number"]), "version": str(context["preview"].before.version)}

    def send(_: int) -> int:
        try:
            twin = Client()
            twin.cookies = browser.cookies
            return int(twin.post(_url(desk), sent).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(send, range(16)))
    assert set(statuses) <= {302, 409}
    assert len(_grants(desk)) == 1


@pytest.mark.parametrize("form", ["", "-1", "x", "٣", "99999999999"])
def test_a_number_that_is_none_starts_over(quiet_desk: "Desk", as_role: AsRole, form: str) -> None:
    browser = as_role("support")
    response = browser.post(_url(quiet_desk), {**GOOD, "step": "issue", "form": form, "version": "0"})
    assert response.status_code == 422
    assert response.context["form"]["note"].value() == GOOD["note"]  # what was typed stays
    assert _grants(quiet_desk) == []
    assert browser.get(f"{_url(quiet_desk)}?form={form}").status_code == 302
