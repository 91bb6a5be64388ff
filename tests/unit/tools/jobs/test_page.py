"""The page: what is escaped, who is let in, what is answered."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest
from tests.unit.api.scripted import Answer
from tests.unit.tools.jobs.browsing import TOKEN, Browser, serving_page
from tests.unit.tools.jobs.dioptra import Dioptra

from dioptra_worker.broker.parking import Parked
from dioptra_worker.protocol.messages import OWN_LOGGER
from dioptra_worker.tools.jobs.page import routes
from dioptra_worker.tools.jobs.page.html import Html, fill, join
from dioptra_worker.tools.jobs.page.server import CannotListen, serving
from dioptra_worker.tools.jobs.parked import ParkedJobs

if TYPE_CHECKING:
    from collections.abc import Iterator

EVIL = "<script>alert(1)</script>\"'&"


@pytest.fixture(name="dioptra")
def _dioptra() -> Dioptra:
    dioptra = Dioptra(metrics={"loss": [1.0, 0.5, 0.25], "accuracy": [0.9]})
    dioptra.put(7, ("queued", 0), ("started", 1), name=EVIL, description=EVIL)
    dioptra.put(8, ("queued", 2), ("started", 3), ("finished", 5), user=EVIL)
    dioptra.logs[7] = [
        ("INFO", "dioptra_worker.job", "step 1 of 1: 'fit' runs task 'train'"),
        ("ERROR", "x", "&lt;script&gt;alert(1)&lt;/script&gt; \x1b[31mred"),
    ]
    return dioptra


@pytest.fixture(name="browser")
def _browser(dioptra: Dioptra) -> Iterator[Browser]:
    with serving_page(dioptra) as browser:
        yield browser


def test_fill() -> None:
    """What is no HTML is escaped, for text and attributes, and what is one is not."""
    shown = fill('<a title="{x}">{x} {y} {n}</a>', x=EVIL, y=Html("<b>y</b>"), n=3)
    assert "<script>" not in shown
    assert shown == (
        '<a title="&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;">'
        "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp; <b>y</b> 3</a>"
    )
    assert fill("{x}", x="\x1b[1m\u202eb") == "\\u202eb"
    assert join([Html("<a>"), fill("{x}", x="<")], "") == "<a>&lt;"


def test_list(browser: Browser) -> None:
    """The list has every job, and nothing in it is HTML of theirs."""
    got = browser.get("/")
    assert got.status == 200
    assert "<script>alert" not in got.text
    # A name, a description and a user, each also as the whole of what may be cut; and
    # the name of the box that chooses it.
    assert got.text.count("&lt;script&gt;alert(1)") == 7
    assert got.text.index('data-job="8"') < got.text.index('data-job="7"')
    assert browser.get("/rows").text in got.text
    some = browser.get("/rows?status=finished&type=processing")
    assert 'data-job="8"' in some.text
    assert 'data-job="7"' not in some.text
    assert "No such jobs" in browser.get("/rows?user=ada&queue=cpu").text
    assert browser.get("/?skip=-3&other=1").status == 200


def test_a_list_that_takes_long(
    browser: Browser, dioptra: Dioptra, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a search has so far is shown, and asking again goes on with it."""
    monkeypatch.setattr(routes, "SEARCH_TIME", 0.0)
    dioptra.put(9, ("queued", 0), queue="cpu")
    for job in range(10, 60):
        dioptra.put(job, ("queued", job))
    some = browser.get("/?queue=cpu").text
    assert "None so far: 27 older jobs are still to be looked through." in some
    for left in ("2 older jobs are", ""):
        assert "data-unseen" in some
        some = browser.get("/rows?queue=cpu").text
        assert left in some
    assert "data-unseen" not in some
    assert 'data-job="9"' in some


@pytest.mark.parametrize(
    ("query", "field", "said"),
    [
        ("queue=lcoal", "queue", "The API has no queue &#x27;lcoal&#x27;: there is"),
        ("user=nobody", "user", "The API has no user &#x27;nobody&#x27;: there is"),
        ("experiment=dmeo", "experiment", "there is &#x27;demo&#x27;"),
        ("entrypoint=trian", "entrypoint", "there is &#x27;train&#x27;"),
        ("status=%22x%3Cb%3E", "status", "There is no status &#x27;&quot;x&lt;b&gt;"),
        ("type=x", "type", "There is no type &#x27;x&#x27;: there is training, "),
    ],
)
def test_mistyped_filters(query: str, field: str, said: str, browser: Browser) -> None:
    """What is mistyped stays in its field, and is told with what there is."""
    got = browser.get(f"/?user=ada&{query}")
    assert got.status == 200
    assert said in got.text
    assert said in browser.get(f"/rows?{query}").text
    assert "data-job" not in got.text
    assert f'name="{field}"' in got.text
    if field not in {"status", "type"}:
        wanted = query.partition("=")[2]
        assert f'value="{wanted}" autocomplete="off" placeholder="any" aria-inv' in (
            got.text
        )


def test_why_it_waits_or_failed() -> None:
    """A queued job's page says why it waits, and a failed one's why it failed."""
    own = "2026-01-01T12:00:00.000000Z the job failed: <b> in step 'train'"
    dioptra = Dioptra(logs={2: [("ERROR", OWN_LOGGER, own)]})
    dioptra.put(1, ("queued", 1))
    dioptra.put(2, ("queued", 1), ("started", 2), ("failed", 3))
    with serving_page(dioptra) as browser:
        pages = [browser.get(f"/jobs/{job}/parts").text for job in (1, 2)]
    assert ["who listens there is not known" in page for page in pages] == [True, False]
    assert ["&lt;b&gt; in step" in page for page in pages] == [False, True]


def test_parked(dioptra: Dioptra) -> None:
    """A parked job is told in the list and on its page, and one that has ended not."""
    parked = {
        job: Parked(job_id=job, age=120, left=30, given_up_in=3480, why=EVIL)
        for job in (7, 8)
    }
    with serving_page(dioptra, ParkedJobs(parked)) as browser:
        pages = [browser.get(path).text for path in ("/", "/jobs/7", "/jobs/8")]
    assert [page.lower().count(">parked") for page in pages] == [1, 1, 0]
    assert all("<script>alert" not in page for page in pages)
    assert "for 2 min, since the API fails at it and works otherwise: " in pages[1]
    assert "tried 1 time, again in 30 s; given up in 58 min" in pages[1]


def test_pages_of_the_list(dioptra: Dioptra, browser: Browser) -> None:
    """More jobs than fit a page are on the next one, with the same filters."""
    for job in range(100, 140):
        dioptra.put(job, ("queued", job))
    first = browser.get("/?status=queued").text
    older = re.search(r'href="([^"]*skip=25)"', first)
    assert older is not None
    second = browser.get(older[1].replace("&amp;", "&")).text
    assert 'data-job="114"' in second
    assert 'data-job="115"' not in second
    assert "skip=0" in second
    assert "skip=50" not in second


def test_job(browser: Browser) -> None:
    """A job's page has its inputs, metrics, timeline and log, all of it escaped."""
    got = browser.get("/jobs/7")
    assert got.status == 200
    assert "<script>alert" not in got.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt; red" in got.text
    assert "Step 1 of 1: fit (train)" in got.text
    assert "&quot;&lt;b&gt;&amp;&quot;" in got.text  # a parameter
    assert "<polyline" in got.text
    assert "http://mlflow/#/experiments/0/runs/" in got.text
    assert 'id="cancel">' in got.text
    assert 'id="cancel" hidden>' in browser.get("/jobs/8").text
    assert browser.get("/jobs/7/parts").text in got.text


def test_log(dioptra: Dioptra, browser: Browser) -> None:
    """The page asks for what is new in a log."""
    first = json.loads(browser.get("/jobs/7/log?after=1").text)
    assert first["status"] == "started"
    assert (first["next"], first["more"]) == (2, False)
    (entry,) = first["entries"]
    assert entry["text"] == "<script>alert(1)</script> red"
    assert entry["continued"] is True
    dioptra.logs[7].append(("INFO", "x", "more"))
    second = json.loads(browser.get("/jobs/7/log?after=2").text)
    assert [entry["text"] for entry in second["entries"]] == ["more"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/jobs/999", 404),
        ("/jobs/999/log", 404),
        ("/jobs/0", 404),
        ("/jobs/7/nothing", 404),
        ("/jobs/" + "9" * 99, 404),
        ("/static/../server.py", 404),
        ("/static/server.py", 404),
        ("/nothing", 404),
        ("/static/style.css", 200),
        ("/static/page.js", 200),
        ("/static/charts.js", 200),
        ("/static/results.css", 200),
        ("/static/icon.svg", 200),
    ],
)
def test_addresses(path: str, status: int, browser: Browser) -> None:
    """What is not there is told so, and only the page's own files are served."""
    assert browser.get(path).status == status


def test_headers(browser: Browser) -> None:
    """No page may load, send or be framed anywhere else."""
    for path in ("/", "/jobs/7", "/nothing", "/static/page.js"):
        headers = browser.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
    for path in ("/", "/jobs/7"):  # the policy would forbid them anyway
        text = browser.get(path).text
        assert " style=" not in text
        assert not re.search(r"\son\w+=", text)


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "", "["])
def test_other_names(host: str, browser: Browser) -> None:
    """Whoever asks by a name that is not this machine's gets nothing."""
    for got in (
        browser.get("/", Host=host),
        browser.post("/jobs/7/rerun", {"token": TOKEN}, Host=host),
    ):
        assert got.status == 403
        assert "ada" not in got.text


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:80"])
def test_own_names(host: str, browser: Browser) -> None:
    """This machine's own names are let in, through whatever port."""
    assert browser.get("/", Host=host).status == 200


def test_changes_need_the_token(dioptra: Dioptra, browser: Browser) -> None:
    """Without the token, or from another page, nothing is changed."""
    for form in ({}, {"token": ""}, {"token": "wrong"}, {"token": "the-tokeN"}):
        assert browser.post("/jobs/7/rerun", form).status == 403
    good = {"token": TOKEN}
    foreign = browser.post("/jobs/7/rerun", good, Origin="http://evil.example")
    assert foreign.status == 403
    assert browser.get("/jobs/7/rerun?token=" + TOKEN).status == 200
    assert browser.post("/jobs/7/rerun", {**good, "x": "y" * 600_000}).status == 400
    assert dioptra.submitted == []
    done = browser.post("/jobs/7/rerun", good)
    assert (done.status, done.headers["Location"]) == (303, "/jobs/99")
    assert browser.post("/jobs/7/delete", good).status == 404
    assert browser.post("/", good).status == 404


def test_cancel_without_queues(browser: Browser) -> None:
    """Where the queues are not known, Cancel says which setting is missing."""
    got = browser.post("/jobs/7/cancel", {"token": TOKEN})
    assert got.status == 409
    assert "RQ_REDIS_URI is missing, not ***" in got.text


def test_no_api(dioptra: Dioptra, browser: Browser) -> None:
    """While the API is away the page says so, and is back with it."""
    dioptra.away = 1
    got = browser.get("/")
    assert got.status == 503
    assert "gone for a moment" in got.text
    assert browser.get("/").status == 200


def test_port_is_taken(browser: Browser) -> None:
    """A port that somebody has is told in a sentence."""
    port = browser.server.server_address[1]
    routes = browser.server.routes
    assert isinstance(port, int)
    with (
        pytest.raises(CannotListen, match="choose another --port"),
        serving(routes, host="127.0.0.1", port=port),
    ):
        pass


def test_worker_run(dioptra: Dioptra, browser: Browser) -> None:
    """A summary leads to version, model, configuration and process with one click."""
    dioptra.jobs[7]["artifactValues"] = {"model": {"id": 83, "snapshotId": 91}}
    got = browser.get("/jobs/7").text
    found = re.search(
        r"<details class=\"run\"><summary>Worker run <code>([0-9a-f-]{36})</code>"
        r"</summary>\s*<dl>(.*?)</dl></details>",
        got,
        re.S,
    )
    assert found is not None
    assert 'href="/?experiment=demo"' in found[2]
    assert 'href="/?entrypoint=' in found[2]
    assert 'href="/artifacts/83"' in found[2]
    assert "Configuration rate" in found[2]
    assert "elements" not in found[2]


def test_objects_of_a_job(dioptra: Dioptra, browser: Browser) -> None:
    """An artifact leads to the job that made it, and an entrypoint to its jobs."""
    dioptra.put_artifact(83, "model.bin", Answer(body=b"x"))
    got = browser.get("/artifacts/83")
    assert (got.status, got.headers["Location"]) == (303, "/jobs/7")
    assert browser.get("/artifacts/84").status == 404
    some = browser.get("/rows?entrypoint=train").text
    assert 'data-job="8"' in some
    assert 'data-job="7"' not in some


def test_jobs_that_only_sign_are_internal(dioptra: Dioptra, browser: Browser) -> None:
    """A job that stands for a personal worker run is no processing."""
    words = "User worker run of ada"
    dioptra.put(9, ("queued", 4), description=words, queue="local-ada")
    dioptra.put(10, ("queued", 4), description=words, queue="local-ada", user="bob")
    rows = browser.get("/rows?type=internal").text
    assert 'data-job="9"' in rows
    assert 'data-job="10"' not in rows
