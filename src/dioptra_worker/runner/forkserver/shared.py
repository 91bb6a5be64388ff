"""One fork server for several daemons: each gets a fork of it, which is its own.

So what a daemon's fork server promises (who is its child, whose orphan is whose, what
ends with whom) stays simple, while everything is imported, and held in memory, once.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import subprocess
from functools import partial
from typing import TYPE_CHECKING, NoReturn

from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.processes.job_user import become, receive_user
from dioptra_worker.common.processes.orphans import adopt_orphans, kill_orphans
from dioptra_worker.runner.forkserver.children.process_makers import (
    ForkingMaker,
    leave_unreaped,
)
from dioptra_worker.runner.forkserver.descriptors import close_all_but
from dioptra_worker.runner.forkserver.reaper import child_signals, reap
from dioptra_worker.runner.forkserver.server import Forkserver

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from dioptra_worker.common.processes.job_user import JobUser
    from dioptra_worker.protocol.forkserver import PreloadedModule, StartLearned


def serve(
    sock: socket.socket,
    of_libraries: Collection[int],
    *,
    preload: str,
    grace: float,
    why: str | None,
    preloaded: tuple[PreloadedModule, ...],
    learn: Callable[..., NoReturn],
) -> None:
    """Make a fork server for whoever is handed to us, until nobody can be any more.

    Args:
        sock: Brings sockets of daemons, and who their runners are.
        of_libraries: Descriptors that belong to what was imported.
        preload: Modules that runners need, separated by commas.
        grace: Seconds that runners have to end when their daemon is gone.
        why: Why this process must not be forked; None when it may be.
        preloaded: What this process has imported for runners beside our own.
        learn: Makes a second fork server of a fork of what serves a daemon, given the
            descriptor, the request, and whether its user has nothing but our runners.
    """
    adopt_orphans()  # of fork servers that somebody has killed
    forkservers: set[int] = set()
    stuck: set[int] = set()
    with child_signals() as children, selectors.DefaultSelector() as selector:
        selector.register(sock, selectors.EVENT_READ)
        selector.register(children, selectors.EVENT_READ)
        while True:
            ready = [key.fileobj for key, _ in selector.select()]
            if children in ready:
                with contextlib.suppress(BlockingIOError):
                    children.recv(4096)
                forkservers -= {pid for pid in forkservers if reap(pid)}
                kill_orphans(forkservers, stuck=stuck)
            if sock not in ready:
                continue
            user, descriptors = receive_user(sock)
            if not descriptors:
                return
            with socket.socket(fileno=descriptors[0]) as daemon:
                if why is None:
                    pid = _fork(
                        daemon,
                        of_libraries,
                        user,
                        grace=grace,
                        preloaded=preloaded,
                        learn=partial(learn, has_own_user=user is not None),
                    )
                else:
                    pid = _start(daemon, user, preload=preload, grace=grace, why=why)
                forkservers.add(pid)


def _fork(
    daemon: socket.socket,
    of_libraries: Collection[int],
    user: JobUser | None,
    *,
    grace: float,
    preloaded: tuple[PreloadedModule, ...],
    learn: Callable[[int, StartLearned], NoReturn],
) -> int:
    if pid := os.fork():
        return pid
    try:
        os.setsid()
        if user is not None:
            become(user)
        signal.set_wakeup_fd(-1)  # before its descriptor is closed
        # The pool's socket first of all: it would not see the parent's end.
        close_all_but({*of_libraries, daemon.fileno()})
        Forkserver(
            daemon,
            ForkingMaker(of_libraries, learn=learn),
            grace=grace,
            preloaded=preloaded,
            has_own_user=user is not None,
        ).serve()
    finally:
        os._exit(0)


def _start(
    daemon: socket.socket,
    user: JobUser | None,
    *,
    preload: str,
    grace: float,
    why: str,
) -> int:
    child = subprocess.Popen(
        [
            *(*python(), "-m", "dioptra_worker.runner.forkserver.main"),
            *("--fd", str(daemon.fileno()), "--mode", "spawn"),
            *("--preload", preload, "--grace", str(grace), "--why", why),
            *([] if user is None else ["--own-user"]),
        ],
        pass_fds=[daemon.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        # It renounced what it needs no longer as this process did.
        user=None if user is None else user.uid,
        group=None if user is None else user.uid,
        extra_groups=None if user is None else user.groups,
    )
    return leave_unreaped(child)
