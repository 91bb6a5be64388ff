"""Elements workers, with a bridge whose daemon is a dictionary."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from dioptra_worker.batch import BadBatch, Element, ElementsWorker, WorkerFailed
from dioptra_worker.sdk.worker import bridge
from dioptra_worker.sdk.worker.bridge import InputFolder, JobContext, Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass
class Desk:
    """A bridge that keeps activities and metrics in memory.

    Attributes:
        states: The state of each element; ``held`` is another job's.
        crashed: Elements over which a job was lost.
        broken: States that cannot be recorded now.
    """

    job_id: int = 7
    context: JobContext = field(default_factory=JobContext)
    states: dict[str, str] = field(default_factory=dict)
    crashed: set[str] = field(default_factory=set)
    broken: set[str] = field(default_factory=set)
    metrics: dict[str, float] = field(default_factory=dict)

    def append_metric(self, name: str, value: float, step: int | None) -> None:
        """Keep the last value."""
        assert step == 0
        self.metrics[name] = value

    def session(self) -> Session:
        """There is no API."""
        raise NotImplementedError

    renew = session

    def set_element_state(
        self, element: str, state: str, *, error: str = "", last: bool = False
    ) -> str:
        """Claim or settle as the daemon does."""
        del error
        if state in self.broken:
            raise ConnectionError("no daemon")
        if state != "started":
            if self.states.get(element) != "started":
                return "lost"
            self.states[element] = state
            return "settled"
        if self.states.get(element) in {"held", "processed"}:
            return self.states[element]
        if element in self.crashed and not last:
            return "postponed"
        self.states[element] = "started"
        return "granted"


@pytest.fixture(name="desk")
def _desk() -> Iterator[Desk]:
    desk = Desk()
    bridge.install(desk)
    yield desk
    bridge.install(None)


class Picky(ElementsWorker):
    """Fails on what is called bad, and keeps what it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def process_element(self, element: Element) -> None:
        """Process one."""
        self.seen.append(element.id)
        if "bad" in element.id:
            raise ValueError(element.id)
        if "stop" in element.id:
            raise KeyboardInterrupt


def test_one_bad_element_stops_no_other(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """A failure is counted, recorded and told; the others are processed."""
    with caplog.at_level("INFO"):
        counts = Picky().run(elements=["a", "bad", {"id": 3, "x": 1}])
    assert counts == {"completed": 2, "skipped": 0, "failed": 1}
    assert desk.states == {"a": "processed", "bad": "error", "3": "processed"}
    assert "Failed running worker on element bad: ValueError('bad')" in caplog.text
    last = caplog.records[-1]
    assert last.levelname == "ERROR"
    assert last.getMessage() == "Ran on 3 elements: 2 completed, 1 failed"


def test_what_is_done_or_held_is_skipped(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """Running again does only what is left, and what failed."""
    desk.states = {"a": "processed", "b": "held", "c": "error"}
    worker = Picky()
    with caplog.at_level("INFO"):
        counts = worker.run(elements=["a", "b", "c", "d"])
    assert worker.seen == ["c", "d"]
    assert counts == {"completed": 2, "skipped": 2, "failed": 0}
    words = "Ran on 4 elements: 2 completed, 2 skipped, 0 failed"
    assert caplog.records[-1].getMessage() == words


def test_what_took_a_job_down_comes_last(desk: Desk) -> None:
    """An element over which a job was lost does not keep others from being done."""
    desk.crashed = {"a"}
    worker = Picky()
    worker.run(elements=["a", "b", "c"])
    assert worker.seen == ["b", "c", "a"]


@pytest.mark.parametrize("elements", [["bad"], ["bad1", "bad2"]])
def test_all_failed_is_failed(desk: Desk, elements: list[str]) -> None:
    """A run in which nothing succeeded fails the job."""
    with pytest.raises(WorkerFailed, match="0 completed"):
        Picky().run(elements=elements)
    assert set(desk.states.values()) == {"error"}


def test_nothing_to_do_is_failed(desk: Desk) -> None:
    """An empty list fails the job, in the words of the log."""
    with pytest.raises(WorkerFailed, match="No elements to process"):
        Picky().run(elements=[])
    assert desk.states == {}


def test_a_stop_lets_go(desk: Desk) -> None:
    """What is no failure passes through, and the element is free again."""
    with pytest.raises(KeyboardInterrupt):
        Picky().run(elements=["a", "stop", "c"])
    assert desk.states == {"a": "processed", "stop": "queued"}


def test_what_cannot_be_claimed_is_not_processed(desk: Desk) -> None:
    """Without a claim an element counts as failed and stays untouched."""
    desk.broken = {"started"}
    worker = Picky()
    with pytest.raises(WorkerFailed):
        worker.run(elements=["a"])
    assert worker.seen == []


def test_what_cannot_be_recorded_is_failed(desk: Desk) -> None:
    """An element whose success is not recorded counts as failed."""
    desk.broken = {"processed"}
    with pytest.raises(WorkerFailed):
        Picky().run(elements=["a"])


def test_a_failure_that_cannot_be_recorded_is_one_failure(desk: Desk) -> None:
    """The error state is best effort, and the element counts once."""
    desk.broken = {"error"}
    counts = Picky().run(elements=["bad", "a"])
    assert counts == {"completed": 1, "skipped": 0, "failed": 1}


def test_a_stolen_element_is_not_completed_here(desk: Desk) -> None:
    """What another job took over meanwhile is not counted as done twice."""

    class Robbed(Picky):
        def process_element(self, element: Element) -> None:
            """Lose it."""
            desk.states[element.id] = "held"

    assert Robbed().run(elements=["a"]) == {
        "completed": 0,
        "skipped": 1,
        "failed": 0,
    }


def test_loading_is_part_of_an_element(desk: Desk) -> None:
    """An element that cannot be loaded is recorded as failed."""

    class Loader(Picky):
        def load_element(self, element: Element) -> Element:
            """Fail for one."""
            if element.id == "gone":
                raise FileNotFoundError(element.id)
            return element

    Loader().run(elements=["gone", "a"])
    assert desk.states == {"gone": "error", "a": "processed"}


def test_the_progress_is_metrics(desk: Desk) -> None:
    """The last counts are in the job's metrics."""
    desk.states = {"b": "processed"}
    Picky().run(elements=["a", "b", "bad"])
    assert desk.metrics == {
        "elements_total": 3,
        "elements_processed": 1,
        "elements_skipped": 1,
        "elements_failed": 1,
    }


def test_an_element_is_named_once(desk: Desk) -> None:
    """Twins are one element, and entries without an id are none."""
    del desk
    worker = Picky()
    worker.run(elements=["a", {"id": "a"}, {"id": None}, {"name": "x"}, ""])
    assert worker.seen == ["a"]


def test_an_element_has_attributes(desk: Desk) -> None:
    """Entries are attributes; one that is missing says which element."""
    del desk
    element = Element({"id": 5, "label": "cat"})
    assert (element.id, element.label) == ("5", "cat")
    with pytest.raises(AttributeError, match="element '5' has no 'size'"):
        _ = element.size


def test_a_text_is_no_list(desk: Desk) -> None:
    """A text where a list belongs is refused, and not taken letter by letter."""
    del desk
    with pytest.raises(BadBatch, match="must be a list, not the text 'abc'"):
        Picky().run(elements="abc")


@pytest.mark.parametrize(
    ("defaults", "model", "given", "expected"),
    [
        ({"a": 1}, None, {"a": 1}, {"a": 1}),
        ({"a": 1}, None, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": 3}, {"a": 1}, {"a": 3}),
        ({"a": 1}, {"a": 3}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"b": 4}, {"a": 1}, {"a": 1, "b": 4}),
        ({}, {"b": 4}, {}, {"b": 4}),
        ({"a": None}, None, {"a": None}, {"a": None}),
        ({"a": [1]}, {"a": [2]}, {"a": [1]}, {"a": [2]}),
    ],
)
def test_configuration_layers(
    desk: Desk,
    tmp_path: Path,
    defaults: dict[str, Any],
    model: dict[str, Any] | None,
    given: dict[str, Any],
    expected: dict[str, Any],
) -> None:
    """Defaults yield to a model's configuration, and that to what the job was given."""
    if model is not None:
        (tmp_path / "configuration.json").write_text(json.dumps(model))
    desk.context = JobContext(
        parameters=given, defaults=defaults, inputs={"model": InputFolder(1, tmp_path)}
    )
    worker = Picky()
    worker.run(elements=["a"])
    assert worker.config == expected


def test_a_broken_model_configuration_is_named(desk: Desk, tmp_path: Path) -> None:
    """A model whose configuration is no JSON fails before the first element."""
    (tmp_path / "configuration.json").write_text("{")
    desk.context = JobContext(inputs={"model": InputFolder(1, tmp_path)})
    with pytest.raises(BadBatch, match=r"configuration\.json of input artifact"):
        Picky().run(elements=["a"])
    assert desk.states == {}


SCRIPT = """
from dioptra_worker.batch import ElementsWorker

class Shout(ElementsWorker):
    def process_element(self, element):
        if element.id == "bad":
            raise ValueError("bad")
        print(element.id.upper() + self.config.get("mark", "!"))

Shout("Shouts.", support_cache=True).run()
"""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder / "shout.py"
    script.write_text(SCRIPT)
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=60,
    )


@pytest.mark.process
def test_on_a_laptop(tmp_path: Path) -> None:
    """The same class runs from the command line, with a configuration file."""
    (tmp_path / "c.yml").write_text("mark: '?'\n")
    done = _run(tmp_path, "--element", "a", "bad", "b", "--dev", "-c", "c.yml")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "A?\nB?\n"
    assert "Ran on 3 elements: 2 completed, 1 failed" in done.stderr
    assert "Traceback" not in done.stderr
    loud = _run(tmp_path, "--element", "bad", "-v")
    assert loud.returncode == 1
    assert "Traceback" in loud.stderr


@pytest.mark.process
def test_lists_on_a_laptop(tmp_path: Path) -> None:
    """Elements come from a JSON list or from a database; bad ones are one sentence."""
    (tmp_path / "list.json").write_text('[{"id": "x"}, {"name": "no id"}]')
    assert _run(tmp_path, "--elements-list", "list.json").stdout == "X!\n"
    both = _run(tmp_path, "--elements-list", "list.json", "--element", "a")
    assert both.returncode == 2
    assert "give either --elements-list or --element, not both" in both.stderr
    database = sqlite3.connect(tmp_path / "cache.db")
    database.execute("CREATE TABLE elements (id TEXT, data TEXT, initial BOOLEAN)")
    database.execute("INSERT INTO elements VALUES ('y', '{}', 1), ('z', '{}', 0)")
    database.commit()
    database.close()
    assert _run(tmp_path, "-d", "cache.db").stdout == "Y!\n"
    nothing = _run(tmp_path)
    assert nothing.returncode == 1
    assert "No elements to process, stopping." in nothing.stderr
    missing = _run(tmp_path, "--elements-list", "nowhere.json")
    assert missing.returncode == 2
    assert "--elements-list 'nowhere.json' cannot be read" in missing.stderr
    assert "Traceback" not in missing.stderr


def test_nothing_is_published_without_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """On a laptop without a worker run, what is to be published is named and stays."""
    monkeypatch.delenv("DIOPTRA_WORKER_RUN_ID", raising=False)
    monkeypatch.setattr("sys.argv", ["worker"])
    worker = Picky()
    worker.configure()
    assert worker.is_read_only
    assert not worker.store_activity
    assert worker.publish(tmp_path / "report.txt") is None
    assert "report.txt is not published: set DIOPTRA_WORKER_RUN_ID" in caplog.text


@pytest.mark.usefixtures("desk")
def test_a_job_publishes_by_its_graph(tmp_path: Path) -> None:
    """In a job, nothing is published past the task graph."""
    with pytest.raises(WorkerFailed, match="outputs of its task graph"):
        Picky().publish(tmp_path)


def test_a_run_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker run without an account is one sentence, and nothing is processed."""
    for name in ("DIOPTRA_API", "DIOPTRA_USERNAME", "DIOPTRA_WORKER_USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DIOPTRA_WORKER_RUN_ID", "465a8320")
    monkeypatch.setattr("sys.argv", ["worker", "--element", "a"])
    worker = Picky()
    with pytest.raises(SystemExit) as caught:
        worker.run()
    assert caught.value.code == 1
    assert "DIOPTRA_API is missing" in caplog.text
    assert worker.seen == []
