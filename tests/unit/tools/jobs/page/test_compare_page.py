"""Two jobs side by side: all of both, with what differs marked."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.plugins.example_job import TASKS, ExampleJob
from tests.unit.tools.jobs.browsing import Browser, serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.capsule.making import Source

EVIL = "<script>alert(1)</script>\"'&"
JOBS = {
    7: ExampleJob(),
    8: ExampleJob(factor=4.0, tasks=TASKS + "# changed"),
    9: ExampleJob(factor=3.0 + 1e-12),
}


@contextmanager
def _open_source(job_id: int) -> Iterator[Source]:
    yield JOBS[job_id]


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra(metrics={"loss": [1.0, 0.5], EVIL: [1.0]})
    for job in (7, 8, 9):
        dioptra.put(job, ("queued", 0), ("finished", 5), name=f"train{EVIL}")
    dioptra.put(10, ("queued", 0), ("finished", 5), entrypoint=6)
    return dioptra


@pytest.fixture(name="browser")
def _browser(dioptra: Dioptra) -> Iterator[Browser]:
    with serving_page(dioptra, open_source=_open_source) as browser:
        yield browser


def _rows(page: str) -> dict[str, tuple[str, ...]]:
    """The rows of all tables of pairs: how they are marked, and their cells."""
    rows = re.findall(r'<tr class="(\w+)"><th scope="row">(.*?)</th>(.*?)</tr>', page)
    return {
        name: (mark, *(re.sub("<.*?>", "", it) for it in re.split("</td>", cells)))
        for mark, name, cells in rows
    }


def test_what_differs_is_marked(browser: Browser) -> None:
    """Of parameters, plugins, inputs, metrics and artifacts, and the rest is shown."""
    page = browser.get("/compare?first=7&second=8").text
    rows = _rows(page)
    assert rows["factor"][:3] == ("differs", "3.0", "4.0")
    assert rows["number"] == ("differs", "7.5", "10.0", "≠ differs at 2 of 2 steps", "")
    assert rows["plugins/tasks/scaling/tasks.py"][0] == "differs"
    assert rows["plugins/artifacts/keeping/numbers.py"][0] == "same"
    assert rows["outputs/scaled/scaled.json"][0] == "differs"
    given = next(name for name in rows if name.startswith("inputs/"))
    assert rows[given][0] == "same"
    assert rows["click"][0] == "same"
    assert '<a href="#parameter">Parameters: 1</a>' in page
    assert '<a href="#package">' not in page


def test_metrics_are_in_one_chart(browser: Browser) -> None:
    """A chart for each metric has a line for each job."""
    page = browser.get("/compare?first=7&second=8").text
    assert page.count("<polyline") == 2
    assert re.findall(r'data-label="(.*?)"', page) == ["#7", "#8"]
    assert "number: #7: 2 values, from 3 to 7.5" in page


def test_nothing_differs(browser: Browser) -> None:
    """A job is the same as itself."""
    page = browser.get("/compare?first=7&second=7").text
    assert "Nothing differs" in page
    assert "≠" not in page


def test_last_digits(browser: Browser) -> None:
    """Numbers that are equal within the tolerance are marked as such."""
    rows = _rows(browser.get("/compare?first=7&second=9").text)
    assert rows["number"][0] == "close"


def test_without_manifest(dioptra: Dioptra) -> None:
    """Jobs of which there is no manifest are compared by what the API tells."""
    dioptra.jobs[8]["entrypoint"]["snapshotId"] = 51
    with serving_page(dioptra) as browser:
        page = browser.get("/compare?first=7&second=8").text
    rows = _rows(page)
    assert "Only what the REST API tells is compared: there is no manifest" in page
    assert rows["rate"] == ("same", "0.1", "0.1", "= the same", "")
    assert rows["entrypoint"][0] == "differs"
    assert rows["loss"][:3] == ("same", "0.5", "0.5")
    assert "<script>alert" not in page


def test_which_jobs(browser: Browser) -> None:
    """Who knows one job is offered the others of its entrypoint."""
    assert 'href="/compare?first=7"' in browser.get("/jobs/7").text
    page = browser.get("/compare?first=7").text
    links = re.findall(r'href="/compare\?first=7&amp;second=(\d+)"', page)
    assert sorted(links) == ["8", "9"]
    assert "<script>alert" not in page
    assert 'name="second"' in browser.get("/compare").text


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("first=7&second=99", 404, "no such job"),
        ("first=99", 404, "no such job"),
        ("first=x<b>&second=8", 200, "&#x27;x&lt;b&gt;&#x27; is no job&#x27;s number"),
        ("first=7&second=-1", 200, "is no job&#x27;s number"),
        ("first=" + "9" * 40, 200, "is no job&#x27;s number"),
        ("first=%237&second=%208", 200, "What differs"),
        ("second=8", 200, 'value="8"'),
    ],
)
def test_odd_addresses(query: str, status: int, words: str, browser: Browser) -> None:
    """What is no job is told, and the form keeps what was typed."""
    found = browser.get(f"/compare?{query}")
    assert found.status == status
    assert words in found.text
    assert "<b>" not in found.text


def test_worker_run_is_a_link(dioptra: Dioptra) -> None:
    """A worker run leads to its jobs."""
    asked = []

    def jobs_of(worker_run: str) -> frozenset[int]:
        asked.append(worker_run)
        return frozenset({8})

    with serving_page(dioptra, jobs_of=jobs_of) as browser:
        page = browser.get("/jobs/7").text
        found = re.search(r'href="(/\?worker_run=([0-9a-f-]{36}))"', page)
        assert found is not None
        rows = browser.get(found[1]).text
    assert asked == [found[2]]
    assert 'data-job="8"' in rows
    assert 'data-job="7"' not in rows
