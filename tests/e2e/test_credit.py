"""A support agent finds a customer and issues a credit: however it is sent, it is one credit."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from playwright.sync_api import BrowserContext, Page, expect

if TYPE_CHECKING:
    from tests.console.desk import Desk

OpenPage = Callable[..., Page]


def _fill(page: Page, amount: str = "12.50") -> None:
    page.get_by_label("Amount in USD").fill(amount)
    page.get_by_label("Kind").select_option("goodwill")
    page.get_by_label("Last day it can be used").fill("2025-12-31")
    page.get_by_label("Reason").select_option("service_disruption")
    page.get_by_label("Ticket").fill("SUP-77")
    page.get_by_label("Note").fill("Ten hours without answers.")


def _preview(page: Page, desk: "Desk") -> None:
    page.goto(f"/console/customers/{desk.acme.pk}/credit/")
    _fill(page)
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_role("button", name="Issue $12.50")).to_be_visible()


def test_login_search_issue_and_a_double_click_is_one_credit(
    desk: "Desk", open_page: OpenPage, grants_of: Callable[[], int]
) -> None:
    from tests.console.desk import PASSWORD

    page = open_page("anonymous")
    page.goto("/console/")
    page.get_by_label("Username").fill("support")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="Home", exact=True)).to_be_visible()

    page.get_by_role("searchbox", name="Find a customer").fill("ada@acme.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Acme Robotics")).to_be_visible()
    page.get_by_role("link", name="Issue a credit").click()
    _fill(page, "1e3")
    page.get_by_role("button", name="Preview").click()
    expect(page.get_by_text("is not a plain decimal number")).to_be_visible()
    page.get_by_label("Amount in USD").fill("12.50")
    page.get_by_role("button", name="Preview").click()
    expect(page.locator("#preview-balances")).to_contain_text("$12.50")
    assert grants_of() == 0

    page.get_by_role("button", name="Issue $12.50").dblclick()
    expect(page.get_by_role("heading", name="Acme Robotics")).to_be_visible()
    expect(page.get_by_role("region", name="Credits")).to_contain_text("SUP-77")
    assert grants_of() == 1
    expect(page.get_by_text("Issued $12.50 of goodwill credit")).to_be_visible()


def test_a_double_click_with_the_guard_taken_away_is_one_credit(
    desk: "Desk", open_page: OpenPage, grants_of: Callable[[], int]
) -> None:
    """The script only spares a question: the server alone decides."""
    page = open_page("support")
    page.route("**/console/console*.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    page.goto(f"/console/customers/{desk.acme.pk}/credit/")
    _fill(page)
    page.get_by_role("button", name="Preview").click()
    issue = page.get_by_role("button", name="Issue $12.50")
    issue.evaluate("button => { button.form.submit(); button.form.submit(); button.click(); }")
    expect(page.get_by_role("heading", name="Acme Robotics")).to_be_visible()
    assert grants_of() == 1


def test_enter_twice_is_one_credit(desk: "Desk", open_page: OpenPage, grants_of: Callable[[], int]) -> None:
    page = open_page("support")
    _preview(page, desk)
    expect(page.get_by_role("button", name="Issue $12.50")).to_be_focused()
    page.evaluate("window.addEventListener('beforeunload', () => {})")
    page.keyboard.down("Enter")
    page.keyboard.up("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Acme Robotics")).to_be_visible()
    assert grants_of() == 1


def test_going_back_and_sending_again_is_one_credit(
    desk: "Desk", open_page: OpenPage, grants_of: Callable[[], int]
) -> None:
    page = open_page("support")
    _preview(page, desk)
    page.get_by_role("button", name="Issue $12.50").click()
    expect(page.get_by_role("heading", name="Acme Robotics")).to_be_visible()

    # Twice back at once: the preview in between answered a form, and the browser would ask before sending it again.
    page.evaluate("() => history.go(-2)")
    expect(page.get_by_text("Sending it again issues nothing")).to_be_visible()
    expect(page.get_by_label("Amount in USD")).to_have_count(0)
    assert grants_of() == 1


def test_sending_the_confirmation_again_is_one_credit(
    desk: "Desk", open_page: OpenPage, grants_of: Callable[[], int]
) -> None:
    """What the browser does when a person agrees to send a form again: the very same request."""
    page = open_page("support")
    _preview(page, desk)
    with page.expect_request(lambda request: request.method == "POST") as sent:
        page.get_by_role("button", name="Issue $12.50").click()
    expect(page.get_by_role("heading", name="Acme Robotics")).to_be_visible()
    request = sent.value
    again = page.request.post(request.url, data=request.post_data, headers=request.headers)
    assert "was issued already" in again.text()
    assert grants_of() == 1


def test_two_tabs_are_one_credit(
    desk: "Desk", open_context: Callable[..., BrowserContext], grants_of: Callable[[], int]
) -> None:
    context = open_context("support")
    one, two = context.new_page(), context.new_page()
    _preview(one, desk)
    _preview(two, desk)
    one.get_by_role("button", name="Issue $12.50").click()
    two.get_by_role("button", name="Issue $12.50").click()
    expect(two.get_by_text("was issued already")).to_be_visible()
    assert grants_of() == 1


def test_the_keyboard_alone_is_enough(desk: "Desk", open_page: OpenPage, grants_of: Callable[[], int]) -> None:
    page = open_page("support")
    page.goto("/console/")
    page.keyboard.press("/")
    expect(page.locator("#bo-search-box")).to_be_focused()
    page.keyboard.type("ada@acme.example")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Acme Robotics")).to_be_visible()

    _tab_to(page, "Issue a credit")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Issue a credit")).to_be_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # "Skip to the content"
    _tab_to(page, "Amount in USD")
    page.keyboard.type("3.00")
    _tab_to(page, "Reason")
    page.keyboard.type("Slow")
    _tab_to(page, "Ticket")
    page.keyboard.type("SUP-78")
    _tab_to(page, "Note")
    page.keyboard.type("Waited a day.")
    _tab_to(page, "Preview")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Issue $3.00")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Issued $3.00 of goodwill credit")).to_be_visible()
    assert grants_of() == 1


def _tab_to(page: Page, name: str) -> None:
    """Press Tab until the element of that name or label has the focus; it must show that it has it."""
    named = """() => {
        const it = document.activeElement;
        return (it.labels && it.labels.length ? it.labels[0].textContent : it.textContent).trim();
    }"""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate(named) == name:
            outline = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none", f"{name} does not show the focus"
            return
    raise AssertionError(f"Tab does not reach {name}")
