"""One slot of a pool: a daemon in a process of its own, started again if lost."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dioptra_worker.common.processes.job_user import JobUser

FIRST_DELAY = 1.0
LONGEST_DELAY = 30.0
"""Seconds between the loss of a slot and its next start, which grow with each loss."""
STABLE_AFTER = 60.0
"""Seconds after which a slot that is lost is started again as if for the first time."""
LOST_CODES = 1, 126, 127
"""Exit codes that no daemon ends with of its own accord."""


@dataclass(frozen=True, kw_only=True)
class SlotSpec:
    """How a slot is started.

    Attributes:
        name: The worker's name.
        program: The daemon's program, which is told of the socket to the pool.
        options: The rest of its command line.
        environment: All of its environment.
    """

    name: str
    program: tuple[str, ...]
    options: tuple[str, ...]
    environment: Mapping[str, str]


class Slot:
    """One slot, over all of its processes.

    Attributes:
        spec: How it is started.
        pid: Its process while it runs.
        sock: The socket to it while it runs.
        restart_at: When it is to be started again, if it is.
        code: The exit code of its last process, as a shell has it.
        user: Who its runners are, since it last asked; None is our own user.
    """

    def __init__(self, spec: SlotSpec) -> None:
        self.spec = spec
        self.pid: int | None = None
        self.sock: socket.socket | None = None
        self.restart_at: float | None = None
        self.code = 0
        self.user: JobUser | None = None
        self._started = 0.0
        self._pause = FIRST_DELAY

    def start(self) -> None:
        """Start its process.

        Raises:
            OSError: If there cannot be another process, or descriptor, now.
        """
        self.restart_at = None
        self._started = time.monotonic()
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = subprocess.Popen(
                    [
                        *self.spec.program,
                        "--pool",
                        str(theirs.fileno()),
                        *self.spec.options,
                    ],
                    env=dict(self.spec.environment),
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    start_new_session=True,  # a terminal's Ctrl-C is ours to pass on
                )
        except BaseException:
            ours.close()
            raise
        # The pool reaps it, with all other children: Popen must not wait for it, too.
        process.returncode = 0
        self.pid, self.sock = process.pid, ours

    def signal(self, signum: int) -> None:
        """Signal its process, if it runs."""
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signum)

    def record_exit(self, code: int) -> None:
        """Note that its process has ended.

        Args:
            code: The exit code, or minus the signal's number.
        """
        self.pid = None
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        self.code = code if code >= 0 else 128 - code

    @property
    def is_lost(self) -> bool:
        """Whether its process has ended in a way that it never chose."""
        return self.code > 128 or self.code in LOST_CODES

    def schedule_restart(self) -> float:
        """Have it started again after a pause; how long that is."""
        if time.monotonic() - self._started > STABLE_AFTER:
            self._pause = FIRST_DELAY
        pause, self._pause = self._pause, min(2 * self._pause, LONGEST_DELAY)
        self.restart_at = time.monotonic() + pause
        return pause
