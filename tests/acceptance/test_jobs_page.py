"""``dioptra-worker jobs serve`` in a real browser, against the real platform."""

from __future__ import annotations

import re
import tarfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect
from tests.plugins.browser import PATIENCE, opened, running_browser
from tests.plugins.faint import FAINT_TEXTS
from tests.plugins.people import Person
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from playwright.sync_api import Browser, Page
    from tests.plugins.testbed import Platform

    from dioptra_worker.tools.local import LocalStack

    OpenPage = Callable[..., AbstractContextManager[Page]]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SOURCE = """
@pyplugs.register
def greet(name):
    print("<script>alert('" + name + "')</script><img src=x onerror=alert(2)>")
    LOG.warning("careful")
    jobs = get_authenticated_worker_client(LOG).jobs
    for step in range(5):
        jobs.append_metric_by_id(os.environ["__JOB_ID"], "loss", 1 / (step + 1), step)
    return name


@pyplugs.register
def wait_for_file(path):
    print("waiting now")
    while not Path(path).exists():
        time.sleep(0.05)
    print("waited <img src=x onerror=alert(3)> enough")


@pyplugs.register
def boom():
    raise ValueError("no such luck")


from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client
"""
DOWNLOADS = r"""

@pyplugs.register
def folder():
    return {"one.csv": "1", "more/two.csv": "2"}


class Odd(ArtifactTaskInterface):
    @staticmethod
    def serialize(working_dir, name, contents, **kwargs):
        path = Path(working_dir, "größe 'a' \"b\"; <i>.html")
        path.write_text(contents)
        return path

    @staticmethod
    def deserialize(working_dir, path, **kwargs):
        return None

    @staticmethod
    def validation():
        return None
"""
MARKUP = "waited <img src=x onerror=alert(3)> enough"
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True}


@pytest.fixture(scope="module", name="browser")
def _browser() -> Iterator[Browser]:
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="module", name="sign_in")
def _sign_in(
    stack: LocalStack, platform: Platform, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """What is printed to open, while a worker serves the platform's queue."""
    folder = tmp_path_factory.mktemp("page")
    person = Person(stack.environment(), folder)
    with (
        worker(stack.environment(), folder, platform.queue),
        person.calling("jobs", "serve", "--port", 0) as call,
    ):
        call.wait_for("token=")
        found = re.search(r"are at (http://\S+)\n", call.text)
        assert found is not None, call.text
        yield found[1]
        call.process.terminate()
        assert call.wait() == 0, call.text
    assert "Traceback" not in call.text


@pytest.fixture(scope="module", name="address")
def _address(sign_in: str) -> str:
    """Where the page is, for who was let in."""
    return sign_in.partition("?")[0]


@pytest.fixture(name="open_page")
def _open_page(browser: Browser, sign_in: str) -> OpenPage:
    """Opens a tab that was let in by the printed address."""

    @contextmanager
    def open_page(**options: object) -> Iterator[Page]:
        with opened(browser, **options) as page:
            page.goto(sign_in)
            assert "token" not in page.url
            yield page

    return open_page


@pytest.fixture(scope="module", name="greeting")
def _greeting(platform: Platform, address: str) -> int:
    """A finished job with markup in its log, a metric and an artifact."""
    assert address
    entrypoint = platform.entrypoint(
        SOURCE,
        {"greeting": {"greet": ["$name"]}},
        parameters={"name": "World"},
        artifact_outputs={"note": {"contents": "$greeting", "task": {"name": "Text"}}},
    )
    return platform.run(entrypoint, values={"name": "Ada"})


@pytest.fixture(scope="module", name="failing")
def _failing(platform: Platform, address: str) -> int:
    """A job that has failed."""
    assert address
    return platform.run(
        platform.entrypoint(SOURCE, {"breaking": {"boom": []}}), ends="failed"
    )


def _ids(page: Page) -> list[int]:
    """The jobs of the list, once it has looked through all that there are."""
    expect(page.locator("[data-unseen]")).to_have_count(0, timeout=4 * PATIENCE)
    rows = page.locator("tr[data-job]").all()
    return [int(row.get_attribute("data-job") or 0) for row in rows]


def test_filter_and_open(
    platform: Platform, open_page: OpenPage, address: str, greeting: int, failing: int
) -> None:
    """The list is filtered by typing and choosing, and a job opened by its name."""
    with open_page() as page:
        page.goto(address)
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.get_by_label("Queue", exact=True).fill(platform.queue)
        page.get_by_role("button", name="Filter").click()
        page.wait_for_url("**queue=**")
        assert _ids(page) == [failing, greeting]
        assert sum("/?queue=" in url for url in asked) == 1  # a search may take long
        page.get_by_label("Status").select_option("failed")
        page.wait_for_url("**status=failed**")
        assert _ids(page) == [failing]
        name = platform.job(failing)["entrypoint"]["name"]
        page.get_by_role("link", name=name).click()
        page.wait_for_url(f"**/jobs/{failing}")
        expect(page.locator("#log")).to_contain_text("no such luck")
        expect(page.locator("#parts .pill")).to_contain_text("failed")
        page.get_by_role("link", name="All jobs").click()
        page.get_by_role("link", name=platform.experiment_name).first.click()
        page.wait_for_url("**experiment=**")
        assert failing in _ids(page)


def test_job(
    open_page: OpenPage, platform: Platform, address: str, greeting: int
) -> None:
    """A job shows what it has made; markup in its log is text, and does nothing."""
    with open_page() as page:
        page.goto(f"{address}jobs/{greeting}")
        log = page.locator("#log")
        expect(log).to_contain_text("<script>alert('Ada')</script><img src=x")
        expect(log.locator("summary")).to_have_count(3)
        assert page.locator("#log script, #log img").count() == 0
        chart = page.get_by_role("img", name=re.compile("^loss: 5 values"))
        expect(chart.locator("polyline")).to_have_count(1)
        uri = platform.artifacts(greeting)["note"]["artifactUri"]
        expect(page.locator("#parts")).to_contain_text(uri)
        expect(page.locator("#parts")).to_contain_text('"Ada"')
        expect(page.locator(".timeline li")).to_have_count(3)
        expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
        page.get_by_label("Severity at least").select_option("WARNING")
        expect(log.get_by_text("careful")).to_be_visible()
        expect(log.get_by_text("<script>")).to_be_hidden()


def test_download(
    open_page: OpenPage, platform: Platform, address: str, tmp_path: Path
) -> None:
    """Artifacts are saved by a click, whatever they are called and hold."""
    assert address
    entrypoint = platform.entrypoint(
        SOURCE + DOWNLOADS,
        {"made": {"folder": []}},
        artifact_outputs={
            "odd": {"contents": MARKUP, "task": {"name": "Odd"}},
            "days": {"contents": "$made", "task": {"name": "Folder"}},
        },
    )
    job = platform.run(entrypoint)
    with open_page(accept_downloads=True) as page:
        page.goto(f"{address}jobs/{job}")
        links = page.get_by_role("link", name=re.compile("^Download"))
        expect(links).to_have_count(2)
        saved = {}
        for link in links.all():
            with page.expect_download() as told:
                link.click()
            name = told.value.suggested_filename
            told.value.save_as(tmp_path / name)
            saved[name] = (tmp_path / name).read_bytes()
        assert page.url == f"{address}jobs/{job}"
    assert set(saved) == {"größe 'a' _b_; _i_.html", "days.tar.gz"}
    assert saved["größe 'a' _b_; _i_.html"] == MARKUP.encode()
    with tarfile.open(tmp_path / "days.tar.gz") as tar:
        assert {"days/one.csv", "days/more/two.csv"} <= set(tar.getnames())


def test_follow(
    open_page: OpenPage, platform: Platform, address: str, tmp_path: Path
) -> None:
    """An open page shows a job's log while it is written, and then how it ended."""
    signal_file = tmp_path / "go"
    graph = {"waiting": {"wait_for_file": [str(signal_file)]}}
    job = platform.submit(platform.entrypoint(SOURCE, graph))
    with open_page() as page:
        page.goto(f"{address}jobs/{job}")
        log, status = page.locator("#log"), page.locator("#parts .pill")
        expect(log).to_contain_text("waiting now", timeout=PATIENCE)
        expect(status).to_contain_text("started", timeout=PATIENCE)
        signal_file.touch()
        expect(log).to_contain_text(MARKUP, timeout=PATIENCE)
        expect(log).to_contain_text("the job finished", timeout=PATIENCE)
        expect(status).to_contain_text("finished", timeout=PATIENCE)
        expect(page.get_by_role("button", name="Cancel")).to_be_hidden()
        assert page.locator("#log .line", has_text="waiting now").count() == 1
        titles = page.locator("#log summary").all_inner_texts()
        assert titles == ["Preparation", "Step 1 of 1: waiting (wait_for_file)", "End"]


def test_rerun(
    open_page: OpenPage, platform: Platform, address: str, greeting: int
) -> None:
    """Re-run makes a new job, and the page goes there."""
    with open_page() as page:
        page.goto(f"{address}jobs/{greeting}")
        page.get_by_role("button", name="Re-run").click()
        expect(page.locator("[name='value:name']")).to_have_value("Ada")
        page.get_by_role("button", name="Run again").click()
        page.wait_for_url(lambda url: not url.endswith(f"/jobs/{greeting}"))
        new = int(page.url.rpartition("/")[2])
        status = page.locator("#parts .pill")
        expect(status).to_contain_text("finished", timeout=PATIENCE)
    assert new > greeting
    assert platform.job(new)["values"] == platform.job(greeting)["values"]


def test_cancel(
    open_page: OpenPage, platform: Platform, address: str, tmp_path: Path
) -> None:
    """Cancel ends a job that runs, and the page tells how."""
    graph = {"waiting": {"wait_for_file": [str(tmp_path / "never")]}}
    job = platform.submit(platform.entrypoint(SOURCE, graph))
    with open_page() as page:
        page.goto(f"{address}jobs/{job}")
        expect(page.locator("#log")).to_contain_text("waiting now", timeout=PATIENCE)
        page.get_by_role("button", name="Cancel").click()
        page.get_by_role("button", name="Cancel the job").click()
        status = page.locator("#parts .pill")
        expect(status).to_contain_text("failed", timeout=PATIENCE)
        expect(page.locator("#log")).to_contain_text("cancelled by")
    assert platform.status(job) == "failed"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(
    open_page: OpenPage, address: str, greeting: int, failing: int, scheme: str
) -> None:
    """Every text can be read, by day and in the dark, which follows the system."""
    with open_page(color_scheme=scheme) as page:
        for path in ("", f"jobs/{greeting}", f"jobs/{failing}"):
            page.goto(address + path)
            assert page.evaluate(FAINT_TEXTS) == []
        ground = "getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]"
        assert (int(page.evaluate(ground)) < 128) == (scheme == "dark")


def test_phone(open_page: OpenPage, address: str, greeting: int) -> None:
    """On a phone nothing is wider than the screen."""
    with open_page(**PHONE) as page:
        for path in ("", f"jobs/{greeting}"):
            page.goto(address + path)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390
        expect(page.get_by_role("button", name="Re-run")).to_be_in_viewport()


def test_without_scripts(
    open_page: OpenPage, platform: Platform, address: str, greeting: int
) -> None:
    """Without JavaScript the list filters, and a job has its log."""
    with open_page(java_script_enabled=False) as page:
        page.goto(address)
        page.get_by_label("Queue", exact=True).fill(platform.queue)
        page.get_by_role("button", name="Filter").click()
        page.wait_for_url("**queue=**")
        while page.locator("[data-unseen]").count():  # each time it goes on
            page.reload()
        assert greeting in _ids(page)
        page.goto(f"{address}jobs/{greeting}")
        expect(page.locator("#log")).to_contain_text("<script>alert('Ada')</script>")
