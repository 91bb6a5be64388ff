"""What is done with several jobs: asked first, told of each, and nothing else."""

from __future__ import annotations

import io
import re
import zipfile
from contextlib import contextmanager
from http.client import IncompleteRead
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import pytest
from tests.plugins.example_job import ExampleJob
from tests.unit.api.scripted import Answer
from tests.unit.tools.jobs.browsing import TOKEN, Browser, serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.tools.jobs.errors import NotNow
from dioptra_worker.tools.jobs.page.chosen.acts import Outcome, Outcomes
from dioptra_worker.tools.jobs.page.chosen.selection import MAX_JOBS, chosen, fields

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dioptra_worker.tools.capsule.making import Source

EVIL = '"><script>alert(1)</script>'
BACK = urlencode({"status": "failed", "user": "ada"})


@contextmanager
def _open_source(job_id: int) -> Iterator[Source]:
    yield ExampleJob(factor=float(job_id))


class _Cancelling:
    """Cancels jobs as workers do, but for one that does not stop."""

    def __init__(self, dioptra: Dioptra) -> None:
        self._dioptra = dioptra

    def cancel(self, job_id: int) -> str:
        if job_id == 8:
            raise NotNow("worker 'w' was asked to stop job 8, and has not within 20 s")
        self._dioptra.jobs[job_id]["status"] = "failed"
        return "failed"


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0), ("started", 1), ("failed", 2), name=EVIL)
    dioptra.put(8, ("queued", 0), ("started", 1))
    dioptra.put(9, ("queued", 0))
    dioptra.put(10, ("queued", 0), ("started", 1), ("finished", 2), name="second")
    return dioptra


@pytest.fixture(name="browser")
def _browser(dioptra: Dioptra) -> Iterator[Browser]:
    @contextmanager
    def actions(_seconds: float) -> Iterator[_Cancelling]:
        yield _Cancelling(dioptra)

    with serving_page(dioptra, open_source=_open_source, actions=actions) as browser:
        yield browser


def _asked(browser: Browser, do: str, *jobs: int) -> str:
    query = urlencode({"do": do, "back": BACK, **fields(jobs)})
    got = browser.get(f"/chosen?{query}")
    assert got.status == 200, got.text
    assert "<script>alert" not in got.text
    return got.text


def _answered(browser: Browser, page: str) -> str:
    """What is told after the form of a question was sent as it is."""
    sent = dict(
        re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', page)
    )
    sent["back"] = sent["back"].replace("&amp;", "&")
    got = browser.post("/chosen", sent)
    assert got.status == 303, got.text
    told = browser.get(got.headers["Location"])
    # Loading it again does nothing again.
    assert browser.get(got.headers["Location"]).text == told.text
    return told.text


def test_the_list_has_a_box_for_each_job(browser: Browser) -> None:
    """Boxes belong to one form, which keeps the list's filters; all can be checked."""
    page = browser.get("/?user=ada").text
    boxes = re.findall(r'<input type="checkbox" form="chosen"\s+name="(job-\d+)"', page)
    assert sorted(boxes) == ["job-10", "job-7", "job-8", "job-9"]
    assert 'name="back" value="user=ada"' in page
    assert " checked>" not in page
    got = browser.get("/chosen?do=all&back=user%3Dada%26evil%3Dx")
    assert got.headers["Location"] == "/?user=ada&chosen=all"
    assert browser.get(got.headers["Location"]).text.count(" checked>") == 4


@pytest.mark.parametrize("path", ["/chosen?do=cancel", "/chosen?do=explode&job-7=on"])
def test_nothing_to_do(path: str, browser: Browser) -> None:
    """No job, or nothing that can be done, is told in a sentence."""
    got = browser.get(path)
    assert got.status == 404
    assert "<h1>No job is chosen" in got.text or "<h1>There is no such" in got.text


def test_a_question_names_how_many_and_which(
    dioptra: Dioptra, browser: Browser
) -> None:
    """It says which jobs it is not about, and why; asking does nothing."""
    page = _asked(browser, "cancel", 7, 8, 9, 44)
    assert "Cancel 2 jobs?" in page
    assert re.findall(r'name="(job-\d+)"', page) == ["job-8", "job-9"]
    assert "#7 has ended already" in page
    assert "#44 is no longer there" in page
    assert f'href="/?{BACK.replace("&", "&amp;")}"' in page
    assert "Run 1 job again?" in _asked(browser, "rerun", 7)
    page = _asked(browser, "delete", 8, 10)
    assert "Delete 1 job?" in page
    assert "train #8 has not ended: cancel it first" in page
    assert "There is nothing to delete" in _asked(browser, "delete", 8)
    assert dioptra.submitted == []
    assert [dioptra.jobs[job]["status"] for job in (7, 8, 9)] == [
        "failed",
        "started",
        "queued",
    ]


def test_each_job_is_told_of(dioptra: Dioptra, browser: Browser) -> None:
    """One that fails is told with its reason, and keeps no other."""
    page = _asked(browser, "cancel", 8, 9)
    del dioptra.jobs[9]
    dioptra.put(11, ("queued", 0))
    told = _answered(
        browser,
        page.replace(
            "</form>", '<input type="hidden" name="job-11" value="on"></form>'
        ),
    )
    assert "1 of 3 jobs were cancelled" in told
    assert "train #8: worker &#x27;w&#x27; was asked to stop job 8" in told
    assert "Job #9: there is no such job" in told
    assert "train #11: cancelled" in told
    assert dioptra.jobs[11]["status"] == "failed"
    assert f'href="/?{BACK.replace("&", "&amp;")}"' in told


def test_run_again(dioptra: Dioptra, browser: Browser) -> None:
    """Each is submitted as it was, and its new job is linked."""
    told = _answered(browser, _asked(browser, "rerun", 7, 10))
    assert "2 jobs were submitted again" in told
    assert told.count('<a href="/jobs/99">#99</a>') == 2
    assert [body["values"] for body in dioptra.submitted] == [{"rate": "0.1"}] * 2


def test_delete(dioptra: Dioptra, browser: Browser) -> None:
    """Only what has ended is deleted, whatever a form says."""
    page = _asked(browser, "delete", 7, 10)
    told = _answered(browser, page.replace('"job-10"', '"job-8"'))
    assert "1 of 2 jobs were deleted" in told
    assert "job 8 is started: end it first" in told
    assert sorted(dioptra.jobs) == [8, 9, 10]


def test_changes_need_the_token(dioptra: Dioptra, browser: Browser) -> None:
    """A form that is none of ours changes nothing, as with a single job."""
    form = {"do": "delete", **fields([7])}
    for token in ({}, {"token": TOKEN[:-1]}):
        assert browser.post("/chosen", {**form, **token}).status == 403
    assert browser.post("/chosen", {"do": "all", "token": TOKEN}).status == 404
    assert 7 in dioptra.jobs
    assert browser.post("/chosen/outcome", {**form, "token": TOKEN}).status == 404
    assert browser.get("/chosen/outcome?of=x").status == 404


def test_two_are_compared_as_ever(browser: Browser) -> None:
    """Two, or one to be compared with another, have the page that there is."""
    got = browser.get("/chosen?do=compare&job-10=on&job-7=on")
    assert (got.status, got.headers["Location"]) == (303, "/compare?first=7&second=10")
    got = browser.get("/chosen?do=compare&job-10=on")
    assert got.headers["Location"] == "/compare?first=10"


def test_several_are_compared(dioptra: Dioptra, browser: Browser) -> None:
    """More have a column each, in which what differs from the first is marked."""
    dioptra.metrics = {"loss": [1.0, 0.5]}
    page = _asked(browser, "compare", 7, 8, 9)
    assert "Compare 3 jobs" in page
    row = re.search(r'<tr><th scope="row">factor</th>(.*?)</tr>', page, re.S)
    assert row is not None
    assert re.findall(r"<code>(.*?)</code>", row[1]) == ["7.0", "8.0", "9.0"]
    assert row[1].count('class="differs"') == 2
    assert 'href="/compare?first=7&amp;second=9"' in page
    many = range(100, 110)
    for job in many:
        dioptra.put(job, ("queued", 0))
    page = _asked(browser, "compare", *many)
    assert "Compare 8 jobs" in page
    assert "without #108, #109." in page


def test_artifacts_in_one_file(dioptra: Dioptra, browser: Browser) -> None:
    """Each job has a folder; what is no longer there is named in the file."""
    dioptra.put_artifact(83, "days.csv", Answer(body=b"day\n1\n"))
    dioptra.put_artifact(84, "../x.csv", Answer(body=b""))
    dioptra.put_artifact(85, "model", Answer(body=b"packed"), is_dir=True)
    dioptra.put_artifact(86, "gone.csv", Answer(500, {"message": "no"}))
    page = _asked(browser, "download", 8, 10, 44)
    assert "Download the artifacts of 2 jobs?" in page
    assert "#44 is no longer there" in page
    assert 'method="get" action="/chosen/artifacts.zip"' in page
    got = browser.get(f"/chosen/artifacts.zip?{urlencode(fields([8, 10]))}")
    assert 'filename="jobs-8-10.zip"' in got.headers["Content-Disposition"]
    archive = zipfile.ZipFile(io.BytesIO(got.body))
    assert archive.testzip() is None
    names = ["days.csv", "x.csv", "model.tar.gz"]
    assert archive.namelist() == [
        *(f"8-train/{name}" for name in names),
        *(f"10-second/{name}" for name in names),
        "missing.txt",
    ]
    assert archive.read("10-second/days.csv") == b"day\n1\n"
    missing = archive.read("missing.txt").decode()
    assert "8-train/gone.csv: the API cannot read artifact 86" in missing


def test_a_download_that_breaks_off_is_not_whole(
    dioptra: Dioptra, browser: Browser
) -> None:
    """Then there is no end of the file, and a browser knows that it is not all."""
    dioptra.put_artifact(83, "days.csv", Answer(503, {"message": "gone"}))
    with pytest.raises(IncompleteRead):
        browser.get(f"/chosen/artifacts.zip?{urlencode(fields([8]))}")


def test_a_choice_is_bounded() -> None:
    """Whatever an address says, only so many jobs are asked for."""
    given = fields(range(1, 2 * MAX_JOBS)) | {"job-0": "on", "job-x": "on", "7": "on"}
    assert chosen(given) == tuple(range(1, MAX_JOBS + 1))


def test_the_last_outcomes_are_kept() -> None:
    """An outcome is found for as long as not too many others came after it."""
    outcomes = Outcomes()
    one = Outcome(kind="cancel", said=(), back={})
    first = outcomes.keep(one)
    assert outcomes.find(first) is one
    for _ in range(64):
        outcomes.keep(one)
    assert outcomes.find(first) is None
