"""Has an artifact fetched straight from its store, by a process of the template."""

from __future__ import annotations

import json
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, Any, Protocol

from dioptra_worker.errors import ServiceUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dioptra_worker.daemon.runners import Process

SERVICE = "artifact store"
STALLED = 60.0
"""Seconds without a byte after which the store is not waited for any more."""
_LOOK = 0.2
"""Seconds between two looks at whether the job was stopped."""
_LAST_WAIT = 5.0
_CHUNK = 1 << 16


class Maker(Protocol):
    """Makes the process: a `dioptra_worker.daemon.launcher.Launcher`."""

    def download(self, uri: str, target: Path, *, is_dir: bool) -> tuple[Process, int]:
        """Begin to fetch; the process and the descriptor of its reports."""
        ...

    def signal(self, process: Process, signum: int) -> None:
        """Signal it."""
        ...


class Listener(Protocol):
    """Is told how far a download is."""

    def begin(self, size: int) -> None:
        """So many bytes will come."""
        ...

    def came(self, count: int) -> None:
        """So many more bytes are there."""
        ...


def fetch(
    maker: Maker,
    uri: str,
    target: Path,
    *,
    is_dir: bool,
    listener: Listener,
    go_on: Callable[[], object],
    stalled: float = STALLED,
) -> None:
    """Fetch an artifact straight from its store.

    Args:
        maker: Makes the process that does it.
        uri: Where the artifact is.
        target: The file or folder to make of it; of no use after a failure.
        is_dir: Whether it is a folder.
        listener: Is told how far it is.
        go_on: Called now and then; may raise to give up.
        stalled: Seconds without a byte after which to give up.

    Raises:
        RunnerError: If there is no process to do it.
        ServiceUnavailable: If the store did not give it; why may be anything.
    """
    process, reports = maker.download(uri, target, is_dir=is_dir)
    try:
        _hear(reports, listener, go_on, stalled)
    finally:
        os.close(reports)
        maker.signal(process, signal.SIGKILL)  # to no effect once it has ended
        process.ended.wait(_LAST_WAIT)


def _hear(
    reports: int, listener: Listener, go_on: Callable[[], object], stalled: float
) -> None:
    """Hear the process out; return when it is done."""
    buffer = b""
    heard = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(reports, selectors.EVENT_READ)
        while True:
            go_on()
            if not selector.select(_LOOK):
                if time.monotonic() - heard > stalled:
                    raise _failed(f"nothing came for {stalled:.0f} s")
                continue
            heard = time.monotonic()
            data = os.read(reports, _CHUNK)
            if not data:
                raise _failed("the process that fetched it has ended")
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                if _is_done(json.loads(line), listener):
                    return


def _is_done(said: dict[str, Any], listener: Listener) -> bool:
    match said:
        case {"size": int(size)}:
            listener.begin(size)
        case {"came": int(count)}:
            listener.came(count)
        case {"error": str(words)}:
            raise _failed(words)
    return "done" in said


def _failed(words: str) -> ServiceUnavailable:
    return ServiceUnavailable(words, service=SERVICE)
