"""The daemon's word to stop, which reaches the task's own frame and is not lost there.

SIGTERM raises `JobStopped` in the main thread, so that a task can tidy up. Where that
is swallowed (asyncio keeps what a callback raises, a C library drops it, a task catches
everything) it is raised again, until the task is left; and no further step begins.
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType

RAISE_INTERVAL = 1.0
"""Seconds after which a stop that nobody handles any more is raised again."""


class JobStopped(BaseException):
    """The daemon told this process to stop.

    It is no `Exception`, so that ``except Exception`` in user code lets it through.
    """


class StopSignal:
    """Hears SIGTERM for the main thread.

    Attributes:
        requested: Whether it has come.
    """

    def __init__(self) -> None:
        self.requested = False
        self._over = False
        self._come: queue.SimpleQueue[None] = queue.SimpleQueue()

    def install(self) -> None:
        """Listen, from the main thread."""
        signal.signal(signal.SIGTERM, self._on_signal)
        threading.Thread(target=self._insist, name="dioptra-stop", daemon=True).start()

    def ignore(self) -> None:
        """Be deaf from now on; a function is, as children would inherit `SIG_IGN`."""
        self._over = True
        signal.signal(signal.SIGTERM, lambda *_: None)

    def check(self) -> None:
        """End a job whose task went on in spite of it.

        Raises:
            JobStopped: If it has come.
        """
        if self.requested:
            raise JobStopped

    def _on_signal(self, _signum: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = True
            # No other queue, lock or thread: this may have interrupted any of them.
            self._come.put(None)
        elif is_handled(threading.get_ident()):
            return  # a second signal does not interrupt what the first one began
        raise JobStopped

    def _insist(self) -> None:
        """Raise it again where it is handled no more and the task still runs."""
        self._come.get()
        main = threading.main_thread().ident
        assert main is not None
        while not self._over:
            time.sleep(RAISE_INTERVAL)
            if not self._over and not is_handled(main):
                signal.pthread_kill(main, signal.SIGTERM)


def is_handled(thread: int) -> bool:
    """Whether a thread is in the midst of what a stop has it do: ``finally``, say.

    Args:
        thread: Its identity.
    """
    current = sys._current_exceptions().get(thread)  # noqa: SLF001 - its public name
    found = current[1] if isinstance(current, tuple) else current
    while found is not None:
        if isinstance(found, JobStopped) or type(found).__name__ == "CancelledError":
            return True
        found = found.__context__
    return False
