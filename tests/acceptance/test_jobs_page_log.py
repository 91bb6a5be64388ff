"""The log on a job's page in a real browser: it grows, and nobody loses the place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.plugins.browser import PATIENCE, opened, running_browser
from tests.unit.tools.jobs.browsing import serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.protocol.messages import STEP_LOGGER
from dioptra_worker.tools.jobs.page.job import log_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page, Route

QUICK = """
const real = setTimeout;
window.setTimeout = (call, pause) => real(call, Math.min(pause ?? 0, 100));
"""
"""Has the page look for news ten times a second."""
PLACE = """
() => {
  const log = document.querySelector("#log");
  return [log.scrollTop, getSelection().toString(),
    document.activeElement.textContent.trim(), document.querySelector(".run").open];
}
"""


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0.0), ("started", 1.0))
    dioptra.logs[7] = [_step(1, "load"), *_lines(0, 250)]
    return dioptra


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(name="page")
def _page(
    browser: Browser, dioptra: Dioptra, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Page]:
    monkeypatch.setattr(log_parts, "MAX_RECORDS", 100)
    expect.set_options(timeout=PATIENCE)
    with serving_page(dioptra) as served, opened(browser) as page:
        page.add_init_script(QUICK)
        page.route("**/page.js", _with_fewer_lines)
        page.goto(served.server.sign_in)
        page.goto(f"{served.server.address}jobs/7")
        yield page
    expect.set_options(timeout=5_000)


def _with_fewer_lines(route: Route) -> None:
    """Has the page keep 400 records and not 4000, which take a browser long."""
    answer = route.fetch()
    text = answer.text()
    assert "MAX_LINES = 4000" in text
    route.fulfill(response=answer, body=text.replace("LINES = 4000", "LINES = 400"))


def _step(number: int, name: str) -> tuple[str, str, str]:
    return "INFO", STEP_LOGGER, f"step {number} of 2: '{name}' runs task '{name}'"


def _lines(start: int, end: int) -> list[tuple[str, str, str]]:
    return [("INFO", "x", f"line {number}") for number in range(start, end)]


def test_nobody_loses_the_place(page: Page, dioptra: Dioptra) -> None:
    """While log and facts change, scroll position, selection and focus stay."""
    expect(page.locator(".lead")).to_contain_text("line 249")
    page.locator(".run summary").click()
    page.evaluate(
        """() => {
          const log = document.querySelector("#log");
          const line = log.querySelectorAll(".line")[20];
          log.scrollTop = line.offsetTop;
          getSelection().selectAllChildren(line.querySelector(".text"));
        }"""
    )
    page.get_by_role("link", name="demo").first.focus()
    before = page.evaluate(PLACE)
    assert before[1:] == ["line 170", "demo", True]
    dioptra.logs[7] += [*_lines(250, 260), _step(2, "fit"), *_lines(260, 270)]
    expect(page.locator(".lead")).to_contain_text("Step 2 of 2: fit (fit)")
    expect(page.locator(".lead")).to_contain_text("line 269")
    expect(page.locator("#log")).to_contain_text("line 269")
    assert page.evaluate(PLACE) == before


def test_who_is_at_the_end_stays_there(page: Page, dioptra: Dioptra) -> None:
    """The log follows; of a long one the oldest records leave the page."""
    dioptra.logs[7] += _lines(250, 650)
    expect(page.locator("#log .line").last).to_contain_text("line 649")
    end = "log => log.scrollHeight - log.scrollTop - log.clientHeight"
    log = page.locator("#log")
    assert log.evaluate(end) < 2
    assert log.locator(".line").count() == 400
    expect(log.locator(".line").first).to_contain_text("line 250")


def test_earlier_records(page: Page) -> None:
    """They are loaded part by part, above what is read, in the section they are of."""
    log = page.locator("#log")
    expect(log.locator("summary")).to_have_text(["Continued"])
    page.evaluate("document.querySelector('#log').scrollTop = 0")
    line = log.locator(".line", has_text="line 150")
    for left in (51, 0):
        top = line.evaluate("line => line.getBoundingClientRect().top")
        log.locator(".earlier").evaluate("link => link.click()")
        expect(log).to_have_attribute("data-start", str(left))
        moved = line.evaluate("line => line.getBoundingClientRect().top") - top
        assert abs(moved) < 60  # the link itself goes
    expect(log.locator(".earlier")).to_have_count(0)
    expect(log.locator("summary")).to_have_text(["Step 1 of 2: load (load)"])
    texts = log.locator(".line .text").all_inner_texts()
    assert texts[1:] == [f"line {number}" for number in range(250)]


def test_a_long_record(page: Page, dioptra: Dioptra) -> None:
    """It is cut, and shown whole by its link, whether it was there or came later."""
    dioptra.logs[7].append(("INFO", "x", "&lt;b&gt;" + "z" * 1_000_000))
    link = page.get_by_role("link", name="Show all 1,000,003 letters")
    link.press("Enter")
    expect(link).to_have_count(0)
    text = page.locator("#log .line .text").last
    assert text.evaluate("text => text.textContent.length") == 1_000_003
    assert page.locator("#log b").count() == 0
    expect(text).to_be_focused()
    page.reload()
    expect(link).to_have_count(1)
