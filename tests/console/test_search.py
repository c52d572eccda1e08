"""One box finds everything, within bounds, and only what a person may see."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


def _find(text: str, person: str = "finance") -> list[tuple[str, str, bool]]:
    from django.contrib.auth.models import User

    from billing_ops.console.search import find

    user = User.objects.get(username=person)
    user.get_all_permissions()  # asked once a request, whatever is searched
    with CaptureQueriesContext(
        connection,
    ) as asked:
        hits = find(text, user)
    assert len(asked) <= 6, [query["sql"] for query in asked.captured_queries]
    return [(hit.kind, hit.title, hit.exact) for hit in hits]


def test_each_shape_leads_to_its_kind(quiet_desk: "Desk") -> None:
    from invoicing.models import Payment, StripeEvent

    paid = quiet_desk.paid()
    event = StripeEvent.objects.filter(type="invoice.paid", handled_at__isnull=False).latest("pk")
    acme = ("Customer", "Acme Robotics", True)
    assert _find("ada@acme.example") == [acme]
    assert _find("ADA@ACME.EXAMPLE") == [acme]
    assert acme in _find("acme")
    assert _find("Acme Rob") == [("Customer", "Acme Robotics", False)]
    assert _find(paid.number or "") == [("Invoice", paid.number, True)]
    assert _find((paid.number or "").lower()) == [("Invoice", paid.number, True)]
    assert ("Invoice", paid.number, True) in _find(paid.public_id)
    assert ("Invoice", paid.number, True) in _find(paid.stripe_id or "")
    assert acme in _find(_stripe_id(quiet_desk))
    charge = Payment.objects.get(invoice=paid).stripe_charge_id
    assert ("Invoice", paid.number, True) in _find(charge)
    assert ("Webhook", "invoice.paid", True) in _find(event.event_id)
    assert [kind for kind, _, _ in _find("in_unknown1")] == ["Webhook"]
    assert ("Subscription", "sub-acme", True) in _find("sub-acme")
    assert _find("req-17", "engineer") == [("Usage event", "req-17", True)]


def _stripe_id(desk: "Desk") -> str:
    from plans.models import Customer

    return Customer.objects.get(pk=desk.acme.pk).stripe_id or ""


@pytest.mark.parametrize("text", ["", " ", "\x00", "%", "_", "'; DROP TABLE x; --", "evt_", "cus_%", "a" * 5000, "🦊"])
def test_strange_text_finds_nothing_and_breaks_nothing(quiet_desk: "Desk", as_role: AsRole, text: str) -> None:
    response = as_role("finance").get("/console/search/", {"q": text})
    assert response.status_code == 200
    assert _find(text[:200]) == []


def test_a_person_finds_only_what_they_may_see(quiet_desk: "Desk") -> None:
    assert _find("ada@acme.example", "engineer") == []
    assert _find(quiet_desk.paid().number or "", "engineer") == []
    assert _find("req-17", "support") == []
    assert _find("acme", "bare") == []


def test_twenty_at_most_of_any_number(desk: "Desk") -> None:
    from plans.models import Customer

    Customer.objects.bulk_create(
        Customer(key=f"many-{n}", name=f"Many {n}", currency="USD", created_at=desk.now) for n in range(300)
    )
    assert len(_find("many")) == 20


def test_one_exact_hit_opens_its_page(quiet_desk: "Desk", as_role: AsRole) -> None:
    response = as_role("support").get("/console/search/", {"q": "ada@acme.example"})
    assert response.status_code == 302
    assert response.headers["Location"] == f"/console/customers/{quiet_desk.acme.pk}/"
