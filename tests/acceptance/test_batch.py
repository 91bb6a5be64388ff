"""Batches shared by jobs on several workers: each element once, whatever crashes."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from tests.plugins.testbed import Platform, platform_of_a_test
from tests.plugins.worker_process import worker

if TYPE_CHECKING:
    from pathlib import Path

    from dioptra_worker.tools.local import LocalStack

SOURCE = """
from dioptra_worker.batch import DatasetWorker, ElementsWorker


class Journal(ElementsWorker):
    def __init__(self, file, seconds):
        super().__init__()
        self.file = open(file, "a", buffering=1)
        self.seconds = seconds

    def process_element(self, element):
        self.file.write(f"begin {element.id}\\n")
        if element.id.startswith("hang"):
            time.sleep(600)
        if element.id.startswith("crash"):
            os.kill(os.getpid(), signal.SIGKILL)
        if element.id.startswith("bad"):
            raise ValueError("no good")
        time.sleep(self.seconds)
        self.file.write(f"end {element.id}\\n")


@pyplugs.register
def elements(elements, journal, seconds=0.0):
    if isinstance(elements, int):
        elements = [f"e{number}" for number in range(elements)]
    return Journal(journal, seconds).run(elements=elements)


class Sets(DatasetWorker):
    def process_set(self, item):
        names = sorted(entry.name for entry in item.path.iterdir())
        print("set", item.name, names, item.path.is_relative_to(Path.cwd()))


@pyplugs.register
def data():
    return {"train/0.json": "{}", "train/1.json": "{}", "test/0.json": "{}"}


@pyplugs.register
def sets(sets):
    Sets().run(sets=sets or None)
    print("left:", [entry.name for entry in Path.cwd().glob("extras-*/*")])


@pyplugs.register
def show(loaded):
    Sets().run()
"""


platform = platform_of_a_test


def _events(journal: Path) -> list[tuple[str, str]]:
    text = journal.read_text() if journal.exists() else ""
    return [tuple(line.split()) for line in text.splitlines()]  # type: ignore[misc]


def _wait_for_ends(journal: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while sum(kind == "end" for kind, _ in _events(journal)) < count:
        assert time.monotonic() < deadline, "the batch does not go on"
        time.sleep(0.05)


@pytest.mark.timeout(300)
@pytest.mark.slow
def test_three_workers_two_killed(
    platform: Platform, stack: LocalStack, tmp_path: Path
) -> None:
    """Each of 2,000 elements is processed, and none again but what a kill was amid.

    A kill may come when an element's code has ended and nobody knows that yet.
    """
    journal = tmp_path / "journal"
    graph = {"all": {"elements": ["$elements", str(journal), 0.001]}}
    entrypoint = platform.entrypoint(SOURCE, graph, parameters={"elements": 2000})
    jobs = [platform.submit(entrypoint) for _ in range(3)]
    environment = stack.environment()
    with ExitStack() as exits:
        daemons = [
            exits.enter_context(
                worker(
                    environment,
                    tmp_path / f"w{number}",
                    "--name",
                    f"{platform.queue}-{number}",
                    platform.queue,
                )
            )
            for number in range(3)
        ]
        _wait_for_ends(journal, 300)
        for daemon in daemons[:2]:
            daemon.send(signal.SIGKILL)
            daemon.wait()
        for number in range(2):  # started again by whatever watches over them
            name = f"{platform.queue}-{number}"
            again = tmp_path / f"again{number}"
            exits.enter_context(
                worker(environment, again, "--name", name, platform.queue)
            )
        for job in jobs:
            assert platform.wait(job, seconds=150) == "finished", platform.text(job)
    ends = Counter(element for kind, element in _events(journal) if kind == "end")
    begins = Counter(element for kind, element in _events(journal) if kind == "begin")
    assert len(ends) == 2000
    begun_again = {element for element, count in begins.items() if count > 1}
    assert {element for element, count in ends.items() if count > 1} <= begun_again
    assert sum(begins.values()) <= 2002, "more was begun again than was lost"


@pytest.mark.timeout(240)
def test_what_is_left_is_done_by_running_again(
    platform: Platform, stack: LocalStack, tmp_path: Path
) -> None:
    """A crash over one element fails its job; the next job does the others first."""
    journal = tmp_path / "journal"
    graph = {"all": {"elements": ["$elements", str(journal)]}}
    batch = ["a", "bad", "crash", "b"]
    entrypoint = platform.entrypoint(SOURCE, graph, parameters={"elements": batch})
    with worker(stack.environment(), tmp_path, platform.queue):
        first = platform.run(entrypoint, ends="failed")
        assert "SIGKILL" in platform.text(first)
        second = platform.run(entrypoint, ends="failed")
        text = platform.text(second)
        assert "element crash comes last: a job was lost over it" in text
        assert "Skipping element a" in text
        begun = [element for _, element in _events(journal)]
        assert begun == ["a", "a", "bad", "crash", "bad", "b", "b", "crash"]
        others = json.dumps(["a", "b", "c"])
        third = platform.run(entrypoint, values={"elements": others})
        words = "Ran on 3 elements: 1 completed, 2 skipped, 0 failed"
        assert words in platform.text(third)
        metrics = {
            entry["name"]: entry["value"]
            for entry in platform.api.get(f"/jobs/{third}/metrics")
        }
    assert metrics == {
        "elements_total": 3,
        "elements_processed": 1,
        "elements_skipped": 2,
        "elements_failed": 0,
    }


def test_the_time_limit_holds(
    platform: Platform, stack: LocalStack, tmp_path: Path
) -> None:
    """A limit on time within an element stops the job, and the element is free."""
    journal = tmp_path / "journal"
    graph = {"all": {"elements": ["$elements", str(journal)]}}
    batch = ["a", "hang", "b"]
    entrypoint = platform.entrypoint(SOURCE, graph, parameters={"elements": batch})
    with worker(stack.environment(), tmp_path, platform.queue):
        first = platform.run(entrypoint, timeout="8s", ends="failed")
        assert "timed out after its limit of 8.0 s" in platform.text(first)
        others = json.dumps(["b", "a"])
        second = platform.run(entrypoint, values={"elements": others})
    assert "1 completed, 1 skipped" in platform.text(second)


def test_sets(platform: Platform, stack: LocalStack, tmp_path: Path) -> None:
    """Sets of input artifacts and of data sets by id are processed, and cleaned up."""
    maker = platform.entrypoint(
        SOURCE,
        {"data": {"data": []}},
        artifact_outputs={"ds": {"contents": "$data", "task": {"name": "Folder"}}},
    )
    by_id = platform.entrypoint(
        SOURCE, {"all": {"sets": ["$sets"]}}, parameters={"sets": [""]}
    )
    by_input = platform.entrypoint(
        SOURCE, {"show": {"show": ["$ds"]}}, artifact_inputs={"ds": ["files"]}
    )
    with worker(stack.environment(), tmp_path, platform.queue):
        job = platform.run(maker)
        artifact = platform.artifacts(job)["ds"]
        wanted = [f"{artifact['id']}:{name}" for name in ("train", "nope")]
        second = platform.run(by_id, values={"sets": json.dumps(wanted)})
        text = platform.text(second)
        assert "set train ['0.json', '1.json'] True" in text
        assert f"data set {artifact['id']} has no set 'nope'" in text
        assert "Ran on 2 sets: 1 completed, 1 failed" in text
        assert "left: []" in text
        inputs = {"ds": {"id": artifact["id"], "snapshotId": artifact["snapshot"]}}
        third = platform.run(by_input, artifacts=inputs)
        text = platform.text(third)
        assert "set test ['0.json'] True" in text
        assert "set train ['0.json', '1.json'] True" in text
        assert "Ran on 2 sets: 2 completed, 0 failed" in text
        odd = platform.run(by_id, values={"sets": '["train"]'}, ends="failed")
        assert "'train' is no set: give <artifact id>:<set name>" in platform.text(odd)
