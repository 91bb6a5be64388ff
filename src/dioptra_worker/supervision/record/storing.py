"""Has a manifest stored by a process of the fork server, and hears what it says."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import time
from typing import TYPE_CHECKING, Any

from dioptra_worker.errors import RunnerError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.supervision.launcher import Launcher

RECORD_TIMEOUT = 60.0
"""Seconds that the process has which stores one manifest."""


def store(
    launcher: Launcher,
    manifest: int,
    *,
    lost_lines: int | None = None,
    points: Mapping[str, int] | None = None,
    timeout: float = RECORD_TIMEOUT,
) -> dict[str, Any]:
    """Have a manifest stored, and what has arrived of the job compared with it.

    Args:
        launcher: Starts the process.
        manifest: A descriptor of the file that has the manifest, and behind it what was
            signed of it.
        lost_lines: How many lines of its log the API lacks; None if unknown.
        points: How many points of each metric the API has; None if unknown.
        timeout: Seconds that it may take.

    Returns:
        What the process said: ``receipt`` and ``complete``, or ``error``; see
        `dioptra_worker.runner.errands.record_run`.
    """
    try:
        process, reports = launcher.start_record(
            manifest, lost_lines=-1 if lost_lines is None else lost_lines, points=points
        )
    except RunnerError as error:
        return {"error": str(error)}
    try:
        return _read(reports, timeout)
    finally:
        os.close(reports)
        launcher.signal(process, signal.SIGKILL)


def _read(reports: int, timeout: float) -> dict[str, Any]:
    """What a process says before it ends."""
    until, said = time.monotonic() + timeout, b""
    with selectors.DefaultSelector() as selector:
        selector.register(reports, selectors.EVENT_READ)
        while selector.select(max(0.0, until - time.monotonic())):
            data = os.read(reports, 1 << 16)
            said += data
            if not data or said.endswith(b"\n"):
                break
    with contextlib.suppress(ValueError):
        found = json.loads(said)
        if isinstance(found, dict) and found.keys() & {"receipt", "error"}:
            return found
    return {"error": "the process that was to store it has not said that it did"}
