"""Addresses that nobody here wrote: answered, refused with words, never a failure of ours."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from django.test import Client

if TYPE_CHECKING:
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


@pytest.mark.parametrize(
    ("role", "url"),
    [
        ("finance", "/console/journal/?until=9999-12-31"),
        ("finance", "/console/journal/?since=0001-01-01"),
        ("engineer", "/console/events/?until=9999-12-31"),
        ("engineer", "/console/events/?since=2300-01-01"),
    ],
)
def test_a_day_outside_of_our_centuries_is_refused_with_words(
    quiet_desk: "Desk", as_role: AsRole, role: str, url: str
) -> None:
    page = as_role(role).get(url)
    assert page.status_code == 200
    assert "Write a day from 2000 to 2199." in page.content.decode()


@pytest.mark.parametrize("day", ["2199-12-31", "2000-01-01"])
def test_the_first_and_the_last_day_are_days(quiet_desk: "Desk", as_role: AsRole, day: str) -> None:
    for role, path in (("finance", "journal"), ("engineer", "events")):
        for name in ("since", "until"):
            page = as_role(role).get(f"/console/{path}/", {name: day})
            assert page.context["form"].is_valid()


def test_a_credit_that_ends_with_the_years_is_refused_with_words(quiet_desk: "Desk", as_role: AsRole) -> None:
    form = {
        "form": "0", "step": "preview", "amount": "5.00", "currency": "USD", "kind": "goodwill", "ticket": "T",
        "reason_code": "other", "note": "n", "last_day": "9999-12-31",
    }  # fmt: skip
    page = as_role("support").post(f"/console/customers/{quiet_desk.acme.pk}/credit/", form)
    assert page.status_code == 422
    assert "Write a day from 2000 to 2199." in page.content.decode()


@pytest.mark.parametrize("name", ["name__regex", "name__iregex", "subscriptions__key", "email__startswith", "id__in"])
def test_a_list_filters_by_its_own_filters_only(quiet_desk: "Desk", as_role: AsRole, name: str) -> None:
    answer = as_role("support").get("/console/plans/customer/", {name: "((a"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/console/plans/customer/?e=1")


@pytest.mark.parametrize("name", ["currency", "currency__exact"])
def test_a_character_that_no_text_holds_opens_the_list_without_filters(
    quiet_desk: "Desk", as_role: AsRole, name: str
) -> None:
    answer = as_role("support").get("/console/plans/customer/", {name: "US\0"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/console/plans/customer/?e=1")


def test_the_filters_of_the_lists_work(quiet_desk: "Desk", as_role: AsRole) -> None:
    def shown(role: str, path: str) -> int:
        page = as_role(role).get(f"/console/{path}")
        assert page.status_code == 200
        return len(page.context["cl"].result_list)

    assert shown("support", "plans/customer/?currency=USD") == 4
    assert shown("support", "plans/customer/?currency=EUR") == 0
    assert shown("finance", "invoicing/invoice/?status__exact=open") > 0
    assert shown("finance", "ledger/account/?unit__code__exact=USD") > 0
    assert shown("finance", "ledger/account/?unit__code__exact=EUR") == 0
    assert shown("engineer", "invoicing/stripeevent/?state=parked") == 1
