"""What Python does at the end of a program, for the program that a job is.

A runner ends without Python's own end, which user code could hang and which would run
what the fork server has imported. What belongs to the job is done here, within a limit:
its threads end, its exit handlers run, its files are flushed, and what keeps account of
shared memory and semaphores removes those that are left. So it is for a process that a
task has forked, where that leaves the task: it must not go on as the runner.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import io
import logging
import os
import sys
import threading
import traceback
import weakref
from _thread import allocate_lock, start_new_thread
from os import _exit  # as it was before user code could replace it
from time import monotonic, sleep  # bound here: plugin code may replace them
from typing import TYPE_CHECKING, Any, NoReturn

from dioptra_worker.common.processes.orphans import has_children

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("dioptra_worker.job")

EXIT_TIMEOUT = 5.0
"""Seconds for all that a job has left to be done at its end."""
_POLL_INTERVAL = 0.005
_TRACKER = ".resource_tracker"
"""How the modules end that watch shared memory: multiprocessing's, and loky's."""
_FILE = io.IOBase.__mro__[1]
"""What all files are made of; `io.IOBase`, an abstract class, asks all of its own."""
_ARCHIVES = {"gzip": "GzipFile", "bz2": "BZ2File", "lzma": "LZMAFile"}
"""Files that are whole only once they are closed, by module."""


def begin_handlers() -> None:
    """Leave out what was registered before the job, and begin with Python's own."""
    forget_earlier_handlers()
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        atexit.register(util._exit_function)  # noqa: SLF001 - it is the job's, too


def forget_earlier_handlers() -> None:
    """Leave out what was registered and opened before now: it is the parent's.

    A folder that a library made in the fork server, to be removed at its end, is for
    later jobs; and what a task has in a buffer, its child must not write once more.
    """
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined] # noqa: SLF001
        finalizer.atexit = False
    weakref.finalize._registered_with_atexit = False  # type: ignore[attr-defined] # noqa: SLF001
    gc.freeze()  # no file of before is looked at among later ones: they are far more
    atexit._clear()  # noqa: SLF001 - it has no public name


def run_exit_handlers(
    *, join_threads: bool, too_late: Callable[[], None], timeout: float = EXIT_TIMEOUT
) -> None:
    """Do what is left to be done.

    Args:
        join_threads: Whether the job's threads may end by themselves.
        too_late: Called in a thread of its own when it takes longer than it may, while
            what hangs goes on to hang.
        timeout: Seconds for all of it.
    """
    unfinished = allocate_lock()
    unfinished.acquire()
    deadline = monotonic() + timeout

    def watch() -> None:
        if not unfinished.acquire(timeout=timeout):
            log.warning(
                "what the job has left to be done at its end (exit handlers, threads,"
                " files to flush) took longer than %g seconds and is given up",
                timeout,
            )
            too_late()

    try:
        # Not by `threading`, which the job may have changed, and whose `start` waits
        # for ever for a thread that has died for want of memory.
        start_new_thread(watch, ())
    except (RuntimeError, MemoryError) as error:  # it has as much as there may be
        log.warning("exit handlers do not run, since nothing could end them: %s", error)
        return
    # Whatever code of the job's raises here, a thread's own `join` say, is not its end.
    if join_threads:
        with end_children_here(), contextlib.suppress(BaseException):
            _join_threads(deadline)
    with end_children_here(), contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # noqa: SLF001 - it has no public name
    for step in (_flush_files, lambda: _end_trackers(deadline)):
        with contextlib.suppress(BaseException):
            step()
    unfinished.release()


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
        run_exit_handlers(join_threads=True, too_late=lambda: _exit(code))
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


def _join_threads(deadline: float) -> None:
    """Let executors and threads end that Python, too, waits for."""
    for handler in reversed(getattr(threading, "_threading_atexits", [])):
        with contextlib.suppress(BaseException):
            handler()
    for thread in threading.enumerate():
        ours = thread is threading.current_thread() or thread.daemon
        if not ours:
            # A little before the end, so that handlers run all the same.
            thread.join(max(0.0, deadline - 1.0 - monotonic()))
            if thread.is_alive():
                log.warning("the thread %r runs on and ends with its job", thread.name)


def _flush_files() -> None:
    """Write what is in the buffers of files that nobody has closed."""
    objects = gc.get_objects()
    kinds_of_files = {kind for kind in set(map(type, objects)) if _FILE in kind.__mro__}
    files: list[Any] = [found for found in objects if type(found) in kinds_of_files]
    kinds: list[Any] = [
        getattr(sys.modules[module], name, ())
        for module, name in _ARCHIVES.items()
        if module in sys.modules
    ]
    archives: list[Any] = [file for file in files if isinstance(file, tuple(kinds))]
    for layer in (io.TextIOWrapper, io.BufferedIOBase):  # from the top down
        for file in files:
            if isinstance(file, layer):
                _quietly(file.flush)
        for archive in archives:
            _quietly(archive.close)


def _quietly(action: Callable[[], object]) -> None:
    with contextlib.suppress(Exception):  # closed, detached, or a disk that is full
        action()


def _end_trackers(deadline: float) -> None:
    """Let those end that remove what is left of shared memory and semaphores."""
    if not has_children():  # and so no tracker: there are thousands of modules
        return
    for name, module in list(sys.modules.items()):
        if name.endswith(_TRACKER):
            _end_tracker(getattr(module, "_resource_tracker", None), deadline)


def _end_tracker(tracker: Any, deadline: float) -> None:
    descriptor, pid = getattr(tracker, "_fd", None), getattr(tracker, "_pid", None)
    if descriptor is None or pid is None:
        return
    with contextlib.suppress(OSError, AttributeError):
        os.close(descriptor)  # its word to remove what is left and to end
        tracker._fd = None  # noqa: SLF001 - it would be closed again
        # Some of the job's children may keep it open; what is left then is not known.
        while not os.waitpid(pid, os.WNOHANG)[0] and monotonic() < deadline - 0.5:
            sleep(_POLL_INTERVAL)
