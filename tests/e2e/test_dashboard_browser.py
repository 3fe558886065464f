"""The dashboard in a browser, during a small demo: as an operator walks through it, with script and without."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.support.api import ALL_SCOPES, new_token
from tests.support.browser import expect_browser, open_browser
from tests.support.programs import PATIENCE
from tests.support.scene import APPROVED, CAMPAIGN, LINESERVE, LISOLOO, RECIPIENTS, SPARE, open_scene

from tuma_worker.gateway.dashboard.front import PAGES
from tuma_worker.store.dead import DeadLetters

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Locator, Page
    from tests.support import servers
    from tests.support.houses import House

expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser(expect_browser()) as found:
        yield found


@pytest.fixture(scope="module")
def house(browser: Browser, server: servers.Server) -> Iterator[House]:
    assert browser.is_connected()  # without one there is no need of a demo
    with open_scene(server) as found:
        yield found


@pytest.fixture(scope="module")
def token(house: House) -> str:
    return new_token(house, "asha", *ALL_SCOPES, source="ops")


@contextmanager
def entered(context: BrowserContext, house: House, token: str) -> Iterator[Page]:
    """A page on which somebody has logged in. Whatever the browser complains about fails the test."""
    complaints: list[str] = []
    page = context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(house.gateway_url)
    page.get_by_label("API token").fill(token)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("navigation")).to_be_visible()
    yield page
    context.close()
    assert complaints == []


@pytest.fixture
def page(browser: Browser, house: House, token: str) -> Iterator[Page]:
    with entered(browser.new_context(), house, token) as found:
        yield found


def ended(card: Locator) -> int:
    """How many recipients of a campaign the page says have ended."""
    found = re.search(r"([\d\u202f]+) of [\d\u202f]+ recipients ended", card.inner_text())
    assert found is not None
    return int(found[1].replace("\u202f", ""))


def until_more_ended(card: Locator, before: int) -> None:
    expect(card).not_to_contain_text(f"{before} of {RECIPIENTS} recipients ended")
    assert ended(card) > before


def test_an_operator_sees_a_campaign_progress_and_pauses_and_resumes_it(page: Page) -> None:
    page.get_by_role("link", name="Campaigns").click()
    card = page.locator("article").filter(has_text=CAMPAIGN)
    expect(page.locator("#live")).to_have_text("live")
    until_more_ended(card, ended(card))
    card.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("status").filter(has_text=f"{CAMPAIGN}: pause:")).to_be_visible()
    expect(card).to_contain_text("Paused by asha")
    expect(card).not_to_contain_text("under way", use_inner_text=True)  # what was in flight has ended
    paused_at = ended(card)
    card.get_by_role("button", name="Resume").click()
    expect(card).not_to_contain_text("Paused by")
    until_more_ended(card, paused_at)


def test_an_operator_redrives_dead_letters_with_another_sender(page: Page, house: House) -> None:
    page.get_by_role("link", name="Dead letters", exact=True).click()
    page.get_by_text("rejected 3 · Redrive…").click()
    page.get_by_label("Sender").fill(APPROVED)
    page.once("dialog", lambda asked: asked.dismiss())
    page.get_by_role("button", name="Redrive all rejected").click()
    assert DeadLetters(house.redis, LINESERVE).size() == 3  # who is not sure does nothing
    page.once("dialog", lambda asked: asked.accept())
    page.get_by_role("button", name="Redrive all rejected").click()
    expect(page.get_by_text("3 recipients sent again, as 3 intents.")).to_be_visible()
    expect(page.get_by_text("Nobody died")).to_be_visible()


def test_a_page_keeps_the_focus_and_what_is_open_while_it_changes(page: Page) -> None:
    card = page.locator(f"article#{LISOLOO}")
    card.get_by_text("Pause…").click()
    button = card.get_by_role("button", name="Priority bulk")
    button.focus()
    seen = card.inner_text()
    expect(card).not_to_have_text(seen, use_inner_text=True)
    expect(button).to_be_focused()
    expect(button).to_be_visible()
    button.press("Enter")  # with the proof that the script has put into it
    expect(card).to_contain_text("Priority bulk is paused by asha")
    card.get_by_role("button", name="Resume").click()
    expect(card).not_to_contain_text("is paused")


def test_an_intent_is_found_by_keyboard_alone(page: Page, house: House) -> None:
    intent_id = house.send(SPARE, "+243990000001")
    page.keyboard.press("Tab")
    expect(page.get_by_text("Skip to the page")).to_be_focused()
    page.keyboard.press("/")
    page.keyboard.type(intent_id)
    page.keyboard.press("Enter")
    expect(page.get_by_text("the account is halted: money (1501)")).to_be_visible()


def test_nothing_is_wider_than_the_screen(page: Page, house: House) -> None:
    for one in PAGES:
        page.goto(f"{house.gateway_url}{one.path}")
        for summary in page.locator("summary").all():
            summary.click()
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 800})
            assert page.evaluate("document.documentElement.scrollWidth") == width, one.path


def test_without_script_all_is_read_and_done(browser: Browser, house: House, token: str) -> None:
    with entered(browser.new_context(java_script_enabled=False), house, token) as page:
        card = page.locator(f"article#{SPARE}")
        expect(card).to_contain_text("Halted: money (1501)")
        card.get_by_role("button", name="Resume").click()
        expect(page.get_by_role("status")).to_have_text(f"{SPARE} is resumed.")
        expect(card).not_to_contain_text("Halted")
