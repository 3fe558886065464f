"""A real browser in tests: the machine's own Chromium, without a window."""

from __future__ import annotations

import shutil
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class NoBrowser(UserWarning):
    """The dashboard was not looked at by a browser: there is none here."""


def executable() -> str | None:
    """Where this machine's Chromium is; None where it has none."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


def expect_browser() -> str:
    """Where this machine's Chromium is. Skips the test where it has none, and says so aloud."""
    found = executable()
    if found is None:
        with warnings.catch_warnings():
            warnings.simplefilter("always")  # elsewhere a warning is an error; here it is what must be seen
            warnings.warn(f"NO BROWSER: install one of {', '.join(_NAMES)}", NoBrowser, stacklevel=2)
        pytest.skip(f"no browser: install one of {', '.join(_NAMES)}")
    return found


@contextmanager
def open_browser(path: str) -> Iterator[Browser]:
    """The browser, until the end of the `with` block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        try:
            yield browser
        finally:
            browser.close()
