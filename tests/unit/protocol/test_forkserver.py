"""What a launcher and its fork server say to each other arrives as it was said."""

from __future__ import annotations

import pytest

from dioptra_worker.protocol.codec import decode_report, decode_request, encode
from dioptra_worker.protocol.forkserver import (
    ForkserverReady,
    ForkserverReport,
    ForkserverRequest,
    PreloadedModule,
    ProcessEnded,
    ProcessRefused,
    ProcessStarted,
    SignalProcess,
    StartCloseRun,
    StartDownload,
    StartRunner,
)


@pytest.mark.parametrize(
    ("request_", "descriptors"),
    [
        (StartRunner(environment={"CUDA_VISIBLE_DEVICES": "1"}), 3),
        (StartCloseRun(run_id="abc", status="KILLED"), 0),
        (StartDownload(uri="s3://bucket/a b", target="/jobs/ü", is_dir=True), 1),
        (SignalProcess(pid=7, signal=15), None),
    ],
)
def test_requests(request_: ForkserverRequest, descriptors: int | None) -> None:
    """A request is one line, and says itself how many descriptors come with it."""
    line = encode(request_)
    assert line.count(b"\n") == 1
    assert decode_request(line) == request_
    assert getattr(request_, "descriptors", None) == descriptors


@pytest.mark.parametrize(
    "report",
    [
        ForkserverReady(
            pid=7,
            mode="fork",
            why=None,
            preloaded=(PreloadedModule(module="torch", seconds=2.5, memory=1 << 20),),
        ),
        ForkserverReady(pid=7, mode="spawn", why="a thread"),
        ProcessStarted(pid=7),
        ProcessRefused(reason="[Errno 11]\nno"),
        ProcessEnded(pid=7, status=9, peak=1 << 40),
    ],
)
def test_reports(report: ForkserverReport) -> None:
    """A report is one line."""
    line = encode(report)
    assert line.count(b"\n") == 1
    assert decode_report(line) == report
