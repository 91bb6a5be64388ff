"""Runs jobs in runners that import by themselves, and in those of what was learned."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dioptra_worker.job_environment import for_local_runs
from dioptra_worker.supervision.launcher import Launcher
from dioptra_worker.tools.workbench.running.supervised import GRACE_PERIOD, LocalRunner
from dioptra_worker.tracking.backend import SERVER_MODULES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from dioptra_worker.supervision.forkserver.runner_process import (
        ProcessHandle,
        RunnerPipes,
    )
    from dioptra_worker.tools.workbench.planning.run_request import RunRequest
    from dioptra_worker.tools.workbench.running.results import Result


class _LearnedLauncher(Launcher):
    """Hands out runners that have what was learned."""

    def start_runner(
        self, *, seed: int | None = None
    ) -> tuple[ProcessHandle, RunnerPipes]:
        """One of the second fork server's."""
        assert seed is None
        # A job that waits longer gets a cold runner, and here there shall be none.
        return self.start_learned_runner(timeout=60.0)


class BothWays:
    """Two runners of one kind: one is cold, one has learned.

    Attributes:
        refused: Why a module was not learned, by its name.
    """

    def __init__(self, cold: LocalRunner, learned: LocalRunner) -> None:
        self._runners = cold, learned
        self.refused: dict[str, str] = {}

    def learn(self, modules: Sequence[str]) -> None:
        """Have what jobs wait for imported, without what is refused, as a worker does.

        Args:
            modules: What jobs wait for.
        """
        launcher, wanted = self._runners[1]._launcher, list(modules)
        while (refusal := launcher.learn(wanted, memory=1 << 30)) is not None:
            assert refusal.module, refusal.reason
            self.refused[refusal.module] = refusal.reason
            wanted.remove(refusal.module)

    def run(self, request: RunRequest) -> tuple[Result, Result]:
        """Run an entrypoint in both ways."""
        return self.run_in(0, request), self.run_in(1, request)

    def run_in(self, way: int, request: RunRequest) -> Result:
        """Run an entrypoint in one way: 0 is the cold one, 1 the learned."""
        plan = request.prepare()
        return self._runners[way].run(plan, listener=None, timeout=500.0)


@contextmanager
def both_ways(home: Path, site: Path, *, preload: str) -> Iterator[BothWays]:
    """Begin both.

    Args:
        home: A folder for what they write.
        site: A folder of installed packages of the test's.
        preload: A module that both have at first.
    """
    environment = for_local_runs(
        {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(site)}
    )
    found = []
    for kind, launcher in (("cold", Launcher), ("learned", _LearnedLauncher)):
        runner = LocalRunner(
            folder=home / f"runs-{kind}",
            isolation="fork",
            preload=(),
            environment=environment,
            session=_no_session,
            log_level="DEBUG",
        )
        runner._launcher = launcher(
            mode="fork",
            preload=(preload,),
            grace=GRACE_PERIOD,
            environment=environment,
            tracking=SERVER_MODULES,
        )
        found.append(runner)
    cold, learned = found
    with cold, learned:
        yield BothWays(cold, learned)


def _no_session(_: object) -> Any:
    raise AssertionError("there is no server")


def assert_same(cold: Result, learned: Result) -> None:
    """Status, reason, steps, log, metrics and artifacts agree."""
    assert learned.status == cold.status, cold.log + learned.log
    assert elsewhere(learned.reason) == elsewhere(cold.reason)
    assert [step.name for step in learned.steps] == [step.name for step in cold.steps]
    # The streams of a program that is started are two pipes; what an import prints and
    # what it logs are kept apart.
    lines, as_learned = said(cold), said(learned)
    unlike = [
        [line for line in ours if line not in others]
        for ours, others in ((lines, as_learned), (as_learned, lines))
    ]
    assert sorted(as_learned) == sorted(lines), unlike
    assert learned.metrics == cold.metrics
    assert learned.artifacts.keys() == cold.artifacts.keys()
    for name in learned.artifacts:
        assert _content(learned.artifact(name)) == _content(cold.artifact(name)), name


def said(result: Result) -> list[tuple[str, str, str]]:
    """The log, without what was measured and where the one job lay."""
    return [
        (line.severity, line.logger, elsewhere(line.message)) for line in result.lines
    ]


def elsewhere(text: str) -> str:
    """A text without what was measured and where the one job lay."""
    text = re.sub(r"/[^\s'\"]*/\.dioptra/", "JOB/", text)
    text = re.sub(r"/[^\s'\"]*/job-[\w.-]+", "JOB", text)
    text = re.sub(r"[0-9a-f]{32}", "RUN", text)
    return re.sub(r"[\d.]+ ([KM]iB|s)\b", "N", re.sub(r"runs-\w+", "RUNS", text))


def record(result: Result) -> dict[str, Any]:
    """What a job has told of its process, without where it lay."""
    text = result.artifact("record").read_text()
    found = json.loads(text)
    for place, word in ((found["folder"], "JOB"), (found["tmp"], "TMP")):
        text = text.replace(json.dumps(place)[1:-1], word)
    seen: dict[str, Any] = json.loads(text)
    return seen


def _content(path: Path) -> dict[str, bytes]:
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in files
        if file.is_file()
    }
