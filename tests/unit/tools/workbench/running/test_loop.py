"""Runs that begin again when a file changes, also while one is prepared."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.tools.workbench.folders import sums

from dioptra_worker.tools.workbench.planning.run_request import RunRequest
from dioptra_worker.tools.workbench.running.display import Reporter
from dioptra_worker.tools.workbench.running.loop import keep_running
from dioptra_worker.tools.workbench.running.supervised import LocalRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.common.files.workspace import Workspace
    from dioptra_worker.protocol.messages import Plan
    from dioptra_worker.tools.workbench.planning.run_plan import RunPlan

SECONDS = 30.0


class _Runner:
    """Stands for a `LocalRunner`: a run takes until it is stopped; Ctrl-C in the last.

    Args:
        last: Which run that is.
    """

    interrupted = False

    def __init__(self, last: int) -> None:
        self.runs = 0
        self.reasons: list[str] = []
        self._last = last
        self._stopped = threading.Event()

    def run(self, _run_plan: RunPlan, **_options: object) -> None:
        """Run it."""
        self.runs += 1
        if self.runs == self._last:
            raise KeyboardInterrupt
        assert self._stopped.wait(SECONDS)
        self._stopped.clear()

    def stop(self, reason: str) -> None:
        """Stop the run."""
        self.reasons.append(reason)
        self._stopped.set()


class _Request(RunRequest):
    """Something happens while it is read, the first time."""

    def meanwhile(self, happens: Callable[[], None]) -> RunRequest:
        """What is to happen."""
        object.__setattr__(self, "_happens", happens)
        return self

    def prepare(self) -> RunPlan:
        """Read it."""
        run_plan = super().prepare()
        happens, self.__dict__["_happens"] = self.__dict__["_happens"], lambda: None
        happens()
        return run_plan


def _watch(request: RunRequest, runner: Any) -> None:
    keep_running(
        request,
        runner,
        reporter=Reporter(None),
        listener=None,  # type: ignore[arg-type]
        timeout=None,
    )


def test_a_change_while_it_is_read(tmp_path: Path) -> None:
    """The run of what was read before the change is stopped, and made anew."""
    file = sums(tmp_path)

    def change() -> None:
        with file.open("a") as graph:
            graph.write("# a change\n")

    runner = _Runner(last=2)
    _watch(_Request(path=file).meanwhile(change), runner)
    assert (runner.runs, runner.reasons) == (2, ["a file of it has changed"])


def test_a_file_that_goes_away_while_it_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is told in a sentence, and the next change is waited for."""
    file = sums(tmp_path)
    plugin = tmp_path / "plugins/sums/tasks.py"
    text = plugin.read_text()

    def remove() -> None:
        plugin.unlink()
        threading.Timer(0.5, lambda: plugin.write_text(text + "#")).start()
        plugin.read_text()

    runner = _Runner(last=1)
    _watch(_Request(path=file).meanwhile(remove), runner)
    said = capsys.readouterr()
    assert runner.runs == 1
    assert "tasks.py' cannot be used: No such file or directory" in said.err
    assert "waiting for a change" in said.out


@pytest.mark.process
def test_a_change_before_there_is_a_runner(tmp_path: Path) -> None:
    """A run that is stopped while its folder is filled is stopped, not lost."""
    file = sums(tmp_path)
    (tmp_path / "plugins/sums/tasks.py").write_text(
        "from dioptra import pyplugs\nimport time\n\n\n@pyplugs.register\n"
        "def add(a, b):\n    time.sleep(300)\n"
    )
    file.write_text(file.read_text().partition("artifact_outputs")[0])
    run_plan = RunRequest(path=file).prepare()
    runner = LocalRunner(
        folder=tmp_path / "runs",
        isolation="fork",
        preload=(),
        environment={},
        session=lambda _: pytest.fail("there is no server"),
    )
    stage = type(run_plan).stage

    def stopped(space: Workspace) -> Plan:
        runner.stop("a file of it has changed")
        return stage(run_plan, space)

    object.__setattr__(run_plan, "stage", stopped)
    with runner:
        result = runner.run(run_plan, listener=None, timeout=SECONDS)
    assert "a file of it has changed" in result.reason
