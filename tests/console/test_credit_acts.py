"""Top-ups, schedules, transfers, rules and units in the console: previewed, done once, refused in words."""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.urls import reverse

if TYPE_CHECKING:
    from tests.console.desk import Desk

TOKEN = "0" * 31 + "1"

Forms = dict[str, tuple[str, dict[str, str]]]
FORMS: Forms = {
    "topup": ("console_topup", {"unit": "USD", "amount": "25.00", "valid_days": "30"}),
    "units": ("console_topup", {"unit": "credits", "amount": "2000"}),
    "rule": (
        "console_auto_topup",
        {"unit": "USD", "enabled": "no", "threshold": "0", "amount": "50", "monthly_cap": "100", "reason": "asked"},
    ),
    "schedule": (
        "console_schedule",
        {"kind": "promotional", "unit": "USD", "amount": "20.00", "every": "month", "first_day": "2030-01-31",
         "rollover": "yes", "keep_max": "10", "reason_code": "campaign", "ticket": "T-1"},
    ),
    "transfer": (
        "console_transfer",
        {"to_customer": "declined-co", "unit": "USD", "amount": "0.50", "reason_code": "merger", "ticket": "T-2"},
    ),
}  # fmt: skip


def made() -> tuple[int, ...]:
    from billing_ops.models import Approval
    from invoicing.models import AutoTopUp, TopUp
    from ledger.models import CreditSchedule, Entry

    return tuple(model.objects.count() for model in (TopUp, AutoTopUp, CreditSchedule, Approval, Entry))


def text_of(answer: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_previewed_and_done_once(desk: "Desk", as_role: Callable[[str], Client], name: str) -> None:
    from moneyed import Money

    from ledger import crediting
    from tests.support.billing import TESTER

    route, data = FORMS[name]
    crediting.grant(customer_key="acme", kind="goodwill", amount=Money(5, "USD"), reason_code="x", actor=TESTER,
                    at=desk.now, key="to-transfer")  # fmt: skip
    url, browser, before = reverse(f"admin:{route}", args=[desk.acme.pk]), as_role("finance"), made()
    assert browser.get(url).status_code == 200
    preview = browser.post(url, {**data, "token": TOKEN, "step": "preview"})
    assert preview.status_code == 200, text_of(preview)[-800:]
    assert made() == before, "a preview writes nothing"
    seen = re.search(r'name="seen" value="([0-9a-f]+)"', preview.content.decode())
    assert seen is not None
    sent = {**data, "token": TOKEN, "step": "do", "seen": seen[1]}
    assert browser.post(url, sent).status_code == 302
    after = made()
    assert sum(after[:4]) == sum(before[:4]) + 1
    assert browser.post(url, sent).status_code == 302
    assert made() == after, "sent twice is done once"


def test_the_journal_of_a_top_up_is_what_was_previewed(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    from invoicing.models import TopUp
    from ledger import journal
    from ledger.models import Entry

    route, data = FORMS["topup"]
    url, browser = reverse(f"admin:{route}", args=[desk.acme.pk]), as_role("finance")
    preview = browser.post(url, {**data, "token": TOKEN, "step": "preview"})
    lines = [(line.side, line.code, line.amount) for line in preview.context["shown"].lines]
    browser.post(url, {**data, "token": TOKEN, "step": "do", "seen": preview.context["shown"].fingerprint()})
    invoice = TopUp.objects.latest("pk").invoice
    written = []
    for entry in Entry.objects.filter(invoice_ref=invoice.public_id).order_by("pk"):
        written += [(line.side, line.code, line.amount) for line in journal.entry(public_id=entry.public_id).lines]
    assert written == lines


def test_what_changed_since_the_preview_is_shown_again(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    route, data = FORMS["topup"]
    url, before = reverse(f"admin:{route}", args=[desk.acme.pk]), made()
    answer = as_role("finance").post(url, {**data, "token": TOKEN, "step": "do", "seen": "f" * 32})
    assert answer.status_code == 409
    assert "has changed" in text_of(answer)
    assert made() == before


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("topup", {"amount": "1e3"}, "not a plain decimal number"),
        ("topup", {"amount": ""}, "It is missing"),
        ("topup", {"unit": "EUR"}, "Select a valid choice"),
        ("schedule", {"keep_min": "20", "keep_max": "10"}, "not below the minimum"),
        ("schedule", {"first_day": "2030-02-30"}, "Enter a valid date"),
        ("transfer", {"to_customer": "nobody"}, "no customer of that key"),
        ("transfer", {"amount": "9999"}, "USD can be transferred"),
        ("transfer", {"to_customer": "acme"}, "another customer"),
        ("rule", {"monthly_cap": "-1"}, "not a plain decimal number"),
    ],
)
def test_a_mistake_is_told_in_words_and_nothing_is_done(
    desk: "Desk", as_role: Callable[[str], Client], name: str, change: dict[str, str], said: str
) -> None:
    route, data = FORMS[name]
    url, before = reverse(f"admin:{route}", args=[desk.acme.pk]), made()
    answer = as_role("finance").post(url, {**data, **change, "token": TOKEN, "step": "preview"})
    assert answer.status_code in (409, 422)
    assert said in text_of(answer) or "negative" in text_of(answer)
    assert made() == before


def test_units_are_registered_and_priced(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    from ledger import units

    browser = as_role("finance")
    assert browser.post(reverse("admin:console_unit_register"), {"unit-code": "tokens_m"}).status_code == 302
    rate = {"unit": "tokens_m", "currency": "usd", "rate": "2.5", "reason": "list price"}
    assert browser.post(reverse("admin:console_unit_rate"), rate).status_code == 302
    assert str(units.rate_of(unit="tokens_m", at=desk.now).rate.normalize()) == "2.5"
    page = text_of(browser.get(reverse("admin:console_units")))
    assert "2.5 USD" in page
    for bad in ({"unit-code": "USD"}, {"unit-code": ""}):
        assert browser.post(reverse("admin:console_unit_register"), bad).status_code == 422
    assert browser.post(reverse("admin:console_unit_rate"), {**rate, "rate": "0"}).status_code == 422


def test_a_customer_without_any_sees_what_each_is_for(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    page = text_of(as_role("support").get(reverse("admin:console_credits", args=[desk.declined.pk])))
    for said in ("No top-up yet", "No rule", "No schedule", "No credit came from another customer"):
        assert said in page
    assert "Order a top-up" not in page, "support orders none"


def test_ending_a_schedule_and_giving_up_a_top_up(desk: "Desk", as_role: Callable[[str], Client]) -> None:
    from invoicing.models import TopUp
    from ledger.models import CreditSchedule

    browser, schedule, top_up = as_role("finance"), CreditSchedule.objects.get(), TopUp.objects.get()
    for _ in range(2):
        assert browser.post(reverse("admin:console_schedule_end", args=[schedule.pk])).status_code == 302
        assert browser.post(reverse("admin:console_topup_give_up", args=[top_up.pk])).status_code == 302
    schedule.refresh_from_db()
    top_up.refresh_from_db()
    assert (schedule.ended_by, top_up.status, top_up.invoice.status) == ("finance", "void", "void")
