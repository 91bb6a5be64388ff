"""A job that stops where it is told, so that a fault hits it at a known place."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.plugins.until import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.plugins.clients import MlflowReader
    from tests.plugins.testbed import Platform

SOURCE = """
from dioptra.sdk.utilities.auth_client import get_authenticated_worker_client


@pyplugs.register
def stop(folder, stops):
    run = f"{os.getpid()}-{time.time_ns()}"
    Path(folder, f"run-{run}").touch()
    client = get_authenticated_worker_client(LOG, "json")
    for number in range(stops):
        print("line", number, flush=True)
        client.jobs.append_metric_by_id(
            job_id=os.environ["__JOB_ID"],
            metric_name="seen",
            metric_value=float(number),
            metric_step=number,
        )
        Path(folder, f"at-{number}").touch()
        deadline = time.time() + 110
        while not Path(folder, f"go-{number}").exists() and time.time() < deadline:
            time.sleep(0.01)
    Path(folder, f"end-{run}").touch()
    return "kept"
"""
PATIENCE = 60.0
RESULTS_WAIT = "artifacts are registered once Redis knows that the job has ended"
"""What the log of a job with an artifact says while Redis is away at its end."""


class StepwiseJob:
    """A job that says a line and sets a metric at each stop, and waits there.

    Attributes:
        job: Its id.
        folder: Where it and the test leave marks for each other.
    """

    def __init__(
        self,
        platform: Platform,
        folder: Path,
        stops: int = 1,
        *,
        artifact: bool = True,
        timeout: str = "10m",
    ) -> None:
        """Submit it.

        Args:
            platform: Where.
            folder: A new folder for marks.
            stops: How often it stops.
            artifact: Whether it has an output artifact.
            timeout: Its time limit.
        """
        self._platform = platform
        self._stops = stops
        self.folder = folder
        folder.mkdir()
        self.entrypoint = platform.entrypoint(
            SOURCE,
            {"stopping": {"stop": [str(folder), stops]}},
            artifact_outputs={
                "kept": {"contents": "$stopping", "task": {"name": "Text"}}
            }
            if artifact
            else None,
        )
        self.job = platform.submit(self.entrypoint, timeout=timeout)

    def wait_at(self, number: int) -> None:
        """Wait until it stops there."""
        until(
            (self.folder / f"at-{number}").exists,
            seconds=PATIENCE,
            says=lambda: self._platform.text(self.job),
        )

    def go(self, number: int) -> None:
        """Let it go on from there."""
        (self.folder / f"go-{number}").touch()

    def go_on(self) -> None:
        """Let it go on to its end."""
        for number in range(self._stops):
            self.go(number)

    def wait_for_runs(self, count: int) -> None:
        """Wait until it was begun that often."""
        until(
            lambda: len(self.runs) >= count,
            seconds=PATIENCE,
            says=lambda: self._platform.text(self.job),
        )

    @property
    def runs(self) -> list[int]:
        """The processes that have begun it, the first one first."""
        names = [path.name.split("-") for path in self.folder.glob("run-*")]
        return [int(pid) for _, pid, _ in sorted(names, key=lambda name: name[2])]

    @property
    def ends(self) -> int:
        """How many of them came to the end."""
        return len(list(self.folder.glob("end-*")))

    def kill(self) -> None:
        """Kill the process that runs it."""
        os.kill(self.runs[-1], signal.SIGKILL)

    def check(self, mlflow: MlflowReader) -> None:
        """All is there, once, as if nothing had happened."""
        platform = self._platform
        log = platform.log(self.job)
        said = [line.text for line in log if line.logger == "stdout"]
        assert said == [f"line {number}" for number in range(self._stops)]
        found = platform.api.get(
            f"/jobs/{self.job}/metrics/seen/snapshots", pageLength=100
        )
        steps = sorted(entry["step"] for entry in found["data"])
        assert steps == list(range(self._stops))
        assert len(platform.job(self.job)["artifacts"]) == 1
        assert platform.content(platform.artifacts(self.job)["kept"]) == b"kept"
        assert mlflow.status(platform.run_id(self.job)) == "FINISHED"
        assert len(self.runs) == self.ends == 1
