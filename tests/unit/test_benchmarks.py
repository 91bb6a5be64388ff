"""What the benchmarks make of their numbers."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from benchmarks import page, plot, results, tree, words
from benchmarks.access_log import Requests
from benchmarks.errors import BenchmarkError
from benchmarks.report import Report
from benchmarks.results import Measure, Result, Summary, Table, Target
from benchmarks.rivals import OURS, PEER, Rival, running
from benchmarks.run import Failure
from benchmarks.scenarios import SCENARIOS

ROOT = Path(__file__).resolve().parents[2]
ABOUT = {
    "quick": False,
    "peer": "full",
    "date": "2026-01-02 03:04 UTC",
    "machine": {
        "processor": "Some CPU",
        "cores": 2,
        "memory GiB": 8.0,
        "system": "Linux x86_64",
        "python": "3.11.0",
        "load before": 0.1,
    },
    "versions": {"ours": {"rq": "3.0.0"}, "peer": {"rq": "3.0.0"}},
}


def _result(**about: object) -> Result:
    measure = Measure("wait", "s", {OURS: [0.1, 0.2, 0.3], PEER: [2.0, 1.0]})
    return Result(
        [measure, Measure("parts", "", {OURS: [7]})],
        targets=[
            Target("at least 5 × faster", "wait", PEER, OURS, at_least=5),
            Target("at least 9 × faster", "wait", PEER, OURS, at_least=9),
            Target("at most a tenth", "wait", OURS, PEER, at_most=0.1),
            Target("beside nobody", "parts", PEER, OURS, at_least=1),
        ],
        tables=[Table("More", ["a", "b"], [["x", "1"]])],
        notes=["A note."],
        about=ABOUT | about,
    )


def test_what_could_not_be_measured_is_named_last(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whoever sees the end of the output only knows which scenario, and why."""
    failures = [Failure("evidence", BenchmarkError("Job 7 has no receipt."))]
    Report().end(failures)
    words = "evidence could not be measured: Job 7 has no receipt."
    assert capsys.readouterr().err.splitlines()[-1].strip() == words


def test_summary_has_quartiles() -> None:
    """A summary is the median and the quartiles, and one value is its own."""
    assert Summary.of([4.0, 1.0, 3.0, 2.0, 5.0]) == Summary(3.0, 2.0, 4.0, 5)
    assert Summary.of([4.0]) == Summary(4.0, 4.0, 4.0, 1)


@pytest.mark.parametrize(
    ("number", "reached"), [(0, True), (1, False), (2, False), (3, None)]
)
def test_verdict(number: int, *, reached: bool | None) -> None:
    """A target is judged by the ratio of the medians, if both were measured."""
    result = _result()
    verdict, sentence = words.verdict(result, result.targets[number])
    assert verdict is reached
    assert result.targets[number].text in sentence


def test_results_survive_their_file(tmp_path: Path) -> None:
    """What was written is what is read, and a second time gives the same bytes."""
    path = tmp_path / "some.json"
    results.write(_result(), path)
    first = path.read_bytes()
    found = results.read(path)
    assert found == _result()
    results.write(found, path)
    assert path.read_bytes() == first
    assert [file.name for file in tmp_path.iterdir()] == ["some.json"]


def test_page_says_what_was_measured(tmp_path: Path) -> None:
    """The page has the medians, the spread, the ratio, the verdicts and the date."""
    results.write(_result(), tmp_path / "drain.json")
    text = page.page(tmp_path)
    assert (
        "| wait, s | 0.200 (0.150–0.250, n=3) | 1.50 (1.25–1.75, n=2) | 7.5 × |" in text
    )
    assert "| Drain | at least 5 × faster | peer / ours = 7.50 | yes |" in text
    assert "| Drain | at least 9 × faster | peer / ours = 7.50 | **no** |" in text
    assert "| Drain | beside nobody | – | – |" in text
    assert "A note." in text
    assert "Measured on 2026-01-02 03:04 UTC." in text
    assert text.count("Some CPU, 2 cores") == 1
    for warning in ("busy", "quick form", "slim"):
        assert warning not in text


@pytest.mark.parametrize(
    ("about", "warning"),
    [
        ({"quick": True}, "quick form"),
        ({"peer": "slim"}, "slim"),
        ({"machine": ABOUT["machine"] | {"load before": 3.0}}, "busy"),  # type: ignore[operator]
    ],
)
def test_page_says_what_speaks_against_it(
    tmp_path: Path, about: dict[str, object], warning: str
) -> None:
    """The page warns of a quick run, of a slim peer and of a busy machine."""
    results.write(_result(**about), tmp_path / "drain.json")
    assert warning in page.page(tmp_path)


def test_more_is_better_of_a_rate() -> None:
    """How much better ours is, is the other ratio where more is better."""
    rate = Measure("rate", words.RATE, {OURS: [6.0], PEER: [2.0]})
    wait = Measure("wait", "s", {OURS: [6.0], PEER: [2.0]})
    columns = words.columns(Result([rate]))
    assert columns == [OURS, PEER, "better by"]
    assert [row[-1] for row in words.rows(Result([rate, wait]), columns)] == [
        "3.0 ×",
        "0.33 ×",
    ]


def test_page_without_results(tmp_path: Path) -> None:
    """Without results the page says so."""
    assert "Nothing has been measured yet." in page.page(tmp_path)


def test_plots_are_drawn_of_the_results(tmp_path: Path) -> None:
    """The plots are SVG; a ratio below 1 goes to the other side and is red."""
    results.write(_result(), tmp_path / "drain.json")
    texts = [node.text for node in ET.fromstring(page.ratios(tmp_path)).iter()]  # noqa: S314
    assert "Drain: wait" in texts
    assert "7.5 ×" in texts
    bars = [plot.Bar("a & b", 10.0, "10"), plot.Bar("c", 0.1, "0.1", good=False)]
    chart = ET.fromstring(plot.logarithmic("t", bars))  # noqa: S314
    _, good, bad = [node.attrib for node in chart if node.tag.endswith("rect")]
    assert float(bad["x"]) + float(bad["width"]) == pytest.approx(float(good["x"]))
    assert float(bad["width"]) == pytest.approx(float(good["width"]))
    assert good["fill"] != bad["fill"]


def test_committed_results_are_readable() -> None:
    """Every committed file belongs to a scenario and names no path or host."""
    names = {scenario.name for scenario in SCENARIOS}
    for path in page.RESULTS.glob("*"):
        assert path.suffix == ".json"
        assert path.stem in names
        results.read(path)
        text = path.read_text("utf-8")
        assert "://" not in text
        assert str(ROOT) not in text


def test_access_log_is_read_from_where_it_was(tmp_path: Path) -> None:
    """Requests are those since the beginning, without their queries and ids."""
    log = tmp_path / "api.log"
    line = '127.0.0.1 - - [now] "{}" 200 5 "-" "agent 1.0" 0.012500\n'
    log.write_text(line.format("POST /api/v1/jobs/1/log HTTP/1.1"))
    seen = Requests(log)
    with log.open("a") as file:
        file.write("a line of another kind\n")
        for request in ("POST /api/v1/jobs/2/log", "GET /api/v1/jobs/2?a=b"):
            file.write(line.format(f"{request} HTTP/1.1"))
    assert [request.kind for request in seen] == ["POST /jobs/…/log", "GET /jobs/…"]
    assert [request.seconds for request in seen] == [0.0125, 0.0125]
    assert seen.count("POST", "/jobs/2/log") == 1
    assert seen.count("POST", "/jobs/1/log") == 0


@pytest.mark.process
def test_worker_that_does_not_come_up(tmp_path: Path) -> None:
    """A worker that ends instead of listening is told with its last words."""
    rival = _fake_rival(tmp_path, "echo no such queue >&2; exit 7")
    environment = {"RQ_REDIS_URI": "redis://localhost:1/0"}
    with (
        pytest.raises(BenchmarkError, match=r"(?s)'peer' ended.*code 7.*no such queue"),
        running(rival, environment, "q", tmp_path / "work"),
    ):
        pytest.fail("it came up")


@pytest.mark.process
def test_worker_is_ended_with_all_below_it(tmp_path: Path) -> None:
    """At the end of the block nothing of a worker runs, however deaf it is."""
    rival = _fake_rival(tmp_path, "trap '' TERM; sleep 300 & echo Listening on q; wait")
    environment = {"RQ_REDIS_URI": "redis://localhost:1/0"}
    with running(rival, environment, "q", tmp_path / "work", patience=0.5) as worker:
        pids = tree.processes(worker.pid)
    assert len(pids) == 2
    assert not set(filter(tree.runs, pids))


def _fake_rival(folder: Path, script: str) -> Rival:
    program = folder / "dioptra-worker-v1"
    program.write_text(f"{script}\n")
    interpreter = folder / "python"
    interpreter.symlink_to("/bin/sh")
    return Rival(PEER, interpreter)
