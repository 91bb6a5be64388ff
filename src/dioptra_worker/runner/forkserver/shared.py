"""One fork server for several daemons: each gets a fork of it, which is its own.

So what a daemon's fork server promises (who is its child, whose orphan is whose, what
ends with whom) stays simple, while everything is imported, and held in memory, once.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess

from dioptra_worker.common.interpreter import python
from dioptra_worker.runner.forkserver.process_makers import ForkingMaker
from dioptra_worker.runner.forkserver.server import Forkserver


def serve(sock: socket.socket, *, preload: str, grace: float, why: str | None) -> None:
    """Make a fork server for whoever is handed to us, until nobody can be any more.

    Args:
        sock: Brings sockets of daemons.
        preload: Modules that runners need, separated by commas.
        grace: Seconds that runners have to end when their daemon is gone.
        why: Why this process must not be forked; None when it may be.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # each fork server ends by itself
    while True:
        data, descriptors, _, _ = socket.recv_fds(sock, 1, 1)
        if not data:
            return
        with socket.socket(fileno=descriptors[0]) as daemon:
            if why is None:
                _fork(daemon, sock, grace=grace)
            else:
                _start(daemon, preload=preload, grace=grace, why=why)


def _fork(daemon: socket.socket, sock: socket.socket, *, grace: float) -> None:
    if os.fork():
        return
    try:
        os.setsid()
        # Before it serves: the parent does not see its children's ends, this one must.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        sock.close()  # the pool's, which would not see the parent's end
        Forkserver(daemon, ForkingMaker(daemon), grace=grace).serve()
    finally:
        os._exit(0)


def _start(daemon: socket.socket, *, preload: str, grace: float, why: str) -> None:
    subprocess.Popen(
        [
            *(*python(), "-m", "dioptra_worker.runner.forkserver.main"),
            *("--fd", str(daemon.fileno()), "--mode", "spawn"),
            *("--preload", preload, "--grace", str(grace), "--why", why),
        ],
        pass_fds=[daemon.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
