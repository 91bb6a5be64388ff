"""The daemon's side of the fork server: asks for runners, and replaces it."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, Self

from dioptra_worker.errors import RunnerError
from dioptra_worker.supervision.forkserver_client import ForkserverClient
from dioptra_worker.supervision.forkserver_start import LocalForkserver, Mode
from dioptra_worker.supervision.runner_process import Pipes, Process
from dioptra_worker.tracking.backend import SERVER_MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from dioptra_worker.supervision.forkserver_start import ForkserverFactory

log = logging.getLogger("dioptra_worker.launcher")


class Launcher:
    """Starts the fork server when it is needed, and talks to it; for any thread."""

    def __init__(
        self,
        *,
        mode: Mode,
        preload: tuple[str, ...],
        grace: float,
        environment: Mapping[str, str],
        tracking: tuple[str, ...] = SERVER_MODULES,
        source: ForkserverFactory | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            mode: How runners are made.
            preload: Modules that the fork server imports beside our own.
            grace: Seconds that runners have to end when the daemon is gone.
            environment: What runners see; without the daemon's secrets.
            tracking: Modules that runners keep their run with, to be imported, too.
            source: Where fork servers come from, if they are not started as said above.
            variables: What this launcher's runners see beside the fork server's
                environment, such as which GPUs.
        """
        self._source = source or LocalForkserver(
            mode=mode,
            preload=(*tracking, *preload),
            grace=grace,
            environment=environment,
        )
        self._grace = grace
        self._variables = dict(variables or {})
        self._asking = threading.Lock()
        self._forkserver: ForkserverClient | None = None
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the fork server if it is not running; it gets ready by itself."""
        with self._asking:
            self._running()

    def wait_until_ready(self, timeout: float) -> bool:
        """Wait until the fork server hands out runners without delay.

        Args:
            timeout: Seconds to wait at most.

        Returns:
            Whether it does.
        """
        with self._asking:
            forkserver = self._running()
        return forkserver.ready.wait(timeout) and not forkserver.gone

    def close(self) -> None:
        """Hang up; the fork server ends, and with it every runner."""
        with self._asking:
            self._closed = True
            if (forkserver := self._forkserver) is not None:
                # One that still imports has forked nobody yet, and does not listen.
                importing = not forkserver.ready.is_set()
                forkserver.close(wait=0.0 if importing else self._grace + 5.0)
                self._forkserver = None

    def job(self) -> tuple[Process, Pipes]:
        """A fresh runner, and what connects us to it.

        Raises:
            RunnerError: If none could be started.
        """
        ours, theirs = socket.socketpair()
        out, out_there = os.pipe()
        err, err_there = os.pipe()
        pipes = Pipes(control=ours, out=out, err=err)
        try:
            descriptors = [theirs.fileno(), out_there, err_there]
            request = {"do": "job", "environment": self._variables}
            return self._ask(request, descriptors), pipes
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
        request = {"do": "close_run", "run_id": run_id, "status": status}
        try:
            process = self._ask(request, [])
        except RunnerError as error:
            log.warning("MLflow run %s is not closed: %s", run_id, error)
            return False
        if not process.ended.wait(timeout):
            self.signal(process, 9)
            process.ended.wait(5.0)
        return process.exit is not None and process.exit.code == 0

    def download(self, uri: str, target: Path, *, is_dir: bool) -> tuple[Process, int]:
        """A process that fetches an artifact straight from its store.

        Args:
            uri: Where the artifact is.
            target: The file or folder to make of it.
            is_dir: Whether it is a folder.

        Returns:
            The process, and the descriptor of what it reports: the caller closes it.
            See `dioptra_worker.runner.artifact_download`.

        Raises:
            RunnerError: If none could be started.
        """
        request = {"do": "download", "uri": uri, "target": str(target)}
        reports, reports_there = os.pipe()
        try:
            process = self._ask({**request, "is_dir": is_dir}, [reports_there])
        except BaseException:
            os.close(reports)
            raise
        finally:
            os.close(reports_there)
        return process, reports

    def signal(self, process: Process, signum: int) -> None:
        """Signal a process and its group, unless it has ended."""
        forkserver = self._forkserver
        if forkserver is not None and not process.ended.is_set():
            forkserver.send({"do": "signal", "pid": process.pid, "signal": signum}, [])

    def _ask(self, request: Mapping[str, Any], descriptors: list[int]) -> Process:
        with self._asking:
            return self._running().ask(request, descriptors)

    def _running(self) -> ForkserverClient:
        if self._forkserver is None or self._forkserver.gone:
            if self._forkserver is not None:
                log.warning("the fork server has ended unexpectedly; starting another")
                self._forkserver.close(wait=1.0)
                self._forkserver = None
            try:
                forkserver = self._source.begin()
            except OSError as error:
                raise RunnerError(f"no fork server can be started: {error}") from error
            self._forkserver = ForkserverClient(forkserver, on_loss=self._on_loss)
        return self._forkserver

    def _on_loss(self, link: ForkserverClient) -> None:
        """Begin the next fork server before a job asks, if the last one worked."""
        if link.served:
            threading.Thread(target=self._replace, args=[link], daemon=True).start()

    def _replace(self, link: ForkserverClient) -> None:
        with self._asking, contextlib.suppress(RunnerError):  # the next job says it
            if self._forkserver is link and not self._closed:
                self._running()


def choose_mode(isolation: str) -> Mode:
    """The way to make runners that the platform allows.

    Args:
        isolation: ``fork``, ``spawn`` or ``auto``: fork on Linux, where a process
            that has imported much may be forked, and spawn elsewhere.
    """
    if isolation == "fork" or (isolation == "auto" and sys.platform == "linux"):
        return "fork"
    return "spawn"
