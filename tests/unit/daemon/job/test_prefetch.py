"""A runner and a job's record are had early, and nothing stays of one not needed."""

from __future__ import annotations

import os
import socket
import time
from typing import TYPE_CHECKING, cast

import pytest

from dioptra_worker.common.stop import JobStop
from dioptra_worker.daemon.job.prefetch import Prefetch
from dioptra_worker.errors import NotFound, RunnerError, ServiceUnavailable
from dioptra_worker.supervision.forkserver.runner_process import (
    ProcessExit,
    ProcessHandle,
    RunnerPipes,
)

if TYPE_CHECKING:
    from dioptra_worker.api.client import DioptraApi
    from dioptra_worker.supervision.launcher import Launcher

JOB = object()


class Runners:
    """Hands out runners whose other ends a test holds."""

    def __init__(self, error: Exception | None = None, *, lost: int = 0) -> None:
        self.error = error
        self.lost = lost
        self.there: list[socket.socket] = []

    def start_runner(self) -> tuple[ProcessHandle, RunnerPipes]:
        """A runner that does nothing."""
        if self.error is not None:
            raise self.error
        ours, theirs = socket.socketpair()
        self.there.append(theirs)
        process = ProcessHandle(len(self.there))
        if process.pid <= self.lost:
            process.set_exit(ProcessExit(code=None, peak=None))
        return process, RunnerPipes(ours, os.dup(1), os.dup(2))


class Api:
    """Knows one job, or says why not."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def job(self, job_id: int) -> object:
        """The job."""
        assert job_id == 7
        if self.error is not None:
            raise self.error
        return JOB


def _begin(api: Api, runners: Runners) -> Prefetch:
    return Prefetch(7, api=cast("DioptraApi", api), launcher=cast("Launcher", runners))


def test_a_runner_that_is_taken_is_the_takers() -> None:
    """What was taken stays open when the head start is closed."""
    runners = Runners()
    with _begin(Api(), runners) as ahead:
        assert ahead.job() is JOB
        _, pipes = ahead.runner(JobStop())
    pipes.control.sendall(b"x")
    assert runners.there[0].recv(1) == b"x"
    pipes.close()
    runners.there[0].close()


def test_a_runner_that_nobody_takes_is_hung_up_on() -> None:
    """A runner whose job is not ours reads the end of its socket, and so ends."""
    runners = Runners()
    with _begin(Api(), runners) as ahead:
        ahead.job()
    deadline = time.monotonic() + 60.0
    while not runners.there:  # it is made by a thread that nobody waits for
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for there in runners.there:
        there.settimeout(60.0)
        assert there.recv(1) == b""
        there.close()


@pytest.mark.parametrize(
    "error",
    [NotFound("gone", service="API"), ServiceUnavailable("away", service="API")],
)
def test_an_api_that_does_not_say_is_asked_again_later(error: Exception) -> None:
    """A record that cannot be had early is no error yet."""
    runners = Runners()
    with _begin(Api(error), runners) as ahead:
        assert ahead.job() is None
        ahead.runner(JobStop())[1].close()
    runners.there[0].close()


def test_a_runner_that_cannot_be_made() -> None:
    """Whoever takes a runner learns why there is none; who does not, need not."""
    with _begin(Api(), Runners(RunnerError("no memory"))) as ahead:
        pass
    with (
        _begin(Api(), Runners(RunnerError("no memory"))) as ahead,
        pytest.raises(RunnerError, match="no memory"),
    ):
        ahead.runner(JobStop())


def test_a_runner_that_is_lost_before_it_is_told_its_job() -> None:
    """Another takes its place, which is the taker's; the first one's pipes are closed.

    One more is not tried: what ends every runner is told by how the second one ended.
    """
    runners = Runners(lost=1)
    with _begin(Api(), runners) as ahead:
        process, pipes = ahead.runner(JobStop())
    first, second = runners.there
    assert (process.pid, process.ended.is_set()) == (2, False)
    assert first.recv(1) == b""
    pipes.control.sendall(b"x")
    assert second.recv(1) == b"x"
    pipes.close()
    with _begin(Api(), runners := Runners(lost=9)) as ahead:
        process, pipes = ahead.runner(JobStop())
    assert (process.pid, process.ended.is_set()) == (2, True)
    pipes.close()
    for there in (first, second, *runners.there):
        there.close()
