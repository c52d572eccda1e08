"""Above a limit somebody else decides: asked for from the credit form, decided in the queue, written once."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from tests.console.test_credit import GOOD, _form, _grants, _issue, _preview, _url

if TYPE_CHECKING:
    from billing_ops.models import Approval
    from tests.console.desk import Desk

AsRole = Callable[[str], Client]


def _ask(browser: Client, desk: "Desk", **changes: str) -> "Approval":
    """Ask for a credit of 180 USD to acme as that person."""
    from billing_ops.models import Approval

    changes = {"amount": "180.00", **changes}
    previewed = _preview(browser, desk, **changes)
    assert previewed.status_code == 200
    sent = {**GOOD, **changes, "step": "ask", "form": str(previewed.context["number"])}
    asked = browser.post(_url(desk), sent)
    assert asked.status_code == 302, asked.content
    return Approval.objects.get(pk=int(asked.headers["Location"].rstrip("/").rpartition("/")[2]))


def _at(row: "Approval", act: str = "") -> str:
    return f"/console/approvals/{row.pk}/" + (f"{act}/" if act else "")


def _seen(browser: Client, row: "Approval") -> str:
    return str(browser.get(_at(row)).context["seen"])


def _second(name: str, role: str, email: str = "") -> Client:
    """Another member of the staff."""
    from django.contrib.auth.models import Group, User

    person = User.objects.create_user(name, email, is_staff=True)
    person.groups.set([Group.objects.get(name=role)])
    browser = Client()
    browser.force_login(person)
    return browser


def test_the_form_says_what_is_left_before_anything_is_typed(desk: "Desk", as_role: AsRole) -> None:
    browser = as_role("support")
    opened = browser.get(_url(desk), follow=True).content.decode()
    assert re.search(r"up to <strong>\$100.00</strong> in one credit", opened)
    _issue(browser, desk, _preview(browser, desk, amount="90.00"), amount="90.00")
    _issue(browser, desk, _preview(browser, desk, amount="90.00"), amount="90.00")
    again = browser.get(_url(desk), follow=True).content.decode()
    assert "$180.00 of $500.00 given by you" in again
    assert "$180.00 of $250.00 to this customer" in again
    assert "nothing more alone" in again  # a third within a day would be a split


def test_above_the_limit_the_preview_asks_and_nothing_is_issued(desk: "Desk", as_role: AsRole) -> None:
    browser = as_role("support")
    previewed = _preview(browser, desk, amount="180.00").content.decode()
    assert "This needs a second person" in previewed
    assert "Support may give at most 100.00 USD in one credit" in previewed
    assert "Ask for $180.00" in previewed
    assert "Issue $180.00" not in previewed
    row = _ask(browser, desk)
    assert (row.requested_by_id, row.ticket, row.note) == ("support", GOOD["ticket"], GOOD["note"])
    assert _grants(desk) == []


def test_who_posts_an_issue_above_the_limit_is_asked_again(desk: "Desk", as_role: AsRole) -> None:
    browser = as_role("support")
    previewed = _preview(browser, desk, amount="180.00")
    answered = _issue(browser, desk, previewed, amount="180.00")
    assert answered.status_code == 409
    assert b"at most 100.00 USD" in answered.content
    assert b"Ask for $180.00" in answered.content
    assert _grants(desk) == []


def test_what_the_approver_sees_is_what_is_written(desk: "Desk", as_role: AsRole) -> None:
    from ledger import balances, journal

    row, finance = _ask(as_role("support"), desk), as_role("finance")
    page = finance.get(_at(row))
    shown = page.context["preview"]
    decided = finance.post(_at(row, "approve"), {"seen": page.context["seen"], "note": "fine"})
    assert decided.status_code == 302
    (grant,) = _grants(desk)
    (entry,) = journal.entries_for(grant=grant).items
    assert [(line.side, line.code, line.amount) for line in shown.lines] == [
        (line.side, line.code, line.amount) for line in entry.lines
    ]
    after = balances.of(customer_key="acme", unit="USD")
    assert [change.after for change in shown.changes] == [
        after.goodwill_credits, after.promotional_credits, after.credits_total,
    ]  # fmt: skip
    assert (grant.requested_by_id, entry.ticket) == ("support", GOOD["ticket"])
    told = finance.get(_at(row)).content.decode()
    assert "fine" in told
    assert f"Entry {entry.public_id}" in told


def test_a_decision_sent_twice_or_from_two_tabs_is_one(desk: "Desk", as_role: AsRole) -> None:
    row, finance = _ask(as_role("support"), desk), as_role("finance")
    sent = {"seen": _seen(finance, row)}
    assert [finance.post(_at(row, "approve"), sent).status_code for _ in range(3)] == [302, 302, 302]
    assert b"Nothing was done twice" in finance.get(_at(row)).content
    other = finance.post(_at(row, "reject"), {"note": "changed my mind"})
    assert other.status_code == 409
    assert b"was approved by finance already" in other.content
    assert len(_grants(desk)) == 1


def test_at_the_same_moment_it_is_one_decision(desk: "Desk", as_role: AsRole) -> None:
    from django.db import connections

    row = _ask(as_role("support"), desk)
    people = [as_role("finance"), _second("fred", "Finance"), _second("fay", "Finance")]
    sent = {"seen": _seen(people[0], row), "note": "x"}

    def send(number: int) -> int:
        try:
            twin = Client()
            twin.cookies = people[number % 3].cookies
            return int(twin.post(_at(row, "reject" if number % 2 else "approve"), sent).status_code)
        finally:
            connections.close_all()

    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(send, range(12)))
    assert set(statuses) <= {302, 409}
    row.refresh_from_db()
    assert len(_grants(desk)) == (row.status == "approved")


def test_who_asks_sees_it_but_the_buttons_say_why_not(desk: "Desk", as_role: AsRole) -> None:
    from ledger.models import CreditGrant

    support, finance = as_role("support"), as_role("finance")
    mine = _ask(support, desk)
    page = support.get(_at(mine)).content.decode()
    assert "Your role does not include deciding this" in page
    assert 'aria-disabled="true"' in page
    assert "Withdraw the request" in page
    big = _ask(finance, desk, amount="1500.00")
    assert "You asked for this yourself" in finance.get(_at(big)).content.decode()
    refused = finance.post(_at(big, "approve"), {"seen": _seen(finance, big)})
    assert refused.status_code == 403
    assert b"You asked for this yourself" in refused.content
    assert not CreditGrant.objects.filter(approval_id=big.pk).exists()


def test_who_belongs_to_the_customer_gives_nothing_alone_and_approves_nothing(desk: "Desk", as_role: AsRole) -> None:
    insider = _second("ivy", "Finance", "ivy@acme.example")
    assert "belongs to this customer" in insider.get(_url(desk), follow=True).content.decode()
    row = _ask(insider, desk, amount="1.00")
    assert row.flags == ["own_domain"]
    page = as_role("finance").get(_at(row)).content.decode()
    assert "Flagged." in page
    assert "belongs to the customer, by e-mail address" in page
    theirs = _ask(as_role("support"), desk)
    assert "belongs to this customer: somebody else decides" in insider.get(_at(theirs)).content.decode()
    refused = insider.post(_at(theirs, "approve"), {"seen": _seen(insider, theirs)})
    assert refused.status_code == 403
    assert _grants(desk) == []


def test_when_the_balances_moved_the_approver_sees_the_new_ones(desk: "Desk", as_role: AsRole) -> None:
    support, finance = as_role("support"), as_role("finance")
    row = _ask(support, desk)
    seen = _seen(finance, row)
    _issue(support, desk, _preview(support, desk))
    late = finance.post(_at(row, "approve"), {"seen": seen, "note": "typed"})
    assert late.status_code == 409
    assert b"has changed since you looked" in late.content
    assert b">typed</textarea>" in late.content
    assert finance.post(_at(row, "approve"), {"seen": late.context["seen"]}).status_code == 302
    assert len(_grants(desk)) == 2


def test_rejecting_needs_words_and_withdrawing_ones_own(desk: "Desk", as_role: AsRole) -> None:
    support, finance = as_role("support"), as_role("finance")
    row = _ask(support, desk)
    assert finance.post(_at(row, "withdraw")).status_code == 403
    assert finance.post(_at(row, "reject"), {"note": "  "}).status_code == 422
    assert finance.post(_at(row, "reject"), {"note": "No such outage."}).status_code == 302
    assert "No such outage." in support.get(_at(row)).content.decode()
    again = _ask(support, desk)
    assert again.pk != row.pk
    assert support.post(_at(again, "withdraw")).status_code == 302
    assert finance.post(_at(again, "approve"), {"seen": "x"}).status_code == 409
    assert _grants(desk) == []


def test_an_expired_request_is_not_approved(desk: "Desk", as_role: AsRole, clock: Any) -> None:
    from billing_ops.tasks import expire_approvals

    row, finance = _ask(as_role("support"), desk), as_role("finance")
    seen = _seen(finance, row)
    clock.set(desk.now + timedelta(days=7))
    late = finance.post(_at(row, "approve"), {"seen": seen})
    assert late.status_code == 409
    assert b"expired on" in late.content
    assert "Expired" in finance.get("/console/approvals/?state=expired").content.decode()
    assert b"Nothing waits" in finance.get("/console/approvals/").content
    assert expire_approvals() == 2
    row.refresh_from_db()
    assert row.status == "expired"


def test_asked_twice_is_one_request_and_a_used_form_says_so(desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.models import Approval

    support = as_role("support")
    form = _form(support, desk)
    sent = {**GOOD, "amount": "180.00", "step": "ask", "form": form}
    places = {support.post(_url(desk), sent).headers["Location"] for _ in range(3)}
    assert len(places) == 1
    assert Approval.objects.filter(customer_key="acme").count() == 1
    again = support.get(f"{_url(desk)}?form={form}").content.decode()
    assert "asked for 180.00 USD of goodwill credit" in again
    other = support.post(_url(desk), {**sent, "amount": "190.00"})
    assert other.status_code == 409
    assert "A request for 180.00 USD of goodwill credit was sent with this form before" in other.content.decode()
    assert other.context["form"]["amount"].value() == "190.00"


def test_the_queue_is_narrowed_by_its_address_and_shows_own_requests_to_support(desk: "Desk", as_role: AsRole) -> None:
    support, finance = as_role("support"), as_role("finance")
    row = _ask(support, desk)
    theirs = _ask(finance, desk, amount="1500.00")

    def shown(browser: Client, query: str) -> list[int]:
        return [one.approval.pk for one in browser.get(f"/console/approvals/{query}").context["rows"]]

    first = row.pk - 1  # the desk's
    assert shown(finance, "") == [first, row.pk, theirs.pk]
    assert shown(support, "") == [first, row.pk]
    assert shown(finance, "?by=me") == [theirs.pk]
    assert shown(finance, "?kind=period.reopen") == []
    assert shown(finance, "?flag=any") == []
    assert shown(finance, "?state=nonsense") == []
    assert support.get(_at(theirs)).status_code == 404
    finance.post(_at(row, "reject"), {"note": "no"})
    assert shown(finance, "?state=rejected") == [row.pk]
    assert shown(finance, "?state=all") == [theirs.pk, row.pk, first]
    (waits,) = [one for one in finance.get("/console/").context["troubles"] if one.title == "Approvals"]
    assert waits.count == 1  # the desk's: one's own does not wait for oneself


def test_the_queue_asks_the_same_however_long_it_is(desk: "Desk", as_role: AsRole) -> None:
    support, finance = as_role("support"), as_role("finance")
    counts = []
    for _ in range(2):
        with CaptureQueriesContext(connection) as asked:
            assert finance.get("/console/approvals/").status_code == 200
        counts.append(len(asked))
        for _ in range(4):
            _ask(support, desk)
    assert counts[0] == counts[1]


def test_text_of_strangers_comes_out_as_text(desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.models import Approval

    page = as_role("finance").get(_at(Approval.objects.get(key="desk-request"))).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


# Limits -------------------------------------------------------------------------------------------------------------

LIMIT = {
    "role": "Support", "unit": "usd", "per_credit": "150.00", "per_agent_day": "600.00",
    "per_customer_30_days": "300.00", "first_day": "", "reason": "Agreed on 3 February.",
}  # fmt: skip


def test_a_new_limit_counts_at_once_and_is_told_in_the_history(desk: "Desk", as_role: AsRole) -> None:
    from billing_ops.models import AuditEntry

    finance = as_role("finance")
    for _ in range(2):  # a double click
        assert finance.post("/console/limits/set/", LIMIT).status_code == 302
    page = finance.get("/console/limits/").content.decode()
    assert "Agreed on 3 February." in page
    assert page.count("$150.00") == 2  # in force, and in the history
    assert AuditEntry.objects.filter(action="limit.set").count() == 1
    assert "up to <strong>$150.00" in as_role("support").get(_url(desk), follow=True).content.decode()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("per_credit", "", "It is missing"),
        ("per_credit", "1e3", "“1e3” is not a plain decimal number"),
        ("per_credit", "1.005", "“1.005” has more than 2 decimals"),
        ("per_credit", "700.00", "One credit may not be more"),
        ("reason", "", "This field is required"),
        ("role", "Engineer", "not one of the available choices"),
        ("first_day", "2025-01-01", "A limit cannot begin in the past"),
    ],
)
def test_a_limit_that_makes_no_sense_is_told_beside_its_field(
    quiet_desk: "Desk", as_role: AsRole, name: str, value: str, words: str
) -> None:
    answer = as_role("finance").post("/console/limits/set/", {**LIMIT, name: value})
    assert answer.status_code == 422
    (error,) = answer.context["form"].errors[name]
    assert words in error
    assert not error.startswith(name)


def test_more_for_ones_own_role_is_a_request(desk: "Desk", as_role: AsRole) -> None:
    from ledger.models import CreditLimit

    finance = as_role("finance")
    more = {**LIMIT, "role": "Finance", "per_credit": "9000.00", "per_agent_day": "9000.00",
            "per_customer_30_days": "9000.00"}  # fmt: skip
    asked = finance.post("/console/limits/set/", more)
    assert asked.headers["Location"] == finance.post("/console/limits/set/", more).headers["Location"]
    place = asked.headers["Location"]
    seen = finance.get(place).context["seen"]
    assert finance.post(f"{place}approve/", {"seen": seen}).status_code == 403
    assert _second("fred", "Finance").post(f"{place}approve/", {"seen": seen}).status_code == 302
    assert CreditLimit.objects.latest("pk").per_credit == 9000
    assert CreditLimit.objects.latest("pk").set_by == "finance"


def test_support_reads_the_limits_and_sets_none(quiet_desk: "Desk", as_role: AsRole) -> None:
    support = as_role("support")
    page = support.get("/console/limits/").content.decode()
    assert "Yours" in page
    assert "Set the limit" not in page
    assert support.post("/console/limits/set/", LIMIT).status_code == 403


def test_who_belongs_to_either_customer_of_a_transfer_does_not_decide_it(desk: "Desk", as_role: AsRole) -> None:
    from decimal import Decimal

    from moneyed import USD, Money

    from billing_ops.kit.actor import Actor
    from ledger import crediting, transferring
    from tests.support.billing import TESTER

    crediting.grant(
        customer_key="acme", kind="goodwill", amount=Money(9, USD), reason_code="trial", key="t", at=desk.now,
        actor=TESTER,
    )  # fmt: skip
    row = transferring.ask(
        from_customer="acme", to_customer="declined-co", unit="USD", amount=Decimal(5), reason_code="merger", key="t",
        actor=Actor("user", "support"), at=desk.now,
    )  # fmt: skip
    for name in ("acme", "declined"):
        insider = _second(f"in-{name}", "Finance", f"x@{name}.example")
        page = insider.get(_at(row))
        assert "belongs to this customer: somebody else decides" in page.content.decode()
        assert insider.post(_at(row, "approve"), {"seen": page.context["seen"]}).status_code == 403
    finance = as_role("finance")
    assert finance.post(_at(row, "approve"), {"seen": _seen(finance, row)}).status_code == 302


def test_changing_a_request_makes_another_and_the_old_one_void(desk: "Desk", as_role: AsRole) -> None:
    support, finance = as_role("support"), as_role("finance")
    old = _ask(support, desk)
    seen = _seen(finance, old)
    place = support.get(_at(old)).context["change_url"]
    form = support.get(place, follow=True)
    assert f'value="{GOOD["ticket"]}"' in form.content.decode()
    assert form.context["form"]["amount"].value() == 180
    sent = {**GOOD, "amount": "150.00", "step": "ask", "form": str(form.context["number"]), "replaces": str(old.pk)}
    asked = [support.post(_url(desk), sent) for _ in range(2)]
    assert [one.status_code for one in asked] == [302, 302]
    old.refresh_from_db()
    assert old.status == "void"
    assert finance.post(_at(old, "approve"), {"seen": seen}).status_code == 409
    assert "Replaced by another" in support.get(_at(old)).content.decode()
    late = support.post(_url(desk), {**sent, "form": str(form.context["number"] + 1)})
    assert late.status_code == 409
    assert b"that you are changing was void already" in late.content
    assert _grants(desk) == []


def test_a_request_changed_to_what_one_may_give_alone_is_withdrawn_when_it_is_given(
    desk: "Desk", as_role: AsRole
) -> None:
    support = as_role("support")
    old = _ask(support, desk)
    form = support.get(f"{_url(desk)}?replaces={old.pk}", follow=True).context["number"]
    more = {"amount": "50.00", "form": str(form), "replaces": str(old.pk)}
    assert _issue(support, desk, _preview(support, desk, **more), **more).status_code == 302
    old.refresh_from_db()
    assert (old.status, len(_grants(desk))) == ("withdrawn", 1)
