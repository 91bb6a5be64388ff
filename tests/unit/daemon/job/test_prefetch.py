"""A runner and a job's record are had early, and nothing stays of one not needed."""

from __future__ import annotations

import os
import socket
import threading
import time
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from tests.plugins.until import until
from tests.unit.daemon.job.simulated_platform import Leases, attempt_context

from dioptra_worker.broker.rq.payload import JobRequest
from dioptra_worker.common.stop import JobStop
from dioptra_worker.daemon.job import prefetch
from dioptra_worker.daemon.job.prefetch import Prefetch
from dioptra_worker.errors import NotFound, RunnerError, ServiceUnavailable
from dioptra_worker.protocol.codec import decode
from dioptra_worker.protocol.messages import Start
from dioptra_worker.supervision.forkserver.runner_process import (
    ProcessExit,
    ProcessHandle,
    RunnerPipes,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Begin = Callable[..., Prefetch]

JOB: Any = SimpleNamespace(id=7, inputs={})


class Runners:
    """Hands out runners whose other ends a test holds."""

    job_user: None = None

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

    url = "http://api.test"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def job(self, job_id: int) -> object:
        """The job."""
        assert job_id == 7
        if self.error is not None:
            raise self.error
        return JOB

    job_config = parameters = artifact_parameters = job


@pytest.fixture(name="begin")
def _begin(tmp_path: Path) -> Callable[..., Prefetch]:
    def begin(
        api: Api,
        runners: Runners,
        *,
        is_new: bool = False,
        preloading: Preloading | None = None,
    ) -> Prefetch:
        context = attempt_context(
            cast("Any", api), cast("Any", runners), Leases(), tmp_path
        )
        request = JobRequest(job_id=7, experiment_id=3, time_limit=None, worker="me")
        context = replace(context, preloading=cast("Any", preloading))
        return Prefetch(request, context, is_new=is_new)

    return begin


def _told(there: socket.socket) -> Start:
    """What a runner was told, which is there already."""
    there.settimeout(0.0)
    start = decode(there.recv(1 << 16))
    assert isinstance(start, Start)
    return start


def test_a_runner_that_is_taken_is_the_takers(begin: Begin) -> None:
    """What was taken stays open when the head start is closed."""
    runners = Runners()
    with begin(Api(), runners) as ahead:
        assert ahead.answers.job() is JOB
        _, pipes = ahead.runner(JobStop())
    assert not _told(runners.there[0]).again
    pipes.control.sendall(b"x")
    assert runners.there[0].recv(1) == b"x"
    pipes.close()
    runners.there[0].close()


def test_a_runner_that_nobody_takes_is_hung_up_on(begin: Begin) -> None:
    """A runner whose job is not ours reads the end of its socket, and so ends."""
    runners = Runners()
    with begin(Api(), runners) as ahead:
        ahead.answers.job()
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
def test_an_api_that_does_not_say_is_asked_again_later(
    error: Exception, begin: Begin
) -> None:
    """A record that cannot be had early is no error yet."""
    runners = Runners()
    with begin(Api(error), runners) as ahead:
        assert ahead.answers.job() is None
        ahead.runner(JobStop())[1].close()
    runners.there[0].close()


def test_a_runner_that_cannot_be_made(begin: Begin) -> None:
    """Whoever takes a runner learns why there is none; who does not, need not."""
    with begin(Api(), Runners(RunnerError("no memory"))) as ahead:
        pass
    with (
        begin(Api(), Runners(RunnerError("no memory"))) as ahead,
        pytest.raises(RunnerError, match="no memory"),
    ):
        ahead.runner(JobStop())


def test_a_runner_that_is_lost_before_it_is_told_its_job(begin: Begin) -> None:
    """Another takes its place, which is the taker's; the first one's pipes are closed.

    One more is not tried: what ends every runner is told by how the second one ended.
    """
    runners = Runners(lost=1)
    with begin(Api(), runners) as ahead:
        process, pipes = ahead.runner(JobStop())
    first, second = runners.there
    assert (process.pid, process.ended.is_set()) == (2, False)
    assert first.recv(1) == b""
    assert not _told(second).again  # the first one has begun nothing
    pipes.control.sendall(b"x")
    assert second.recv(1) == b"x"
    pipes.close()
    with begin(Api(), runners := Runners(lost=9)) as ahead:
        process, pipes = ahead.runner(JobStop())
    assert (process.pid, process.ended.is_set()) == (2, True)
    pipes.close()
    for there in (first, second, *runners.there):
        there.close()


def test_a_new_job_is_told_at_once(begin: Begin) -> None:
    """Its runner knows it before anybody takes that; it is told once."""
    runners = Runners()
    with begin(Api(), runners, is_new=True) as ahead:
        place = ahead.place(JobStop())
        assert _told(runners.there[0]).directory == str(place.space.root)
        _, pipes = ahead.runner(JobStop())
        with pytest.raises(BlockingIOError):
            runners.there[0].recv(1)
        assert ahead.was_told
    assert not place.space.root.exists()
    pipes.close()
    runners.there[0].close()


def test_a_new_job_that_is_not_ours(begin: Begin) -> None:
    """Its runner is hung up on, its folders go, and that it was told is known."""
    runners = Runners()
    with begin(Api(), runners, is_new=True) as ahead:
        place = ahead.place(JobStop())
    assert ahead.was_told
    assert not place.space.root.exists()
    _told(runners.there[0])
    assert runners.there[0].recv(1) == b""
    runners.there[0].close()


def test_no_runner_is_told_once_the_job_is_let_go(begin: Begin) -> None:
    """One that is made only then hears nothing, and begins no MLflow run."""
    may_start = threading.Event()

    class Slow(Runners):
        """Makes a runner when it is told to."""

        def start_runner(self) -> tuple[ProcessHandle, RunnerPipes]:
            """A runner that comes late."""
            assert may_start.wait(60.0)
            return super().start_runner()

    runners = Slow()
    with begin(Api(), runners, is_new=True) as ahead:
        pass
    assert not ahead.was_told
    may_start.set()
    until(lambda: bool(runners.there))
    runners.there[0].settimeout(60.0)
    assert runners.there[0].recv(1) == b""
    assert not ahead.was_told
    runners.there[0].close()


def test_a_runner_that_is_lost_after_it_was_told(begin: Begin) -> None:
    """It may have begun an MLflow run: whoever supervises it sees to the next one."""
    runners = Runners(lost=1)
    with begin(Api(), runners, is_new=True) as ahead:
        process, pipes = ahead.runner(JobStop())
        assert (process.pid, process.ended.is_set()) == (1, True)
        pipes.close()
        _, second = ahead.runner(JobStop())
        assert _told(runners.there[1]).again
        second.close()
    for there in runners.there:
        there.close()


class Learned(Runners):
    """Hands out runners of a second fork server, too."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.learned_error = error

    def start_learned_runner(
        self, *, timeout: float
    ) -> tuple[ProcessHandle, RunnerPipes]:
        """One of the second."""
        assert timeout >= prefetch.RUNNER_TIMEOUT
        if self.learned_error is not None:
            raise self.learned_error
        _, pipes = self.start_runner()
        return ProcessHandle(100), pipes

    def let_others_end(self, chosen: ProcessHandle) -> None:
        """No other has anything left."""
        assert chosen.pid == 100


class Preloading:
    """Says of each job the same."""

    def __init__(self, *, gain: float | None = 0.0, gains: bool = True) -> None:
        self.gain = gain
        self.gains = gains

    def expected_gain(self) -> float | None:
        """Of the next one."""
        return self.gain

    def is_learned(self, job: object) -> bool:
        """Of this one."""
        assert job is JOB
        return self.gains


@pytest.mark.parametrize(
    ("preloading", "error", "pid"),
    [
        (Preloading(), None, 100),
        (Preloading(gains=False), None, 1),
        (Preloading(gain=None), None, 1),
        (Preloading(), RunnerError("it is lost"), 1),
    ],
)
def test_who_gets_what_was_learned(
    begin: Callable[..., Prefetch],
    preloading: Preloading,
    error: Exception | None,
    pid: int,
) -> None:
    """A job that is known to gain by it; if it cannot be had, it gets the first one."""
    runners = Learned(error)
    with begin(Api(), runners, is_new=True, preloading=preloading) as ahead:
        process, pipes = ahead.runner(JobStop())
        assert process.pid == pid
        pipes.close()
    for there in runners.there:
        there.close()


def test_no_job_waits_long_for_what_was_learned(
    begin: Callable[..., Prefetch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose record does not come gets a runner of the first fork server."""
    monkeypatch.setattr(prefetch, "RECORD_TIMEOUT", 0.01)
    asked = threading.Event()

    class Slow(Api):
        def job(self, job_id: int) -> object:
            asked.wait(60)
            return super().job(job_id)

    runners = Learned()
    with begin(Slow(), runners, is_new=True, preloading=Preloading()) as ahead:
        process, pipes = ahead.runner(JobStop())
        assert process.pid == 1
        asked.set()
        pipes.close()
    for there in runners.there:
        there.close()


def test_a_job_waits_as_long_as_it_may_gain(
    begin: Callable[..., Prefetch], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine that is busy a record comes late, and an import takes far longer."""
    monkeypatch.setattr(prefetch, "RECORD_TIMEOUT", 0.0)

    class Late(Api):
        def job(self, job_id: int) -> object:
            time.sleep(0.2)
            return super().job(job_id)

    for gain, pid in ((0.0, 1), (60.0, 100)):
        runners, preloading = Learned(), Preloading(gain=gain)
        with begin(Late(), runners, is_new=True, preloading=preloading) as ahead:
            process, pipes = ahead.runner(JobStop())
            assert process.pid == pid
            pipes.close()
        for there in runners.there:
            there.close()
