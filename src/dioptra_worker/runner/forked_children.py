"""Processes that a task forks: their end is theirs, and the job's is the runner's.

``os.fork()`` in a task gives a child that has all of the runner in memory. Where it
leaves the task, by returning or by an exception, it must not go on as the runner.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from os import _exit  # as it was before user code could replace it
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator


_STOPPING = {signal.SIGTERM, signal.SIGINT}


def reset_signals_in_children() -> None:
    """Let children that are forked from now on die of SIGTERM and SIGINT as usual."""
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

    os.register_at_fork(
        before=before, after_in_parent=after_in_parent, after_in_child=after_in_child
    )


@contextlib.contextmanager
def end_children_here() -> Iterator[None]:
    """End a child of this process that leaves the block; its parent goes on.

    It ends as a program does: with 0 where it returned, with what it gave `sys.exit`,
    or with 1 and its traceback on standard error.
    """
    pid = os.getpid()
    try:
        yield
    except BaseException as error:
        if os.getpid() != pid:
            _end_child(error)
        raise
    if os.getpid() != pid:
        _end_child(None)


def _end_child(error: BaseException | None) -> NoReturn:
    code = 1
    try:
        if error is None:
            code = 0
        elif isinstance(error, SystemExit):
            code = _exit_code(error.code)
        else:
            traceback.print_exception(error)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
    finally:
        _exit(code)


def _exit_code(given: object) -> int:
    """What `sys.exit` makes of its argument."""
    if given is None:
        return 0
    if isinstance(given, int):
        return given & 0xFF
    print(given, file=sys.stderr)  # noqa: T201 - as Python does
    return 1
