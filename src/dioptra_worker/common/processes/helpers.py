"""Programs that do something for us, and are not wanted any more once we are not."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import IO, TYPE_CHECKING

from dioptra_worker.common.interrupts import deferred

if TYPE_CHECKING:
    from collections.abc import Sequence


def run_helper(
    command: Sequence[str], *, stdout: IO[bytes] | int, stderr: int
) -> tuple[int, str]:
    """Run a program to its end; an interrupt kills it, and whatever it has started.

    It is in a group of its own: a terminal's Ctrl-C reaches us alone, and who kills
    only the program leaves what it has started.

    Args:
        command: The program, with its arguments; it gets our environment.
        stdout: Where its output goes.
        stderr: Where its errors go.

    Returns:
        Its exit code, and what came through a pipe as errors.
    """
    process: subprocess.Popen[str] | None = None
    try:
        with deferred():
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        said = process.communicate()[1]
    except BaseException:
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        raise
    return process.returncode, said or ""
