"""What the page asks before it acts, and how it searches on, in a real browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.plugins.browser import PATIENCE, opened, running_browser
from tests.unit.tools.jobs.browsing import Browser as Served
from tests.unit.tools.jobs.browsing import serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.tools.jobs.page import routes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


UP_TO_DATE = """
async () => {
  const rows = find("#rows"), answer = await ask(rows.dataset.source);
  replace(rows, await answer.text());
}
"""
"""What a list does every few seconds."""


@pytest.fixture(scope="module", name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0.0), ("started", 1.0))
    dioptra.put(99, ("queued", 0.0))
    return dioptra


@pytest.fixture(scope="module", name="served")
def _served(dioptra: Dioptra) -> Iterator[Served]:
    with serving_page(dioptra) as served:
        yield served


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


def test_keyboard(browser: Browser, served: Served, dioptra: Dioptra) -> None:
    """The keyboard opens a question, stays in it, and Escape leads back."""
    with opened(browser) as page:
        page.goto(served.server.sign_in)
        page.goto(f"{served.server.address}jobs/7")
        button = page.get_by_role("button", name="Cancel")
        button.focus()
        page.keyboard.press("Enter")
        dialog = page.get_by_role("dialog", name="Cancel train #7?")
        # What changes nothing has the focus, so that a second Enter does no harm.
        expect(dialog.get_by_role("link", name="Let it be")).to_be_focused()
        for _ in range(5):
            page.keyboard.press("Tab")
            outside = "!document.activeElement.closest('dialog, body:focus')"
            assert not page.evaluate(f"document.hasFocus() && {outside}")
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        expect(button).to_be_focused()
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Let it be").press("Enter")
        expect(dialog).to_have_count(0)
        expect(button).to_be_focused()
        assert page.url.endswith("/jobs/7")
    assert dioptra.submitted == []


@pytest.mark.parametrize("scripts", [True, False])
def test_rerun_with_another_value(
    browser: Browser, served: Served, dioptra: Dioptra, *, scripts: bool
) -> None:
    """With and without scripts a value is changed, and refused if it is wrong."""
    with opened(browser, java_script_enabled=scripts) as page:
        page.goto(served.server.sign_in)
        page.goto(f"{served.server.address}jobs/7")
        page.get_by_role("button", name="Re-run").click()
        page.get_by_label("rate").fill("quick")
        assert dioptra.submitted == []
        page.get_by_role("button", name="Run again").click()
        expect(page.get_by_role("alert")).to_contain_text("'quick' is no number")
        expect(page.get_by_label("rate")).to_have_value("quick")
        page.get_by_label("rate").fill("0.25")
        page.get_by_role("button", name="Run again").click()
        page.wait_for_url("**/jobs/99")
    assert dioptra.submitted.pop()["values"] == {"rate": "0.25"}


def test_a_mistyped_filter(browser: Browser, served: Served) -> None:
    """The form stays as it was typed, with the focus where the mistake is."""
    with opened(browser) as page:
        page.goto(served.server.sign_in)
        page.get_by_label("Experiment").fill("dmeo")
        page.get_by_label("Experiment").press("Enter")
        expect(page.locator("#mistakes")).to_contain_text("there is 'demo'")
        expect(page.get_by_label("Experiment")).to_have_value("dmeo")
        expect(page.get_by_label("Experiment")).to_be_focused()
        page.get_by_label("Experiment").fill("demo")
        page.get_by_label("Experiment").press("Enter")
        expect(page.locator("tr[data-job='7']")).to_be_visible()


def test_a_search_goes_on(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list that is not looked through yet says so, and goes on by itself."""
    monkeypatch.setattr(routes, "SEARCH_TIME", 0.0)
    dioptra = Dioptra()
    dioptra.put(1, ("queued", 0.0), queue="cpu")
    for job in range(2, 250):
        dioptra.put(job, ("queued", float(job)))
    with serving_page(dioptra) as served, opened(browser) as page:
        page.goto(served.server.sign_in)
        page.goto(f"{served.server.address}?queue=cpu")
        expect(page.get_by_text("older jobs are still to be")).to_be_visible()
        expect(page.locator("tr[data-job='1']")).to_be_visible(timeout=PATIENCE)
        expect(page.locator("[data-unseen]")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False])
def test_several_jobs(
    browser: Browser, served: Served, dioptra: Dioptra, *, scripts: bool
) -> None:
    """With and without scripts jobs are chosen, and one question is asked of all."""
    dioptra.put(20, ("queued", 0.0), ("started", 1.0), ("failed", 2.0))
    dioptra.put(21, ("queued", 0.0), ("started", 1.0), ("finished", 2.0))
    phone = {"width": 390, "height": 844}
    with opened(browser, java_script_enabled=scripts, viewport=phone) as page:
        page.goto(served.server.sign_in)
        page.goto(f"{served.server.address}?user=ada")
        form = page.get_by_role("form", name="Chosen jobs")
        if scripts:
            expect(form.get_by_role("button", name="Delete")).to_be_disabled()
        for job in (7, 20, 21):
            page.get_by_role("checkbox", name=f"#{job}").press("Space")
        if scripts:
            expect(form.get_by_role("status")).to_have_text("3 jobs are chosen")
            page.evaluate(UP_TO_DATE)  # which leaves the choice as it is
            expect(page.get_by_role("checkbox", name="#20")).to_be_checked()
        form.get_by_role("button", name="Delete").click()
        name = "Delete 2 jobs?"
        dialog, section = (
            page.get_by_role("dialog", name=name),
            page.get_by_role("region", name=name),
        )
        question = dialog if scripts else section
        expect(question.get_by_role("link", name="Keep them")).to_be_focused()
        expect(question.get_by_role("list", name="Jobs")).to_contain_text("train #20")
        expect(question.get_by_role("list", name="Left out")).to_contain_text("#7")
        if scripts:
            page.keyboard.press("Escape")
            button = form.get_by_role("button", name="Delete")
            expect(button).to_be_focused()
            button.press("Enter")
        expect(question).to_be_visible()
        assert {20, 21} <= dioptra.jobs.keys()
        del dioptra.jobs[21]  # somebody else was faster
        question.get_by_role("button", name="Delete 2 jobs").click()
        expect(page.get_by_role("heading")).to_have_text("1 of 2 jobs were deleted")
        expect(page.get_by_role("alert").last).to_contain_text("#21: there is no such")
        page.get_by_role("link", name="Back to the jobs").click()
        assert page.url.endswith("/?user=ada")
        page.get_by_role("button", name="Choose all on this page").click()
        expect(page.locator("[form=chosen]:not(:checked)")).to_have_count(0)
        if scripts:
            page.goto(f"{served.server.address}?chosen=all")
            page.evaluate(UP_TO_DATE)
            expect(page.locator("[form=chosen]:not(:checked)")).to_have_count(0)
        page.get_by_role("button", name="Compare").click()
        page.wait_for_url("**/compare?first=7&second=99")
    assert 20 not in dioptra.jobs
