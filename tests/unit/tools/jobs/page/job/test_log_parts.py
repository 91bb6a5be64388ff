"""A log is read and shown by parts of a bounded size, whatever it is."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from tests.unit.tools.jobs.browsing import Browser, serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.protocol.messages import STEP_LOGGER
from dioptra_worker.tools.jobs.page.job import log_parts
from dioptra_worker.tools.jobs.page.job.log_parts import (
    MAX_LINE,
    Logs,
)
from dioptra_worker.tools.resources.errors import Unknown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.unit.api.scripted import ScriptedApi

STEP = ("INFO", STEP_LOGGER, "step 1 of 2: 'load' runs task 'load'")
FIT = ("INFO", STEP_LOGGER, "step 2 of 2: 'fit' runs task 'train'")
MIB = 2**20


def _lines(count: int, text: str = "line") -> list[tuple[str, str, str]]:
    return [("INFO", "x", f"{text} {number}") for number in range(count)]


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0), ("started", 1))
    return dioptra


@pytest.fixture(name="running")
def _running(dioptra: Dioptra) -> Iterator[tuple[Logs, ScriptedApi]]:
    with dioptra.running() as (client, server):
        yield Logs(client), server


@pytest.fixture(name="logs")
def _logs(running: tuple[Logs, ScriptedApi]) -> Logs:
    return running[0]


@pytest.fixture(name="browser")
def _browser(dioptra: Dioptra) -> Iterator[Browser]:
    with serving_page(dioptra) as browser:
        yield browser


def test_short(dioptra: Dioptra, logs: Logs) -> None:
    """A short log is one part, and has all of its sections."""
    dioptra.logs[7] = [*_lines(2), STEP, *_lines(1)]
    part = logs.end(7)
    assert (part.start, part.next, part.total) == (0, 4, 4)
    titles = [entry.section.title for entry in part.entries]
    assert titles == ["Preparation"] * 2 + ["Step 1 of 2: load (load)"] * 2
    assert logs.end(8).entries == ()


def test_parts_are_the_log(
    dioptra: Dioptra, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back from the end, or on from the beginning, no record is missing or twice."""
    monkeypatch.setattr(log_parts, "MAX_RECORDS", 100)
    dioptra.logs[7] = [*_lines(150), STEP, *_lines(120)]
    numbers = list(range(271))
    part = logs.end(7)
    assert len(part.entries) == 100
    found = [entry.number for entry in part.entries]
    while part.start:
        part = logs.before(7, part.start)
        found = [entry.number for entry in part.entries] + found
    assert found == numbers
    found = []
    part = logs.after(7, 0)
    while part.entries:
        found += [entry.number for entry in part.entries]
        part = logs.after(7, part.next)
    assert found == numbers


def test_a_part_within_a_section(dioptra: Dioptra, logs: Logs) -> None:
    """Where records come before the first section, nobody claims to know theirs."""
    dioptra.logs[7] = [STEP, *_lines(1500), FIT, *_lines(10)]
    first = logs.end(7).entries[0].section
    assert (first.title, first.is_continued, first.step) == ("Continued", True, None)
    assert logs.end(7).entries[-1].section.number == 1501


def test_long_records_are_few(
    dioptra: Dioptra,
    running: tuple[Logs, ScriptedApi],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A part has fewer records where they are long, and one whatever its length."""
    monkeypatch.setattr(log_parts, "MAX_FETCHED", 80_000)
    dioptra.logs[7] = _lines(60, "x" * 10_000)
    logs, server = running
    part = logs.end(7)
    assert (part.next, part.total) == (60, 60)
    assert 1 <= len(part.entries) <= 20
    assert 1 <= len(logs.after(7, 0).entries) <= 20
    lengths = [int(request.query["pageLength"]) for request in server.requests]
    assert max(lengths) <= 20


def test_beyond_the_end(dioptra: Dioptra, logs: Logs) -> None:
    """Numbers that nothing has are no mistake, but for one record that is wanted."""
    dioptra.logs[7] = _lines(3)
    assert logs.after(7, 10).entries == ()
    assert logs.before(7, 10**9).next == 3
    assert logs.before(7, 0).entries == ()
    assert logs.whole(7, 2).text == "line 2"
    with pytest.raises(Unknown):
        logs.whole(7, 3)


def test_how_far_it_is(dioptra: Dioptra, running: tuple[Logs, ScriptedApi]) -> None:
    """The step that runs is remembered, and only what is new is read."""
    logs, server = running
    assert logs.latest(7).section is None
    dioptra.logs[7] = [STEP, *_lines(1900)]
    assert logs.latest(7).section.step == "load"  # type: ignore[union-attr]
    server.requests.clear()
    dioptra.logs[7] += _lines(3, "new")
    found = logs.latest(7)
    assert found.section is not None
    assert (found.section.step, found.text) == ("load", "new 2")
    assert [request.query["pageLength"] for request in server.requests] == ["1", "3"]
    dioptra.logs[7] += [FIT]
    assert logs.latest(7).section.step == "fit"  # type: ignore[union-attr]
    dioptra.logs[7] = _lines(1)  # of another API at the same address
    assert logs.latest(7).text == "line 0"


def test_a_step_that_is_far_back(
    dioptra: Dioptra, logs: Logs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that began too far back is not known, and none is made up."""
    monkeypatch.setattr(log_parts, "LOOK_BACK", 100)
    dioptra.logs[7] = [STEP, *_lines(50)]
    assert logs.latest(7).section is not None
    dioptra.logs[7] += _lines(200)
    assert logs.latest(7).section is None


def test_they_are_forgotten(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many jobs are looked at, only of some is remembered how far they are."""
    monkeypatch.setattr(log_parts, "MAX_LOGS", 3)
    for job in range(1, 8):
        logs.latest(job)
    assert list(logs._latest) == [5, 6, 7]


@pytest.mark.parametrize(
    "lines",
    [
        _lines(5, "<\"'" * (MIB // 3)),
        _lines(1200, "<" * 150),
        _lines(300, "x" * 3000),
    ],
    ids=["long", "many", "both"],
)
def test_the_page_is_bounded(
    lines: list[tuple[str, str, str]], dioptra: Dioptra, browser: Browser
) -> None:
    """Neither long records nor many make a large page, nor what it asks for later."""
    dioptra.logs[7] = lines
    assert len(browser.get("/jobs/7").body) < 2_500_000
    assert len(browser.get("/jobs/7/log?after=0").body) < 2_500_000
    assert len(browser.get("/jobs/7/log?before=4000").body) < 2_500_000


def test_a_cut_record_is_shown_whole(dioptra: Dioptra, browser: Browser) -> None:
    """A long record is cut, and its link has all of it, as text that does nothing."""
    text = "<script>" + "y" * MIB + "\x1b[31m end"
    dioptra.logs[7] = [*_lines(3), ("INFO", "x", text.replace("<", "&lt;"))]
    page = browser.get("/jobs/7").text
    assert page.count("y") < 3 * MAX_LINE
    assert 'href="/jobs/7/log/3">Show all 1,048,593 letters' in page
    (entry,) = json.loads(browser.get("/jobs/7/log?after=3").text)["entries"]
    assert (len(entry["text"]), entry["letters"]) == (MAX_LINE + 1, len(text))
    got = browser.get("/jobs/7/log/3")
    assert got.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert got.text == text.replace("\x1b[31m", "")
    assert browser.get("/jobs/7/log/4").status == 404
    assert browser.get("/jobs/9/log/0").status == 404


def test_an_earlier_part_without_scripts(dioptra: Dioptra, browser: Browser) -> None:
    """Links lead back to earlier records, and from there to the log's end."""
    dioptra.logs[7] = _lines(2500)
    page = browser.get("/jobs/7").text
    assert 'data-live="true"' in page
    found = re.search(r'class="earlier" href="([^"]*)#log-title"', page)
    assert found is not None
    assert found[1] == "/jobs/7?before=1500"
    earlier = browser.get(found[1]).text
    assert "line 1499<" in earlier
    assert "line 1500<" not in earlier
    assert 'data-live="false"' in earlier
    assert "show its end" in earlier
    assert browser.get("/jobs/7?before=x&severity=y").status == 200
