"""`make screenshots`: the dashboard's pictures in the documentation, taken of a small demo by the machine's Chromium."""

from __future__ import annotations

import itertools
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from tests.support import servers
from tests.support.api import ALL_SCOPES, new_token
from tests.support.browser import executable, open_browser
from tests.support.scene import LISOLOO, open_scene, pause_a_source, with_a_past

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, ViewportSize

_SCREENS: dict[str, tuple[ViewportSize, float]] = {
    "desktop": ({"width": 1280, "height": 880}, 1.0),
    "phone": ({"width": 390, "height": 844}, 2.0),
}
_SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
_PAGES = {"overview": "/", "campaigns": "/campaigns"}
_BEGUN = 12  # calls a campaign has made when it is worth a picture


def main() -> int:
    """Take every page on every screen, by day and by night, into a folder. The exit status is 1 where there is no browser."""
    folder, path = Path(sys.argv[1]), executable()
    if path is None:
        print("no Chromium on PATH: apt-get install chromium", file=sys.stderr)  # noqa: T201 - a command speaks
        return 1
    folder.mkdir(parents=True, exist_ok=True)
    server = servers.start()
    try:
        with open_browser(path) as browser, open_scene(server, before=with_a_past) as house:
            token = new_token(house, "asha", *ALL_SCOPES, source="ops")
            pause_a_source(house)
            house.sandbox.until_calls(LISOLOO, _BEGUN)
            for screen, scheme in itertools.product(_SCREENS, _SCHEMES):
                with _entered(browser, house.gateway_url, token, screen, scheme) as page:
                    _take(page, house.gateway_url, folder, f"{screen}-{scheme}")
    finally:
        server.stop()
    return 0


@contextmanager
def _entered(browser: Browser, url: str, token: str, screen: str, scheme: Literal["light", "dark"]) -> Iterator[Page]:
    """A page on such a screen, on which somebody has logged in."""
    size, scale = _SCREENS[screen]
    context = browser.new_context(viewport=size, device_scale_factor=scale, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto(url)
    page.get_by_label("API token").fill(token)
    page.get_by_role("button", name="Log in").click()
    yield page
    context.close()


def _take(page: Page, url: str, folder: Path, what: str) -> None:
    for name, path in _PAGES.items():
        page.goto(f"{url}{path}")
        page.get_by_role("status").filter(has_text="live").wait_for()
        page.screenshot(path=folder / f"{name}-{what}.png")


if __name__ == "__main__":
    sys.exit(main())
