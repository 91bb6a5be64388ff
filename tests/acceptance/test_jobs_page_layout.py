"""The list of jobs in a real browser, at the widths of phones, tablets and screens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.plugins.browser import opened, running_browser
from tests.unit.tools.jobs.browsing import serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

WIDTHS = (390, 700, 900, 1024, 1280, 1920)
LONG = "adversarial-training-of-a-model-whose-name-goes-on_" * 3

MISFITS = """
() => {
  const found = [];
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`the page is ${wide} pixels too wide`);
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  while (texts.nextNode()) {
    const text = texts.currentNode, holder = text.parentElement;
    const isSeen = holder.checkVisibility() &&
      !holder.closest(".visually-hidden, .skip");
    if (!isSeen || !text.data.trim()) continue;
    const style = getComputedStyle(holder);
    const isCut = holder.scrollWidth > holder.clientWidth && style.display !== "inline";
    if (isCut && style.textOverflow !== "ellipsis") found.push(`cut: ${text.data}`);
    for (const word of text.data.matchAll(/[\\p{L}\\p{N}_]+/gu)) {
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const lines = new Set([...range.getClientRects()].map((box) => box.top));
      if (lines.size > 1) found.push(`broken: ${word[0]}`);
    }
  }
  return found;
}
"""
"""Says what is wider than the page, cut without an ellipsis, or broken in a word."""


@pytest.fixture(scope="module", name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    for job, word in enumerate(("a", "word", LONG, "x" * 200)):
        dioptra.put(
            100_000 + job,
            *(("queued", 0.0), ("started", 1.0), ("finished", 4_000.0)),
            queue=word,
            user=word,
            experiment=word,
            name=word,
            description=word,
        )
    dioptra.put(7, ("queued", 0.0), ("started", 1.0), description="Two words " * 40)
    return dioptra


@pytest.fixture(scope="module", name="page")
def _page(dioptra: Dioptra) -> Iterator[Page]:
    with (
        serving_page(dioptra) as served,
        running_browser() as browser,
        opened(browser) as page,
    ):
        page.goto(served.server.sign_in)
        yield page


@pytest.mark.parametrize("width", WIDTHS)
def test_list_at_a_width(page: Page, width: int) -> None:
    """Nothing is wider than the screen, and no word is broken."""
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate(MISFITS) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_are_shown_whole(page: Page, width: int) -> None:
    """What ends in an ellipsis is there as a whole for the mouse and the keyboard."""
    page.set_viewport_size({"width": width, "height": 800})
    row = page.locator("tr[data-job='100002']")
    shown = "(cut) => getComputedStyle(cut, '::after').content"
    for cut in row.locator(".cut").all():
        assert cut.evaluate("(cut) => cut.firstElementChild.clientWidth > 20")
        reached = cut.locator("> *").first
        reached.focus()
        assert cut.evaluate(shown) == f'"{LONG}"'
        assert page.evaluate(MISFITS) == []
        reached.blur()
        assert cut.evaluate(shown) == "none"
        reached.hover()
        assert cut.evaluate(shown) == f'"{LONG}"'
        page.mouse.move(1, 1)


def test_columns_are_called_as_their_filters(page: Page) -> None:
    """Each filter has the name of its column, and comes in the same order."""
    page.set_viewport_size({"width": 1280, "height": 800})
    columns = page.locator(".jobs thead th").all_inner_texts()
    fields = page.locator("#filters label").all_inner_texts()
    assert columns[1 : len(fields) + 1] == fields  # after that of the boxes


def test_a_job_with_long_names(page: Page) -> None:
    """Its page is no wider than the screen either, whatever it is called."""
    page.goto(f"{page.url}jobs/100003")
    for width in (390, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
