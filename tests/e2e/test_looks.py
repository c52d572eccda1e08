"""The main pages as people see them: light, dark and narrow, without serious findings of axe; pictures in var/."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.conftest import Watch

if TYPE_CHECKING:
    from tests.console.desk import Desk

PICTURES = Path(__file__).resolve().parents[2] / "var" / "screenshots"
SIZES = {"light": (1280, 900), "dark": (1280, 900), "narrow": (390, 844)}


def _receivable(desk: "Desk") -> int:
    from ledger.models import Account

    return int(Account.objects.get(code="1100", customer_key=desk.acme.key).pk)


def _shared() -> int:
    from ledger.models import Account

    return int(Account.objects.get(code="4000").pk)


def _drawing_entry() -> UUID:
    from ledger.models import Entry

    return Entry.objects.filter(creditdraw__isnull=False).order_by("pk")[0].public_id


def _used_grant() -> int:
    from ledger.models import CreditGrant

    return int(CreditGrant.objects.filter(creditdrawallocation__isnull=False).order_by("pk")[0].pk)


def _drawdown() -> int:
    from invoicing.models import Drawdown

    return int(Drawdown.objects.get().pk)


def _prepaid() -> int:
    from plans.models import Customer

    return int(Customer.objects.get(key="prepaid-co").pk)


def _pages(desk: "Desk") -> dict[str, tuple[str, str]]:
    line = desk.usage_line().pk
    return {
        "login": ("anonymous", "/console/login/"),
        "home": ("finance", "/console/"),
        "home-engineer": ("engineer", "/console/"),
        "search": ("finance", "/console/search/?q=a"),
        "customers": ("support", "/console/plans/customer/"),
        "customer": ("support", f"/console/customers/{desk.acme.pk}/"),
        "credit": ("support", f"/console/customers/{desk.acme.pk}/credit/"),
        "invoices": ("finance", "/console/invoicing/invoice/"),
        "invoice": ("finance", f"/console/invoices/{desk.paid().pk}/"),
        "explain": ("finance", f"/console/lines/{line}/explain/"),
        "explain-events": ("finance", f"/console/lines/{line}/explain/events/?from=2025-01-06T00&span=day"),
        "drawdown": ("finance", f"/console/drawdowns/{_drawdown()}/"),
        "customer-prepaid": ("support", f"/console/customers/{_prepaid()}/"),
        "journal": ("finance", "/console/journal/"),
        "periods": ("finance", "/console/periods/"),
        "trial-balance": ("finance", "/console/trial-balance/"),
        "trial-balance-before": ("finance", "/console/trial-balance/?until=2020-01-01"),
        "account": ("finance", f"/console/accounts/{_receivable(desk)}/"),
        "account-shared": ("finance", f"/console/accounts/{_shared()}/?since=2025-01-02&until=2025-03-01"),
        "statement": ("support", f"/console/customers/{desk.acme.pk}/statement/?scope=all"),
        "entry": ("finance", f"/console/entries/{_drawing_entry()}/"),
        "grant": ("support", f"/console/grants/{_used_grant()}/"),
        "accounts": ("finance", "/console/ledger/account/"),
        "approvals": ("finance", "/console/approvals/"),
        "approvals-none": ("finance", "/console/approvals/?state=rejected"),
        "approval": ("finance", "/console/approvals/1/"),
        "approval-own": ("support", "/console/approvals/1/"),
        "limits": ("finance", "/console/limits/"),
        "credits": ("finance", f"/console/customers/{desk.acme.pk}/credits/"),
        "credits-waiting": ("finance", f"/console/customers/{desk.cardless.pk}/credits/"),
        "credits-none": ("support", f"/console/customers/{desk.declined.pk}/credits/"),
        "top-up": ("finance", f"/console/customers/{desk.acme.pk}/top-up/"),
        "auto-top-up": ("finance", f"/console/customers/{desk.acme.pk}/auto-top-up/"),
        "schedule": ("finance", f"/console/customers/{desk.acme.pk}/schedule/"),
        "transfer": ("support", f"/console/customers/{desk.acme.pk}/transfer/"),
        "units": ("finance", "/console/units/"),
        "inbox": ("engineer", "/console/invoicing/stripeevent/"),
        "webhook": ("engineer", "/console/invoicing/stripeevent/1/change/"),
        "events": ("engineer", "/console/events/"),
        "batches": ("engineer", "/console/batches/"),
        "keys": ("engineer", "/console/keys/"),
        "plan": ("support", "/console/plans/plan/1/change/"),
        "password": ("support", "/console/password_change/"),
        "not-found": ("support", "/console/no/such/page/"),
        "forbidden": ("support", "/console/journal/"),
    }


@pytest.mark.parametrize("look", list(SIZES))
def test_every_main_page_looks_right(quiet_desk: "Desk", open_page: Callable[..., Page], look: str) -> None:
    width, height = SIZES[look]
    scheme = "dark" if look == "dark" else "light"
    people: dict[str, Page] = {}
    findings: dict[str, Any] = {}
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, (person, url) in _pages(quiet_desk).items():
        if person not in people:
            people[person] = open_page(person, color_scheme=scheme, viewport={"width": width, "height": height})
        page = people[person]
        page.goto(url, wait_until="load")
        expect(page.locator("main")).to_have_count(1)
        assert ("dark" in (page.locator("html").get_attribute("class") or "").split()) == (look == "dark"), name
        page.wait_for_function("document.fonts.status === 'loaded'")
        page.screenshot(path=PICTURES / f"{name}-{look}.png", full_page=True)
        scroll = page.evaluate("document.documentElement.scrollWidth")
        assert scroll <= width, f"{name} scrolls sideways: {scroll} of {width}"
        if look != "narrow":  # the same words and colours as in light
            findings |= _serious(name, page)
    assert findings == {}


def _serious(name: str, page: Page) -> dict[str, Any]:
    found = Axe().run(page).response["violations"]
    return {
        f"{name}: {one['id']}": [node["html"][:160] + " | " + node["failureSummary"][:200] for node in one["nodes"][:3]]
        for one in found
        if one["impact"] in ("serious", "critical")
    }


def test_the_watch_would_see_a_violation(quiet_desk: "Desk", browser: Browser, address: str) -> None:
    """The other tests mean something only if this one finds what it planted."""
    watch, context = Watch(address), browser.new_context(base_url=address)
    watch.over(context)
    page = context.new_page()
    page.goto("/console/login/")
    assert watch.said == []
    page.evaluate("""() => new Promise((resolve) => {
        let seen = 0;
        document.addEventListener("securitypolicyviolation", () => { if (++seen === 2) resolve(seen); });
        const script = document.createElement("script");
        script.textContent = "window.planted = 1";
        document.body.append(script);
        document.body.append(Object.assign(new Image(), {src: "http://192.0.2.1/pixel.png"}));
    })""")
    assert page.evaluate("window.planted") is None
    assert any("script-src" in said for said in watch.said), watch.said
    assert any("img-src" in said for said in watch.said), watch.said
    context.close()


def test_axe_would_see_a_fault(quiet_desk: "Desk", open_page: Callable[..., Page]) -> None:
    page = open_page("anonymous")
    page.goto("/console/login/")
    page.evaluate("() => document.body.append(document.createElement('button'))")
    assert [name for name in _serious("planted", page) if "button-name" in name]


def test_a_charts_table_twin_says_the_same(quiet_desk: "Desk", open_page: Callable[..., Page]) -> None:
    page = open_page("finance")
    page.goto("/console/")
    drawn = page.evaluate(
        "() => Chart.getChart(document.querySelector('canvas.chart')).data.datasets[0].data.filter(v => +v).map(String)"
    )
    page.get_by_text("Context Tokens as a table").click()
    told = page.locator("details[open] tbody td.bo-num").all_inner_texts()
    assert [text.replace(",", "") for text in told] == drawn
    assert len(drawn) > 10


def test_the_colours_are_chosen_and_remembered(quiet_desk: "Desk", open_page: Callable[..., Page]) -> None:
    page = open_page("support", color_scheme="light")
    page.goto("/console/")
    page.get_by_role("button", name="Dark").click()
    page.reload()
    assert "dark" in (page.locator("html").get_attribute("class") or "").split()
    expect(page.get_by_role("button", name="Dark")).to_have_attribute("aria-pressed", "true")


def test_the_menu_of_a_narrow_screen_opens_and_closes_by_keyboard(
    quiet_desk: "Desk", open_page: Callable[..., Page]
) -> None:
    page = open_page("support", viewport={"width": 390, "height": 844})
    page.goto("/console/")
    menu = page.get_by_role("button", name="Menu")
    expect(page.get_by_role("link", name="Invoices")).to_be_hidden()
    menu.press("Enter")
    expect(page.get_by_role("link", name="Invoices")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("link", name="Invoices")).to_be_hidden()
    expect(menu).to_be_focused()


def test_the_filters_of_a_list_open_by_keyboard(quiet_desk: "Desk", open_page: Callable[..., Page]) -> None:
    page = open_page("finance")
    page.goto("/console/invoicing/invoice/")
    page.get_by_role("button", name="Filters").press("Enter")
    page.get_by_role("link", name="Open").click()
    expect(page.locator("#result_list")).not_to_contain_text("Paid")
