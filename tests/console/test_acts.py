"""The acts of finance and engineers: sent, not visited; once, not twice; with words when refused."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


def _said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


def _draft(desk: "Desk") -> Any:
    """Let the billing run draft acme's next invoice, and no more."""
    from invoicing import billing
    from invoicing.models import Invoice
    from tests.support.billing import START, TESTER

    at = START + timedelta(days=59, hours=1)
    billing.draft_due(until=at, at=at, actor=TESTER)
    return Invoice.objects.get(customer=desk.acme, status="draft")


def test_finance_finalises_a_draft_once(desk: "Desk", as_role: AsRole, clock: Any) -> None:
    draft = _draft(desk)
    clock.set(draft.drafted_at)
    browser, url = as_role("finance"), f"/console/invoices/{draft.pk}/finalize/"
    assert browser.get(url).status_code == 405
    draft.refresh_from_db()
    assert draft.status == "draft"

    first = browser.post(url)
    draft.refresh_from_db()
    assert draft.status == "open"
    assert draft.number in _said(first)
    number = draft.number
    second = browser.post(url)
    assert "not a draft" in _said(second)
    draft.refresh_from_db()
    assert draft.number == number


def test_collecting_a_paid_invoice_is_refused_with_words(quiet_desk: "Desk", as_role: AsRole) -> None:
    response = as_role("finance").post(f"/console/invoices/{quiet_desk.paid().pk}/collect/")
    assert "is paid" in _said(response)


def test_collecting_again_makes_one_attempt_and_tells_the_answer(desk: "Desk", as_role: AsRole) -> None:
    invoice = desk.open()
    before = invoice.attempts.count()
    response = as_role("finance").post(f"/console/invoices/{invoice.pk}/collect/")
    assert "declined" in _said(response)
    assert invoice.attempts.count() == before + 1
    assert invoice.attempts.latest("number").requested_by == "finance"


def test_an_engineer_replays_a_parked_webhook(desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.models import AuditEntry
    from invoicing.models import StripeEvent

    parked = StripeEvent.objects.get(event_id="evt_parked1")
    url = f"/console/invoicing/stripeevent/{parked.pk}/replay/"
    browser = as_role("engineer")

    shown = browser.get(url)
    assert shown.status_code == 200
    assert b"hx-post" in shown.content
    parked.refresh_from_db()
    assert parked.parked_at is not None

    form = {"_form_submitted": "True"}
    sent = browser.post(url, form, headers={"HX-Request": "true"})
    assert sent.headers["HX-Redirect"] == f"/console/invoicing/stripeevent/{parked.pk}/change/"
    parked.refresh_from_db()
    assert parked.parked_at is None
    assert parked.next_try_at == desk.now
    assert AuditEntry.objects.get(action="webhook.replayed").actor_id == "engineer"
    browser.post(url, form)
    assert AuditEntry.objects.filter(action="webhook.replayed").count() == 1


def test_a_key_is_shown_once_and_revoked(desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.kit.http import auth
    from billing_ops.models import ApiKey

    browser = as_role("engineer")
    made = browser.post("/console/keys/create/", {"name": "collector", "scopes": ["events:write"], "days": "30"})
    assert made.status_code == 201
    text = made.context["issued"].text
    assert text.encode() in made.content
    assert text.encode() not in browser.get("/console/keys/").content
    key = ApiKey.objects.get(name="collector")
    assert key.created_by == "engineer"
    caller = auth.authenticate(f"Bearer {text}", scope="events:write", at=desk.now)
    assert caller

    browser.post(f"/console/keys/{key.pk}/revoke/")
    with pytest.raises(auth.KeyRevoked):
        auth.authenticate(f"Bearer {text}", scope="events:write", at=desk.now)


def test_a_key_without_scope_or_name_is_refused(quiet_desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.models import ApiKey

    before = ApiKey.objects.count()
    for form in (
        {"name": "x"},
        {"scopes": ["events:write"]},
        {"name": "x", "scopes": ["everything"]},
        {"name": "x", "scopes": ["events:write"], "days": "0"},
    ):
        assert as_role("engineer").post("/console/keys/create/", form).status_code == 422
    assert ApiKey.objects.count() == before


_MONEY = {"customers:write", "plans:write", "subscriptions:write", "credits:write", "invoices:write", "balances:read"}


def test_an_engineer_is_neither_offered_nor_given_a_scope_for_money(quiet_desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.models import ApiKey

    browser = as_role("engineer")
    offered = {scope for scope, _ in browser.get("/console/keys/").context["form"].fields["scopes"].choices}
    assert offered == {"events:write", "usage:read", "meters:read", "meters:write", "plans:read"}
    before = ApiKey.objects.count()
    for scope in sorted(_MONEY | {"invoices:read", "customers:read", "subscriptions:read"}):
        form = {"name": "till", "scopes": ["events:write", scope]}
        assert browser.post("/console/keys/create/", form).status_code == 422, scope
    assert ApiKey.objects.count() == before


def test_support_and_finance_make_no_keys_at_all(quiet_desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.models import ApiKey

    before = ApiKey.objects.count()
    for role in ("support", "finance"):
        form = {"name": "till", "scopes": ["credits:write"]}
        assert as_role(role).post("/console/keys/create/", form).status_code == 403
        assert as_role(role).get("/console/keys/").status_code == 403
    assert ApiKey.objects.count() == before


def test_who_may_give_credit_and_make_keys_may_make_a_key_that_gives_credit(desk: "Desk", as_role: AsRole) -> None:
    from django.contrib.auth.models import Permission, User

    from billing_ops.models import ApiKey

    User.objects.get(username="engineer").user_permissions.add(Permission.objects.get(codename="issue_credit"))
    form = {"name": "till", "scopes": ["credits:write"]}
    assert as_role("engineer").post("/console/keys/create/", form).status_code == 201
    assert ApiKey.objects.get(name="till").scopes == ["credits:write"]


def test_every_scope_says_who_may_give_it() -> None:
    from billing_ops.console.roles import ROLES, SCOPE_PERMISSIONS
    from billing_ops.kit.http.scopes import SCOPES

    assert SCOPE_PERMISSIONS.keys() == SCOPES.keys()
    known = frozenset().union(*ROLES.values())
    assert all(needed is None or (needed and needed <= known) for needed in SCOPE_PERMISSIONS.values())
