"""Processes that a task forks: what of the runner they do not take over.

``os.fork()`` in a task gives a child that has all of the runner in memory. Its signals
are a program's, and what was to be done at the job's end is not its own to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading

from dioptra_worker.runner.exit_handlers import forget_earlier_handlers

_STOPPING = {signal.SIGTERM, signal.SIGINT}


def prepare_children() -> None:
    """Have children that are forked from now on begin as programs do."""
    forking = threading.local()

    # They are held back meanwhile: one that reaches a child before it has its own
    # handlers would be taken by the runner's, and lost.
    def before() -> None:
        forking.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)

    def after_in_parent() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.blocked)

    def after_in_child() -> None:
        with contextlib.suppress(ValueError):  # another interpreter's thread
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, forking.blocked)
        forget_earlier_handlers()

    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )
