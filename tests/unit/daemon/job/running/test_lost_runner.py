"""A runner that is lost: before any of the job's code has run, another takes over."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING

import pytest
from tests.unit.daemon.job.simulated_platform import (
    OUTPUTS,
    Leases,
    PlanningApi,
    attempt_context,
)
from tests.unit.daemon.outbox.simulated_api import EXPERIMENT, JOB
from tests.unit.supervision.simulated_runner import RUN, Conduct, Forkserver

from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.files.workspace import temporary_of
from dioptra_worker.common.processes.job_user import JobUser
from dioptra_worker.common.stop import JobStop, StopRequest
from dioptra_worker.daemon.job.attempt import Attempt
from dioptra_worker.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.common.outcome import Outcome

TOKEN = "this start"
CONDUCT = Conduct(
    has_run=True, end="finished", on_sigterm=None, closes_run=True, artifacts=OUTPUTS
)
AGAIN = "none of the job's code has run, so it is begun again"


class Scene:
    """A job whose first runners are lost.

    Attributes:
        api: The REST API of the job.
        leases: Redis.
        forkserver: Hands out its runners.
        stop: Whether it is to stop.
        attempt: The attempt at it.
    """

    def __init__(
        self,
        folder: Path,
        moment: str,
        *,
        lost: int = 1,
        on_loss: Callable[[Scene], object] = lambda _: None,
    ) -> None:
        """Prepare.

        Args:
            folder: The worker's own.
            moment: When they are lost.
            lost: How many.
            on_loss: What else happens then, before.
        """
        self.api = PlanningApi(status="queued")
        self.leases = Leases()
        self.forkserver = Forkserver(CONDUCT, self._at)
        self.stop = JobStop(last_words_timeout=0.5)
        self._moment, self._lost, self._on_loss = moment, lost, on_loss
        request = JobRequest(
            job_id=JOB,
            experiment_id=EXPERIMENT,
            time_limit=None,
            worker="me",
            start_token=TOKEN,
        )
        context = attempt_context(
            self.api, self.forkserver, self.leases, folder, kill_grace=0.02
        )
        self.attempt = Attempt(request, context, stop=self.stop)

    def run(self) -> Outcome:
        """See the job through."""
        return self.attempt.run(self.attempt.claim())

    def _at(self, moment: str) -> None:
        if moment == self._moment and self._lost:
            self._lost -= 1
            self._on_loss(self)
            self.forkserver.runners[-1].signal(signal.SIGKILL)


@pytest.mark.parametrize("moment", ["begun", "run", "planned"])
def test_lost_before_any_code_of_the_job(moment: str, tmp_path: Path) -> None:
    """Another runner runs the job, in the same attempt, and its log says so."""
    scene = Scene(tmp_path, moment)
    outcome = scene.run()
    assert (outcome.fate, len(scene.forkserver.runners)) == ("finished", 2)
    assert [status for status, _ in scene.api.statuses] == ["started", "finished"]
    [said] = [text for text in scene.api.messages() if text.endswith(AGAIN)]
    assert said.startswith("killed by SIGKILL while the job was prepared after ")
    assert scene.api.messages().count("at work") == 1
    assert len(scene.api.artifacts) == len(OUTPUTS)
    # What the first one has begun in MLflow nobody knows, unless it has said so.
    is_unknown = moment == "begun"
    assert scene.leases.unknown == ([(TOKEN, "FINISHED")] if is_unknown else [])
    assert scene.attempt.is_settled == (not is_unknown)
    assert list(tmp_path.glob("job-*")) == []


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="only root can hand a folder over to another user",
)
@pytest.mark.parametrize("moment", ["begun", "run", "planned"])
def test_lost_with_its_fork_server(moment: str, tmp_path: Path) -> None:
    """The next runner has the job's folder, whoever it is, and none of the first's."""
    first, second = 60706, 60707
    owners: dict[str, int] = {}

    def lose(scene: Scene) -> None:
        [folder] = tmp_path.glob("job-*")
        (folder / "left").touch()
        scene.forkserver.job_user = JobUser(second)
        scene.forkserver.at = look

    def look(moment: str) -> None:
        if moment == "working":
            [folder] = tmp_path.glob("job-*")
            assert not (folder / "left").exists()
            for name in (".", ".dioptra", ".dioptra/plugins"):
                owners[name] = (folder / name).stat().st_gid
            owners["temporary"] = temporary_of(folder).stat().st_gid
            owners["address"] = (temporary_of(folder) / "worker").stat().st_gid

    scene = Scene(tmp_path, moment, on_loss=lose)
    scene.forkserver.job_user = JobUser(first)
    outcome = scene.run()
    assert (outcome.fate, len(scene.forkserver.runners)) == ("finished", 2)
    assert len(owners) == 5
    assert set(owners.values()) == {second}


def test_the_second_looks_for_the_run_of_the_first(tmp_path: Path) -> None:
    """Only the second is told that somebody has perhaps begun the MLflow run."""
    scene = Scene(tmp_path, "run")
    scene.run()
    starts = [runner.start for runner in scene.forkserver.runners]
    assert [start is not None and start.again for start in starts] == [False, True]
    assert len({start.token for start in starts if start is not None}) == 1


@pytest.mark.parametrize("moment", ["working", "stored"])
def test_lost_when_code_of_the_job_may_have_run(moment: str, tmp_path: Path) -> None:
    """Nobody knows what that has done: the job fails with the cause."""
    scene = Scene(tmp_path, moment)
    outcome = scene.run()
    assert (outcome.fate, len(scene.forkserver.runners)) == ("failed", 1)
    assert outcome.reason.startswith("killed by SIGKILL")
    assert scene.forkserver.closed == [(RUN, "FAILED")]


def test_lost_again(tmp_path: Path) -> None:
    """What ends every runner ends the job: two are tried."""
    scene = Scene(tmp_path, "run", lost=9)
    outcome = scene.run()
    assert (outcome.fate, len(scene.forkserver.runners)) == ("failed", 2)
    assert outcome.reason.startswith("killed by SIGKILL while the job was prepared")
    assert scene.forkserver.closed == [(RUN, "FAILED")]


@pytest.mark.parametrize(
    ("kind", "fate"), [("requested", "stopped"), ("shutdown", "given back")]
)
def test_stopped_meanwhile(kind: str, fate: str, tmp_path: Path) -> None:
    """A job that is to stop is not begun again."""
    stop = StopRequest("shutdown" if kind == "shutdown" else "requested", "stop it")
    scene = Scene(tmp_path, "run", on_loss=lambda scene: scene.stop.request(stop))
    outcome = scene.run()
    assert (outcome.fate, len(scene.forkserver.runners)) == (fate, 1)
    assert scene.forkserver.closed == [(RUN, "KILLED")]


def test_no_second_one(tmp_path: Path) -> None:
    """Where no other can be had, the job fails with the cause of the first's loss."""

    def no_more(scene: Scene) -> None:
        scene.forkserver.conduct = RunnerError("no memory")

    scene = Scene(tmp_path, "run", on_loss=no_more)
    outcome = scene.run()
    assert outcome.fate == "failed"
    assert outcome.reason.startswith("killed by SIGKILL while the job was prepared")
    assert scene.forkserver.closed == [(RUN, "FAILED")]
