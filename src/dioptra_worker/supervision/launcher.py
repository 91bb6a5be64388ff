"""The daemon's side of the fork server: asks for runners, and replaces it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Self

from dioptra_worker.common.files.stale_workspaces import remove_forkserver_homes
from dioptra_worker.common.processes.orphans import adopt_orphans, kill_orphans
from dioptra_worker.errors import ForkserverLost, RunnerError
from dioptra_worker.protocol.forkserver import (
    SignalProcess,
    StartCloseRun,
    StartDownload,
    StartLearned,
    StartRecord,
    StartRunner,
)
from dioptra_worker.supervision.forkserver.client import ForkserverClient
from dioptra_worker.supervision.forkserver.learned import LearnedForkserver
from dioptra_worker.supervision.forkserver.learning import LEARNING_TIMEOUT, Refusal
from dioptra_worker.supervision.forkserver.runner_process import (
    ProcessHandle,
    RunnerPipes,
)
from dioptra_worker.supervision.forkserver.start import (
    ForkserverProgram,
    Mode,
    PoolForkserver,
)
from dioptra_worker.supervision.job_users.assignment import clean_up_after
from dioptra_worker.tracking.backend import SERVER_MODULES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from dioptra_worker.common.processes.job_user import JobUser
    from dioptra_worker.protocol.forkserver import PreloadedModule, ProcessRequest
    from dioptra_worker.supervision.forkserver.start import ForkserverStarter
    from dioptra_worker.supervision.job_users.assignment import JobUsers

log = logging.getLogger("dioptra_worker.launcher")

CLOSE_MARGIN = 5.0
"""Seconds beyond the grace period for the fork server to end its runners."""
BUSY_TIMEOUT = 0.1
"""Seconds that a request under way has to be answered at the end."""
OTHERS_TIMEOUT = 1.0
"""Seconds to wait for the end of runners of the other fork server."""
KILL_TIMEOUT = 5.0
"""Seconds for a process that was killed to be gone."""


class Launcher:
    """Starts the fork server when it is needed, and talks to it; for any thread.

    Attributes:
        job_user: Who the runners of the present fork server are; None is our own user.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        preload: tuple[str, ...],
        grace: float,
        environment: Mapping[str, str],
        tracking: tuple[str, ...] = SERVER_MODULES,
        starter: ForkserverStarter | None = None,
        variables: Mapping[str, str] | None = None,
        adopts_orphans: bool = False,
        users: JobUsers | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            mode: How runners are made.
            preload: Modules that the fork server imports beside our own.
            grace: Seconds that runners have to end when the daemon is gone.
            environment: What runners see; without the daemon's secrets.
            tracking: Modules that runners keep their run with, to be imported, too.
            starter: Starts fork servers, if not the program with the options above.
            variables: What this launcher's runners see beside the fork server's
                environment, such as which GPUs.
            adopts_orphans: Whether this process ends what a fork server that was
                killed leaves behind. It must start no process in a session of its
                own, as that would be taken for one.
            users: Who runners are, with the program with the options above; None is
                our own user.
        """
        self._starter = starter or ForkserverProgram(
            mode=mode,
            preload=(*tracking, *preload),
            grace=grace,
            environment=environment,
            users=users,
        )
        self._grace = grace
        self._variables = dict(variables or {})
        self._request_lock = threading.Lock()
        self._forkserver: ForkserverClient | None = None
        self._closed = False
        self._adopts_orphans = adopts_orphans and adopt_orphans()
        self.job_user: JobUser | None = None
        self._second = LearnedForkserver()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the fork server if it is not running; it gets ready by itself."""
        with self._request_lock:
            self._ensure_forkserver()

    def wait_until_ready(self, timeout: float) -> bool:
        """Wait until the fork server hands out runners without delay.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it does.
        """
        with self._request_lock:
            forkserver = self._ensure_forkserver()
        return forkserver.ready.wait(timeout) and not forkserver.ended

    @property
    def preloaded(self) -> tuple[PreloadedModule, ...]:
        """What the fork server has imported for runners; nothing until it is ready."""
        forkserver = self._forkserver
        return () if forkserver is None else forkserver.preloaded

    @property
    def learned(self) -> ForkserverClient | None:
        """The second fork server, if there is one that hands out runners."""
        return self._second.client

    def learn(
        self,
        modules: Sequence[str],
        *,
        memory: int,
        timeout: float = LEARNING_TIMEOUT,
        may_go_on: Callable[[], bool] = lambda: True,
    ) -> Refusal | None:
        """Have a second fork server made, which has imported more; wait for it.

        It takes the place of the last one once it is ready.

        Args:
            modules: What it is to import.
            memory: By how many bytes it may grow.
            timeout: Seconds that it may take, without pauses.
            may_go_on: Whether the machine has no job of anybody else: while it has, no
                import goes on. It is asked all the time.

        Returns:
            Why there is none.
        """
        ours, theirs = socket.socketpair()
        request = StartLearned(
            modules=tuple(modules), memory=memory, environment=self._variables
        )
        handle = PoolForkserver(ours, self.job_user)
        try:
            with theirs:
                process = self._request(request, [theirs.fileno()])
        except RunnerError as error:
            ours.close()
            return Refusal("", str(error))
        return self._second.try_out(
            handle, process, memory=memory, timeout=timeout, may_go_on=may_go_on
        )

    def pause_learning(self) -> None:
        """Let nothing be imported for later jobs: one is about to run."""
        self._second.pause()

    def resume_learning(self) -> None:
        """Let it go on."""
        self._second.resume()

    def close(self) -> None:
        """Hang up; the fork server ends, and with it every runner."""
        self._closed = True
        self._second.close(wait=self._grace + CLOSE_MARGIN)
        if not self._request_lock.acquire(timeout=BUSY_TIMEOUT):
            # Somebody waits for a process that nobody wants any more.
            if (busy := self._forkserver) is not None:
                busy.kill()
            self._request_lock.acquire()
        try:
            if (forkserver := self._forkserver) is not None:
                # One that still imports has forked nobody yet, and does not listen.
                importing = not forkserver.ready.is_set()
                forkserver.close(wait=0.0 if importing else self._grace + CLOSE_MARGIN)
                if importing:  # it was killed, and has not removed its folder
                    remove_forkserver_homes()
                self._forkserver = None
                self._end_leftovers()
        finally:
            self._request_lock.release()

    def let_others_end(self, chosen: ProcessHandle) -> None:
        """Wait for runners of other fork servers, where jobs have a user of their own.

        At the end of its last runner a fork server removes what its user has left in
        the system's shared memory. A job that another one runs by then would lose its
        own.

        Args:
            chosen: The runner that is about to be told a job.
        """
        if self.job_user is None:
            return
        deadline = time.monotonic() + OTHERS_TIMEOUT
        for forkserver in self._all():
            if not forkserver.has_made(chosen):
                for process in forkserver.running():
                    process.ended.wait(max(0.0, deadline - time.monotonic()))

    def _all(self) -> list[ForkserverClient]:
        first, others = self._forkserver, self._second.all()
        return others if first is None else [first, *others]

    def start_learned_runner(
        self, *, timeout: float
    ) -> tuple[ProcessHandle, RunnerPipes]:
        """Start a fresh runner of the second fork server, soon or not at all.

        Args:
            timeout: Seconds that this may take; the second fork server is ended then.

        Raises:
            RunnerError: If none could be started: there is the first one.
        """
        return self._start_runner(
            partial(self._second.request_process, timeout=timeout)
        )

    def start_runner(
        self, *, seed: int | None = None
    ) -> tuple[ProcessHandle, RunnerPipes]:
        """Start a fresh runner; give it and what connects us to it.

        Args:
            seed: What its random generators are to be seeded with; None is fresh.

        Raises:
            RunnerError: If none could be started.
        """
        try:
            return self._start_runner(self._request, seed=seed)
        except ForkserverLost:
            if self._closed:
                raise
        # No job was begun. Whoever killed it, such as a system that ran out of memory,
        # seldom kills the next one, too. That one gets pipes of its own: of the first
        # there may still be a runner, for a moment.
        return self._start_runner(self._request, seed=seed)

    def _start_runner(
        self,
        ask: Callable[[StartRunner, list[int]], ProcessHandle],
        *,
        seed: int | None = None,
    ) -> tuple[ProcessHandle, RunnerPipes]:
        ours, theirs = socket.socketpair()
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        pipes = RunnerPipes(control=ours, out=out, err=err)
        try:
            descriptors = [theirs.fileno(), out_there, err_there]
            request = StartRunner(environment=self._variables, seed=seed)
            return ask(request, descriptors), pipes
        except BaseException:
            pipes.close()
            raise
        finally:
            theirs.close()
            os.close(out_there)
            os.close(err_there)

    def close_run(self, run_id: str, status: str, *, timeout: float) -> bool:
        """Close a dead runner's MLflow run in a process that ends at once.

        Args:
            run_id: The run.
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
            timeout: Seconds to wait for it.

        Returns:
            Whether the run is closed.
        """
        request = StartCloseRun(run_id=run_id, status=status)
        return self._close(request, f"MLflow run {run_id}", timeout)

    def close_begun(self, token: str, status: str, *, timeout: float) -> bool:
        """Close what MLflow runs a start has begun of which no id is known.

        Args:
            token: That of the start.
            status: ``FINISHED``, ``FAILED`` or ``KILLED``.
            timeout: Seconds to wait for it.

        Returns:
            Whether MLflow has none that is open now; one may still be on its way.
        """
        request = StartCloseRun(token=token, status=status)
        return self._close(request, "an MLflow run", timeout)

    def _close(self, request: StartCloseRun, what: str, timeout: float) -> bool:
        try:
            process = self._request(request, [])
        except RunnerError as error:
            log.warning("%s is not closed: %s", what, error)
            return False
        if not process.ended.wait(timeout):
            self.signal(process, signal.SIGKILL)
            process.ended.wait(KILL_TIMEOUT)
        return process.exit is not None and process.exit.code == 0

    def start_download(
        self, uri: str, target: Path, *, is_dir: bool
    ) -> tuple[ProcessHandle, int]:
        """Start a process that fetches an artifact straight from its store.

        Args:
            uri: Where the artifact is.
            target: The file or folder to make of it.
            is_dir: Whether it is a folder.

        Returns:
            The process, and the descriptor of what it reports: the caller closes it.
            See `dioptra_worker.runner.errands.artifact_download`.

        Raises:
            OSError: If the target's folder cannot be handed over to that process.
            RunnerError: If none could be started.
        """
        request = StartDownload(uri=uri, target=str(target), is_dir=is_dir)
        if (user := self.job_user) is not None:
            for path in (target.parent, *target.parent.iterdir()):
                os.chown(path, user.uid, user.uid, follow_symlinks=False)
        return self._request_reporting(request, [])

    def start_record(
        self, manifest: int, *, lost_lines: int, points: Mapping[str, int] | None
    ) -> tuple[ProcessHandle, int]:
        """Start a process that stores a job's manifest and says what has arrived.

        Args:
            manifest: A descriptor of the file that has the manifest.
            lost_lines: How many lines of its log the API lacks; -1 if unknown.
            points: How many points of each metric the API has; None if unknown.

        Returns:
            The process, and the descriptor of what it reports: the caller closes it.
            See `dioptra_worker.runner.errands.record_run`.

        Raises:
            RunnerError: If none could be started.
        """
        request = StartRecord(lost_lines=lost_lines, points=points)
        return self._request_reporting(request, [manifest])

    def _request_reporting(
        self, request: ProcessRequest, descriptors: list[int]
    ) -> tuple[ProcessHandle, int]:
        """Have a process made that reports to a pipe, its last descriptor."""
        reports, reports_there = os.pipe()
        try:
            process = self._request(request, [*descriptors, reports_there])
        except BaseException:
            os.close(reports)
            raise
        finally:
            os.close(reports_there)
        return process, reports

    def signal(self, process: ProcessHandle, signum: int) -> None:
        """Signal a process and its group, unless it has ended."""
        for forkserver in self._all():
            if forkserver.has_made(process):
                forkserver.send(SignalProcess(pid=process.pid, signal=signum))

    def _request(
        self, request: ProcessRequest, descriptors: list[int]
    ) -> ProcessHandle:
        with self._request_lock:
            return self._ensure_forkserver().request_process(request, descriptors)

    def _ensure_forkserver(self) -> ForkserverClient:
        if self._closed:
            raise RunnerError("the worker is about to end")
        present = self._forkserver
        if present is None or present.ended or present.end_if_stopped():
            if present is not None:
                log.warning("the fork server has ended unexpectedly; starting another")
                present.close(wait=1.0)
                self._forkserver = None
                self._end_leftovers()
            try:
                forkserver = self._starter.start()
            except OSError as error:
                raise RunnerError(f"no fork server can be started: {error}") from error
            self.job_user = forkserver.user
            present = self._forkserver = ForkserverClient(forkserver)
            threading.Thread(
                target=self._mind,
                args=[present],
                name="dioptra-forkserver",
                daemon=True,
            ).start()
        return present

    def _end_leftovers(self) -> None:
        """End what jobs have left to us, as long as there is no fork server."""
        count = kill_orphans(()) if self._adopts_orphans else 0
        if self.job_user is not None:
            count += clean_up_after(self.job_user)
        if count:
            log.warning(
                "ended %d processes that a job left behind when the fork server ended",
                count,
            )

    def _mind(self, forkserver: ForkserverClient) -> None:
        """Read what a fork server reports; start the next one before a job asks.

        One that never worked is no reason to start another: the next job says it.
        """
        forkserver.read_reports()
        if forkserver.was_ready and not self._closed:
            with self._request_lock, contextlib.suppress(RunnerError):
                if self._forkserver is forkserver:
                    self._ensure_forkserver()


def choose_mode(isolation: str) -> Mode:
    """The way to make runners that the platform allows.

    Args:
        isolation: ``fork``, ``spawn`` or ``auto``: fork on Linux, where a process
            that has imported much may be forked, and spawn elsewhere.
    """
    if isolation == "fork" or (isolation == "auto" and sys.platform == "linux"):
        return "fork"
    return "spawn"
