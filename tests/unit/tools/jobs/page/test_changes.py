"""Re-run and Cancel: what is asked, and what is made of an answer."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.tools.jobs.browsing import TOKEN, Browser, serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

if TYPE_CHECKING:
    from collections.abc import Iterator

EVIL = "</textarea><script>alert(1)</script>\"'&"


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra()
    dioptra.put(7, ("queued", 0), ("started", 1), ("failed", 2), name=EVIL)
    dioptra.put(8, ("queued", 0), ("started", 1))
    return dioptra


@pytest.fixture(name="browser")
def _browser(dioptra: Dioptra) -> Iterator[Browser]:
    with serving_page(dioptra) as browser:
        yield browser


def _form(page: str) -> dict[str, str]:
    """What a browser sends for a form that nobody has changed."""
    found = re.findall(r'<input[^>]* name="([^"]*)" value="([^"]*)"', page)
    area = r'<textarea[^>]* name="([^"]*)"[^>]*>\n(.*?)</textarea>'
    fields = dict([*found, *re.findall(area, page, re.S)])
    return {name: html.unescape(value) for name, value in fields.items()}


def _values(dioptra: Dioptra) -> Any:
    (body,) = dioptra.submitted
    return body["values"]


def test_nothing_is_done_before_it_was_asked(
    dioptra: Dioptra, browser: Browser
) -> None:
    """Re-run and Cancel lead to a question, and looking at that does nothing."""
    for path in ("/jobs/7/rerun", "/jobs/8/cancel"):
        got = browser.get(path)
        assert got.status == 200
        assert 'id="ask"' in got.text
        assert f'<form method="post" action="{path}">' in got.text
        assert "<script>alert" not in got.text
    assert dioptra.submitted == []
    assert dioptra.jobs[8]["status"] == "started"


def test_a_job_that_has_ended_is_not_cancelled(browser: Browser) -> None:
    """Then there is nothing to ask."""
    got = browser.get("/jobs/7/cancel")
    assert "Job 7 has failed already" in got.text
    assert 'method="post"' not in got.text


def test_an_unchanged_form(dioptra: Dioptra, browser: Browser) -> None:
    """A form that is sent as it is runs the job as it was."""
    dioptra.jobs[7]["values"] = {"rate": "0.1", "text": f"\n one\n\x1b[31mtwo {EVIL}"}
    form = _form(browser.get("/jobs/7/rerun").text)
    assert form["value:elements"] == "[]"
    form = {name: value.replace("\n", "\r\n") for name, value in form.items()}
    got = browser.post("/jobs/7/rerun", form)
    assert (got.status, got.headers["Location"]) == (303, "/jobs/99")
    assert _values(dioptra) == dioptra.jobs[7]["values"]


def test_other_values(dioptra: Dioptra, browser: Browser) -> None:
    """What was changed is given to the new job, an emptied text, too."""
    form = _form(browser.get("/jobs/7/rerun").text)
    form |= {"value:rate": "0.7", "value:text": "", "value:stranger": "x"}
    got = browser.post("/jobs/7/rerun", form)
    assert got.status == 303
    assert _values(dioptra) == {"rate": "0.7", "text": ""}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"value:rate": "two"}, "Parameter 'rate': 'two' is no number"),
        ({"value:rate": ""}, "Parameter 'rate': '' is no number"),
        ({"value:elements": "{}"}, "Parameter 'elements': '{}' is no list"),
        ({"queue": "lcoal"}, "The API has no queue 'lcoal': there is 'cpu'"),
    ],
)
def test_wrong_values(
    changed: dict[str, str], said: str, dioptra: Dioptra, browser: Browser
) -> None:
    """They are checked as `jobs submit` does, and the form comes again as it was."""
    form = _form(browser.get("/jobs/7/rerun").text) | changed
    got = browser.post("/jobs/7/rerun", form)
    assert got.status == 200
    assert said in html.unescape(got.text)
    assert _form(got.text) == form
    assert dioptra.submitted == []


def test_a_value_that_is_too_long(dioptra: Dioptra, browser: Browser) -> None:
    """It is not in the form, and stays as it was."""
    long = dioptra.jobs[7]["values"]["text"] = "x" * 30_000
    page = browser.get("/jobs/7/rerun").text
    assert "text has 30,000 letters" in page
    assert "xxx" not in page
    got = browser.post("/jobs/7/rerun", {"token": TOKEN, "value:rate": "0.2"})
    assert got.status == 303
    assert _values(dioptra) == {"rate": "0.2", "text": long}
