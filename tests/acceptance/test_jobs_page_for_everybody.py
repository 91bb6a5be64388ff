"""The page in a real browser, for who uses a keyboard, a screen reader, or paper."""

from __future__ import annotations

import base64
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.plugins.axe import grave_findings
from tests.plugins.browser import opened, running_browser
from tests.plugins.example_job import ExampleJob
from tests.plugins.faint import FAINT_TEXTS
from tests.unit.api.scripted import Answer
from tests.unit.tools.jobs.browsing import serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from playwright.sync_api import Browser, Page

    from dioptra_worker.tools.capsule.making import Source

    OpenPage = Callable[..., AbstractContextManager[Page]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PAGES = {
    "list": "",
    "empty list": "?user=nobody",
    "job": "jobs/7",
    "failed job": "jobs/9",
    "re-run": "jobs/7/rerun",
    "cancel": "jobs/10/cancel",
    "cancel several": "chosen?do=cancel&job-7=on&job-10=on",
    "nothing to delete": "chosen?do=delete&job-10=on",
    "download several": "chosen?do=download&job-7=on&job-8=on",
    "compare several": "chosen?do=compare&job-7=on&job-8=on&job-9=on",
    "metrics": "jobs/7/metrics",
    "compare": "compare?first=7&second=8",
    "what to compare": "compare?first=7",
    "wrong": "compare?first=x",
    "table": "jobs/7/artifacts/83/preview",
    "text": "jobs/7/artifacts/84/preview",
    "image": "jobs/7/artifacts/85/preview",
}
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAA"
    "AABJRU5ErkJggg=="
)
SVG = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(3)"><script>x</script>'


@contextmanager
def _open_source(job_id: int) -> Iterator[Source]:
    yield ExampleJob(factor=float(job_id))


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module", name="open_page")
def _open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens one of the pages of some jobs, in a tab of its own."""
    dioptra = Dioptra(
        metrics={
            "loss": [math.exp(-step / 8) for step in range(60)],
            "accuracy": [1 - math.exp(-step / 8) for step in range(60)],
            "auc": [0.93],
        }
    )
    for job, status in (
        (7, "finished"),
        (8, "finished"),
        (9, "failed"),
        (10, "queued"),
    ):
        changes = [("queued", 0.0), ("started", 1.0), (status, 5.0)]
        dioptra.put(job, *(changes[:1] if status == "queued" else changes))
        dioptra.logs[job] = [
            ("INFO", "dioptra_worker.job", "step 1 of 1: 'fit' runs task 'train'"),
            ("DEBUG", "x", "small"),
            ("WARNING", "x", "careful"),
            ("ERROR", "x", "no such luck"),
        ]
    dioptra.put_artifact(83, "days.csv", Answer(body=b"day,loss\n1,0.5\n"))
    dioptra.put_artifact(84, "plot.svg", Answer(body=SVG.encode()))
    dioptra.put_artifact(85, "plot.png", Answer(body=PNG))

    with serving_page(dioptra, open_source=_open_source) as served:

        @contextmanager
        def open_page(path: str, **options: object) -> Iterator[Page]:
            with opened(browser, **options) as page:
                page.goto(served.server.sign_in)
                page.goto(served.server.address + path)
                yield page

        yield open_page


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
@pytest.mark.parametrize("path", PAGES.values(), ids=PAGES)
def test_nobody_is_kept_out(
    path: str, scheme: str, width: int, open_page: OpenPage
) -> None:
    """axe-core finds nothing serious, texts have contrast, and nothing is too wide."""
    screen = {"width": width, "height": 844}
    with open_page(path, color_scheme=scheme, viewport=screen) as page:
        _assert_for_everybody(page, width)


def _assert_for_everybody(page: Page, width: int) -> None:
    assert grave_findings(page) == []
    assert page.evaluate(FAINT_TEXTS) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_what_came_of_several_jobs(
    scheme: str, width: int, open_page: OpenPage
) -> None:
    """The page behind the question is for everybody, too."""
    screen = {"width": width, "height": 844}
    asked = "chosen?do=rerun&job-7=on&job-9=on"
    with open_page(asked, color_scheme=scheme, viewport=screen) as page:
        page.locator("form button[type=submit]").last.click()
        page.wait_for_url("**/chosen/outcome?of=*")
        _assert_for_everybody(page, width)


def test_values_under_the_pointer(open_page: OpenPage) -> None:
    """A chart tells the values of the step under the pointer, and then its last."""
    with open_page("jobs/7/metrics") as page:
        plot = page.get_by_role("img", name="metrics: ")
        place = plot.bounding_box()
        assert place is not None
        at, keys = page.locator(".at"), page.locator(".key")
        expect(at).to_have_text("at step 59")
        page.mouse.move(place["x"] + place["width"] * 10 / 59, place["y"] + 50)
        expect(at).to_have_text("at step 10")
        expect(keys.nth(0)).to_have_text("accuracy 0.7135")
        expect(keys.nth(1)).to_have_text("loss 0.2865")
        expect(page.locator(".pointer")).to_have_css("visibility", "visible")
        page.mouse.move(0, 0)
        expect(at).to_have_text("at step 59")


def test_values_by_keyboard(open_page: OpenPage) -> None:
    """Tab leads to a chart, arrows from step to step, and screen readers are told."""
    with open_page("jobs/7/metrics") as page:
        page.get_by_role("button", name="Draw").focus()
        page.keyboard.press("Tab")
        slider = page.get_by_role("slider", name="Step of metrics")
        expect(slider).to_be_focused()
        for _ in range(2):
            page.keyboard.press("ArrowLeft")
        expect(page.locator(".at")).to_have_text("at step 57")
        expect(slider).to_have_attribute(
            "aria-valuetext", "step 57: accuracy 0.9992, loss 0.0008047"
        )
        page.keyboard.press("Home")
        expect(page.locator(".at")).to_have_text("at step 0")
        page.get_by_text("As a table").click()
        expect(page.get_by_role("row", name="57", exact=False).first).to_be_visible()


def test_over_each_other(open_page: OpenPage) -> None:
    """The metrics that are chosen are drawn in one chart, on the chosen scale."""
    with open_page("jobs/7") as page:
        page.get_by_role("link", name="Draw metrics over each other").click()
        page.get_by_role("checkbox", name="accuracy").uncheck()
        page.get_by_label("Values", exact=True).select_option("logarithm")
        page.get_by_role("button", name="Draw").click()
        page.wait_for_url("**scale=logarithm**")
        expect(page.locator("polyline")).to_have_count(1)
        expect(page.get_by_role("checkbox", name="accuracy")).not_to_be_checked()


def test_compare(open_page: OpenPage) -> None:
    """From a job's page to what differs from another takes two clicks."""
    with open_page("jobs/7") as page:
        page.get_by_role("link", name="Compare").click()
        page.get_by_role("link", name="#8").click()
        page.get_by_role("link", name="Parameters: 1").click()
        row = page.get_by_role("row", name="factor")
        expect(row).to_contain_text("≠ differs")
        chart = page.get_by_role("img", name="number: #7: 2 values")
        expect(chart.locator("polyline")).to_have_count(2)


def test_an_artifact_does_nothing(open_page: OpenPage) -> None:
    """An SVG with scripts is shown as text, and a picture as a picture."""
    with open_page("jobs/7") as page:
        small = page.get_by_role("img", name="plot.png")
        expect(small).to_have_js_property("naturalWidth", 1)
        page.get_by_role("link", name="Preview plot.svg").click()
        expect(page.locator("pre")).to_have_text(SVG)
        page.go_back()
        small.click()
        expect(page.get_by_role("img", name="plot.png")).to_be_visible()
        assert page.url.endswith("/artifacts/85/preview")


def test_on_paper(open_page: OpenPage) -> None:
    """What is printed has the log whole, in dark letters, and nothing to click."""
    with open_page("jobs/7", color_scheme="dark") as page:
        page.emulate_media(media="print", color_scheme="dark")
        expect(page.locator(".buttons").first).to_be_hidden()
        log = page.locator("#log")
        expect(log).to_have_css("max-height", "none")
        colours = page.evaluate(
            "[document.body, document.querySelector('.card')].map((it) =>"
            " getComputedStyle(it).backgroundColor + getComputedStyle(it).color)"
        )
        assert colours == ["rgb(255, 255, 255)rgb(0, 0, 0)"] * 2
        assert page.evaluate(FAINT_TEXTS) == []
