"""A real browser without a window, for pages: Chromium, driven by Playwright."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import sync_playwright

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PLACES = ("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",)
# Without a window, and without anything that a browser does of its own accord.
FLAGS = (
    "--no-sandbox",  # as root it cannot have one; it sees our own pages only
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
PATIENCE = 60_000.0
"""Milliseconds that anything on a page may take."""


def program() -> str | None:
    """Where a browser is, if there is one."""
    found = (shutil.which(name) for name in NAMES)
    there = (place for place in PLACES if Path(place).exists())
    return next(filter(None, [*found, *there]), None)


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Run a browser until the end of the block."""
    path = program()
    if path is None:
        pytest.skip("there is no Chromium: install it (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, **options: object) -> Iterator[Page]:
    """Open a tab; nothing may go wrong in it.

    Args:
        browser: The browser.
        **options: As Playwright's ``new_context`` takes them, such as *viewport*.

    Raises:
        AssertionError: A script broke, something was refused by the page's policy, or
            a dialog came up.
    """
    troubles: list[str] = []
    context = browser.new_context(**options)  # type: ignore[arg-type]
    page = context.new_page()
    page.set_default_timeout(PATIENCE)
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
    page.on(
        "console",
        lambda message: (
            troubles.append(message.text) if message.type == "error" else None
        ),
    )
    yield page
    context.close()
    assert troubles == []
