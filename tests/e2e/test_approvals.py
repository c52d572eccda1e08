"""Above a limit: support asks, finance decides; by keyboard, however often it is pressed, in however many tabs."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import BrowserContext, Page, expect

from tests.e2e.test_credit import _fill, _preview, _tab_to

if TYPE_CHECKING:
    from tests.console.desk import Desk

OpenPage = Callable[..., Page]
OpenContext = Callable[..., BrowserContext]
GrantsOf = Callable[[], int]
PICTURES = Path(__file__).resolve().parents[2] / "var" / "screenshots"


def _ask(page: Page, desk: "Desk") -> str:
    """Ask for 180 USD; the address of the request."""
    page.goto(f"/console/customers/{desk.acme.pk}/credit/")
    expect(page.locator("#limit-left")).to_contain_text("$100.00")
    _fill(page, "180.00")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("This needs a second person")).to_be_visible()
    page.get_by_role("button", name="Ask for $180.00").click()
    expect(page.get_by_text("Nothing is issued before somebody else approves")).to_be_visible()
    return page.url


def test_support_asks_and_finance_approves_with_a_double_click(
    desk: "Desk", open_page: OpenPage, grants_of: GrantsOf
) -> None:
    place = _ask(open_page("support"), desk)
    assert grants_of() == 0
    page = open_page("finance")
    page.goto("/console/")
    page.get_by_role("main").get_by_role("link", name="Approvals").click()
    page.get_by_role("row", name="180.00 USD").filter(has_text="Acme").get_by_role("link").click()
    assert page.url == place
    expect(page.get_by_role("region", name="What approving writes")).to_contain_text("180.00 USD")
    page.get_by_role("button", name="Approve").dblclick()
    expect(page.get_by_role("heading", name="Decision")).to_be_visible()
    assert grants_of() == 1


def test_approving_twice_without_the_guard_is_one_credit(
    desk: "Desk", open_page: OpenPage, grants_of: GrantsOf
) -> None:
    place = _ask(open_page("support"), desk)
    page = open_page("finance")
    page.route("**/console/console*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto(place)
    approve = page.get_by_role("button", name="Approve")
    approve.evaluate("button => { button.form.submit(); button.form.submit(); button.click(); }")
    expect(page.get_by_role("heading", name="Decision")).to_be_visible()
    assert grants_of() == 1


def test_two_tabs_are_one_decision(
    desk: "Desk", open_page: OpenPage, open_context: OpenContext, grants_of: GrantsOf
) -> None:
    place = _ask(open_page("support"), desk)
    context = open_context("finance")
    one, two, three = (context.new_page() for _ in range(3))
    for page in (one, two, three):
        page.goto(place)
    one.get_by_role("button", name="Approve").click()
    expect(one.get_by_role("heading", name="Decision")).to_be_visible()
    two.get_by_role("button", name="Approve").click()
    expect(two.get_by_text("Nothing was done twice")).to_be_visible()
    three.get_by_label("Note").fill("No.")
    three.get_by_role("button", name="Reject").click()
    expect(three.get_by_text("was approved by finance already")).to_be_visible()
    assert grants_of() == 1


def test_by_keyboard_with_enter_twice(desk: "Desk", open_page: OpenPage, grants_of: GrantsOf) -> None:
    place = _ask(open_page("support"), desk)
    page = open_page("finance")
    page.goto(place)
    _tab_to(page, "Note")
    page.keyboard.type("Seen with the customer.")
    _tab_to(page, "Approve")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Seen with the customer.")).to_be_visible()
    assert grants_of() == 1


def test_asking_with_a_double_click_is_one_request_and_who_asked_may_withdraw(
    desk: "Desk", open_page: OpenPage, grants_of: GrantsOf
) -> None:
    from billing_ops.models import Approval

    page = open_page("support", viewport={"width": 390, "height": 844})
    page.goto(f"/console/customers/{desk.acme.pk}/credit/")
    _fill(page, "180.00")
    page.get_by_role("button", name="Preview").click()
    PICTURES.mkdir(parents=True, exist_ok=True)
    expect(page.get_by_role("button", name="Ask for $180.00")).to_be_focused()
    page.screenshot(path=PICTURES / "credit-above-narrow.png", full_page=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Ask for $180.00").dblclick()
    expect(page.get_by_text("Your role does not include deciding this")).to_be_visible()
    assert Approval.objects.filter(customer_key="acme").count() == 1
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_role("heading", name="Decision")).to_be_visible()
    assert Approval.objects.get(customer_key="acme").status == "withdrawn"
    assert grants_of() == 0


def test_what_was_typed_survives_going_back(desk: "Desk", open_page: OpenPage) -> None:
    page = open_page("support")
    _preview(page, desk)
    page.go_back()
    expect(page.get_by_label("Amount in USD")).to_have_value("12.50")
    expect(page.get_by_label("Note")).to_have_value("Ten hours without answers.")
    expect(page.get_by_label("Reason")).to_have_value("service_disruption")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("button", name="Change it").click()
    expect(page.get_by_label("Ticket")).to_have_value("SUP-77")


def test_what_was_typed_is_gone_after_logging_out(desk: "Desk", open_page: OpenPage) -> None:
    page = open_page("support")
    _preview(page, desk)
    kept = "() => Object.keys(sessionStorage).filter(key => key.startsWith('bo-kept:')).length"
    assert page.evaluate(kept) == 1
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_text("Logged out")).to_be_visible()
    assert page.evaluate(kept) == 0


def test_the_tab_that_comes_second_with_another_credit_loses_nothing(
    desk: "Desk", open_context: OpenContext, grants_of: GrantsOf
) -> None:
    context = open_context("support")
    one, two = context.new_page(), context.new_page()
    _preview(one, desk)
    two.goto(f"/console/customers/{desk.acme.pk}/credit/")
    _fill(two, "20.00")
    two.get_by_role("button", name="Preview").click()
    expect(two.get_by_role("button", name="Issue $20.00")).to_be_visible()
    one.get_by_role("button", name="Issue $12.50").click()
    expect(one.get_by_role("heading", name="Acme Robotics")).to_be_visible()
    two.get_by_role("button", name="Issue $20.00").click()
    expect(two.get_by_text("A credit of 12.50 USD was sent with this form before")).to_be_visible()
    expect(two.get_by_label("Amount in USD")).to_have_value("20.00")
    assert grants_of() == 1
    two.get_by_role("button", name="Preview").click()
    two.get_by_role("button", name="Issue $20.00").click()
    expect(two.get_by_role("heading", name="Acme Robotics")).to_be_visible()
    assert grants_of() == 2
