"""The ways to make a runner: fork the fork server, or start a process for it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol

from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.processes.prctl import PR_SET_PDEATHSIG, prctl
from dioptra_worker.runner.forkserver.descriptors import close_all_but

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from dioptra_worker.protocol.forkserver import StartCloseRun, StartDownload


class ProcessMaker(Protocol):
    """Makes runners; `mode` says how.

    What runners run is imported only where a process is forked: a fork server that does
    not fork stays small.
    """

    mode: str

    def start_runner(
        self, descriptors: list[int], environment: Mapping[str, str]
    ) -> int:
        """A runner with these sockets and pipes and more variables; its pid."""
        ...

    def start_close_run(self, request: StartCloseRun) -> int:
        """A process that closes an MLflow run; its pid."""
        ...

    def start_download(self, reports: int, request: StartDownload) -> int:
        """A process that fetches an artifact and reports to a descriptor; its pid."""
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

    def __init__(self, of_libraries: Collection[int]) -> None:
        """Prepare.

        Args:
            of_libraries: Descriptors that belong to what was imported: all that a fork
                has of this process beside what it is given.
        """
        self._of_libraries = of_libraries

    def start_runner(
        self, descriptors: list[int], environment: Mapping[str, str]
    ) -> int:
        """Fork a runner."""
        from dioptra_worker.runner.forkserver.child_setup import (  # noqa: PLC0415 - as above
            become_runner,
        )

        return self._fork(
            lambda: become_runner(descriptors, environment), meant=descriptors
        )

    def start_close_run(self, request: StartCloseRun) -> int:
        """Fork a process that closes an MLflow run."""
        from dioptra_worker.runner import close_run  # noqa: PLC0415 - as above

        return self._fork(lambda: close_run.main(request))

    def start_download(self, reports: int, request: StartDownload) -> int:
        """Fork a process that fetches an artifact."""
        from dioptra_worker.runner import (  # noqa: PLC0415 - as above
            artifact_download,
        )

        return self._fork(
            lambda: artifact_download.main(reports, request), meant=[reports]
        )

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

    def start_runner(
        self, descriptors: list[int], environment: Mapping[str, str]
    ) -> int:
        """Hand over the standby."""
        standby, self._standby = self._standby, None
        if standby is not None and standby.process.poll() is not None:
            standby.sock.close()  # it died waiting
            standby = None
        if standby is None:
            standby = self._spawn()
        line = json.dumps(dict(environment)).encode() + b"\n"
        with standby.sock, contextlib.suppress(ConnectionError):  # its end is reported
            socket.send_fds(standby.sock, [line], descriptors)
        self._refill()
        return leave_unreaped(standby.process)

    def start_close_run(self, request: StartCloseRun) -> int:
        """Start a process that closes an MLflow run."""
        code = (
            "from dioptra_worker.runner.close_run import main;"
            "from dioptra_worker.protocol.forkserver import StartCloseRun;"
            f"main({request!r})"
        )
        child = subprocess.Popen([*python(), "-c", code], start_new_session=True)
        return leave_unreaped(child)

    def start_download(self, reports: int, request: StartDownload) -> int:
        """Start a process that fetches an artifact."""
        code = (
            "from dioptra_worker.runner.artifact_download import main;"
            "from dioptra_worker.protocol.forkserver import StartDownload;"
            f"main({reports}, {request!r})"
        )
        child = subprocess.Popen(
            [*python(), "-c", code],
            pass_fds=[reports],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return leave_unreaped(child)

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
