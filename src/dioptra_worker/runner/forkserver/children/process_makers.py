"""The ways to make a runner: fork the fork server, or start a process for it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol

from dioptra_worker.common.files.stale_workspaces import remove_forkserver_homes
from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.processes.prctl import PR_SET_PDEATHSIG, prctl
from dioptra_worker.protocol import codec
from dioptra_worker.runner.forkserver.descriptors import close_all_but

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from dioptra_worker.protocol.forkserver import (
        ProcessRequest,
        StartCloseRun,
        StartDownload,
        StartLearned,
        StartRecord,
        StartRunner,
    )


class ProcessMaker(Protocol):
    """Makes runners; `mode` says how.

    What runners run is imported only where a process is forked: a fork server that does
    not fork stays small.
    """

    mode: str

    def start_runner(self, descriptors: list[int], request: StartRunner) -> int:
        """A runner with these sockets and pipes; its pid."""
        ...

    def start_close_run(self, request: StartCloseRun) -> int:
        """A process that closes an MLflow run; its pid."""
        ...

    def start_download(self, reports: int, request: StartDownload) -> int:
        """A process that fetches an artifact and reports to a descriptor; its pid."""
        ...

    def start_record(self, manifest: int, reports: int, request: StartRecord) -> int:
        """A process that stores a manifest, given two descriptors; its pid."""
        ...

    def start_learned(self, descriptor: int, request: StartLearned) -> int:
        """A second fork server, which serves a socket of its own; its pid."""
        ...

    def start_cleanup(self) -> int:
        """A process that removes what a second fork server has left; its pid."""
        ...

    def standby_pids(self) -> set[int]:
        """The pids of processes that wait to become runners."""
        ...

    def close(self) -> None:
        """End those."""
        ...


class ForkingMaker:
    """Makes runners by forking this process."""

    mode = "fork"

    def __init__(
        self,
        of_libraries: Collection[int],
        *,
        learn: Callable[[int, StartLearned], NoReturn] | None = None,
    ) -> None:
        """Prepare.

        Args:
            of_libraries: Descriptors that belong to what was imported: all that a fork
                has of this process beside what it is given.
            learn: Makes a second fork server of a fork, if that can be.
        """
        self._of_libraries = of_libraries
        self._learn = learn

    def start_runner(self, descriptors: list[int], request: StartRunner) -> int:
        """Fork a runner."""
        from dioptra_worker.runner.forkserver.children import (  # noqa: PLC0415 - as above
            child_setup,
        )

        return self._fork(
            lambda: child_setup.become_runner(descriptors, request), meant=descriptors
        )

    def start_close_run(self, request: StartCloseRun) -> int:
        """Fork a process that closes an MLflow run."""
        from dioptra_worker.runner.errands import close_run  # noqa: PLC0415 - as above

        return self._fork(lambda: close_run.main(request))

    def start_download(self, reports: int, request: StartDownload) -> int:
        """Fork a process that fetches an artifact."""
        from dioptra_worker.runner.errands import (  # noqa: PLC0415 - as above
            artifact_download,
        )

        return self._fork(
            lambda: artifact_download.main(reports, request), meant=[reports]
        )

    def start_record(self, manifest: int, reports: int, request: StartRecord) -> int:
        """Fork a process that stores a manifest."""
        from dioptra_worker.runner.errands import record_run  # noqa: PLC0415 - as above

        return self._fork(
            lambda: record_run.main(manifest, reports, request),
            meant=[manifest, reports],
        )

    def start_learned(self, descriptor: int, request: StartLearned) -> int:
        """Fork a second fork server."""
        learn = self._learn
        if learn is None:
            raise OSError("a second fork server makes no third one")
        return self._fork(lambda: learn(descriptor, request), meant=[descriptor])

    def start_cleanup(self) -> int:
        """Fork a process that removes what a second fork server has left."""
        return self._fork(_clean_up)

    def standby_pids(self) -> set[int]:
        """None: forking needs no standby."""
        return set()

    def close(self) -> None:
        """Nothing waits."""

    def _fork(
        self, target: Callable[[], NoReturn], *, meant: Collection[int] = ()
    ) -> int:
        # A stop that reaches the child while it still has our handlers would be lost.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            pid = os.fork()
        except OSError:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            raise
        if pid:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            return pid
        try:
            # First, so that a signal reaches the process as the leader of its group;
            # until then `signal_group` finds it by its own number.
            os.setsid()
            # Each fork forgets its parent's: a fork server that is killed takes its
            # runners with it.
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            # Before handlers change: the descriptor is the fork server's, which a
            # child's signals must not wake.
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            # The fork server's own: its socket, whose end the daemon must see; what it
            # waits with, as the kernel shares that; and what other runners are given.
            close_all_but({*self._of_libraries, *meant})
            # What the fork server froze stays frozen: a collection would write to each
            # of its objects, and the pages would be shared no more.
            target()
        finally:
            os._exit(1)


def _clean_up() -> NoReturn:
    remove_forkserver_homes()
    os._exit(0)


class SpawningMaker:
    """Starts a process for each runner, where it may beforehand."""

    mode = "spawn"

    def __init__(self, preload: str, *, keep_standby: bool = True) -> None:
        """Prepare.

        Args:
            preload: Modules for runners to import, separated by commas.
            keep_standby: Keep one started runner ready, and start the next when it is
                taken.
        """
        self._preload = preload
        self._keep_standby = keep_standby
        self._standby: _Standby | None = None
        self._refill()

    def start_runner(self, descriptors: list[int], request: StartRunner) -> int:
        """Hand over the standby."""
        standby, self._standby = self._standby, None
        if standby is not None and standby.process.poll() is not None:
            standby.sock.close()  # it died waiting
            standby = None
        if standby is None:
            standby = self._spawn()
        line = codec.encode(request)
        with standby.sock, contextlib.suppress(ConnectionError):  # its end is reported
            socket.send_fds(standby.sock, [line], descriptors)
        self._refill()
        return leave_unreaped(standby.process)

    def start_close_run(self, request: StartCloseRun) -> int:
        """Start a process that closes an MLflow run."""
        return self._run("close_run", request)

    def start_download(self, reports: int, request: StartDownload) -> int:
        """Start a process that fetches an artifact."""
        return self._run("artifact_download", request, reports)

    def start_record(self, manifest: int, reports: int, request: StartRecord) -> int:
        """Start a process that stores a manifest."""
        return self._run("record_run", request, manifest, reports)

    def _run(self, module: str, request: ProcessRequest, *descriptors: int) -> int:
        """Start a process that runs a module's `main`, given descriptors; its pid."""
        arguments = ", ".join([*map(str, descriptors), repr(request)])
        code = (
            f"from dioptra_worker.runner.errands.{module} import main;"
            f"from dioptra_worker.protocol.forkserver import {type(request).__name__};"
            f"main({arguments})"
        )
        child = subprocess.Popen(
            [*python(), "-c", code],
            pass_fds=descriptors,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return leave_unreaped(child)

    def start_learned(self, descriptor: int, request: StartLearned) -> int:
        """None can be made: what has imported much is not forked here."""
        del descriptor, request
        raise OSError("runners are not forked")

    def start_cleanup(self) -> int:
        """There is nothing: none was made."""
        raise OSError("runners are not forked")

    def standby_pids(self) -> set[int]:
        """The standby."""
        return set() if self._standby is None else {self._standby.process.pid}

    def close(self) -> None:
        """End the standby."""
        if self._standby is None:
            return
        self._standby.sock.close()
        with contextlib.suppress(ProcessLookupError):
            self._standby.process.kill()
        self._standby.process.wait()

    def _refill(self) -> None:
        if self._keep_standby:
            with contextlib.suppress(OSError):  # too many processes now; not later
                self._standby = self._spawn()

    def _spawn(self) -> _Standby:
        ours, theirs = socket.socketpair()
        command = [*python(), "-m", "dioptra_worker.runner.forkserver.standby"]
        options = ["--fd", str(theirs.fileno()), "--preload", self._preload]
        try:
            with theirs:
                process = subprocess.Popen(
                    [*command, *options],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except BaseException:
            ours.close()
            raise
        return _Standby(process, ours)


@dataclass(frozen=True)
class _Standby:
    process: subprocess.Popen[bytes]
    sock: socket.socket


def leave_unreaped(child: subprocess.Popen[bytes]) -> int:
    """Keep `subprocess` from reaping a child, which the fork server does; its pid."""
    child.returncode = 0
    return child.pid
