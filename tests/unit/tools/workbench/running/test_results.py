"""What a run is known by afterwards."""

from __future__ import annotations

from dioptra_worker.protocol.messages import Log
from dioptra_worker.tools.workbench.running.results import Recorder


def test_what_a_job_says_is_never_the_workers() -> None:
    """A run without a server keeps lines under the names that they have on a worker."""
    recorder = Recorder()
    recorder.message(Log(severity="ERROR", logger="dioptra_worker", message="forged"))
    assert [line.logger for line in recorder.lines] == ["runner"]
