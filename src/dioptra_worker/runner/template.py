"""The template: a small process that hands out runners and outlives none of them.

It has imported what a runner needs and does nothing else: no threads, no sockets but
the one to the daemon. On Linux it forks itself for each job; elsewhere, where a
process that has imported much must not be forked, it keeps a spawned spare ready.

It is the parent of every runner, so that it knows exactly how each one ended and how
much memory it took, can end all that a job has left behind (on Linux it adopts a
job's orphans), and can end the runners when the daemon is gone. That is why it is a
process of our own and not `multiprocessing`'s forkserver, which can do none of these.

Requests and reports are JSON lines; a request for a runner comes with three file
descriptors: the runner's socket to the daemon, and its standard output and error.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from dioptra_worker import compat
from dioptra_worker.provenance.surroundings import surroundings
from dioptra_worker.runner import process
from dioptra_worker.runner.rehearsal import rehearse

if TYPE_CHECKING:
    import resource
    from collections.abc import Callable, Iterator

ALWAYS_PRELOADED = (
    "dioptra.client",
    "dioptra.pyplugs",
    "dioptra.sdk.api.artifact",
    "dioptra.sdk.utilities.auth_client",
    "dioptra_worker.engine",
    "dioptra_worker.sdk.auth_client",
    "dioptra_worker.sdk.client.client",
    "jsonschema",
)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_FDS_PER_JOB = 3
LAST_REAPING = 1.0
"""Seconds to wait for the end of a process that was killed."""


def main() -> None:
    """Serve the daemon until it hangs up."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--mode", choices=["fork", "spawn"], required=True)
    parser.add_argument("--preload", default="")
    parser.add_argument("--grace", type=float, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # ends with the daemon, not before
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    names = [name for name in options.preload.split(",") if name]
    with socket.socket(fileno=options.fd) as sock:
        maker: _Forker | _Spawner
        if options.mode == "fork":
            preload(names)
            gc.collect()
            gc.freeze()
            maker = _Forker(sock)
        else:
            maker = _Spawner(options.preload)
        Template(sock, maker, grace=options.grace).serve()


def preload(names: list[str]) -> None:
    """Import what runners need; a module that cannot be had is told, not fatal.

    Args:
        names: Modules to import beside our own.
    """
    sys.path.insert(0, str(compat.path()))
    surroundings()  # read once, for all runners
    for name in (*ALWAYS_PRELOADED, *names):
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001 - a module raises what it likes
            print(f"preload: {name} cannot be imported: {error!r}", file=sys.stderr)  # noqa: T201
    rehearse()


def become_runner(descriptors: list[int]) -> NoReturn:
    """Turn this fresh process into a runner.

    Args:
        descriptors: The socket to the daemon, standard output and standard error.
    """
    control, out, err = descriptors
    os.set_inheritable(control, False)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # which the template ignores
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (out, 1), (err, 2)):
        os.dup2(source, target, inheritable=True)
        os.close(source)
    _reseed()
    try:
        process.main(socket.socket(fileno=control))
    except BaseException:  # noqa: BLE001 - the last line of defence: say it, end
        import traceback  # noqa: PLC0415 - needed this once

        os.write(2, traceback.format_exc().encode())
    os._exit(1)


class Template:
    """Serves requests for runners, watches them, and reports how each one ended."""

    def __init__(
        self, sock: socket.socket, maker: _Forker | _Spawner, *, grace: float
    ) -> None:
        self._sock = sock
        self._maker = maker
        self._grace = grace
        self._active: set[int] = set()
        self._jobs: set[int] = set()
        self._descriptors: deque[int] = deque()
        self._buffer = b""

    def serve(self) -> None:
        """Work until the daemon hangs up, then see that no runner outlives it."""
        with _child_signals() as children, selectors.DefaultSelector() as selector:
            selector.register(self._sock, selectors.EVENT_READ)
            selector.register(children, selectors.EVENT_READ)
            self._report(ready=True, mode=self._maker.mode, threads=_threads())
            while self._wait(selector, children, timeout=None):
                pass
            self._signal_all(signal.SIGTERM)
            deadline = time.monotonic() + self._grace
            selector.unregister(self._sock)
            while self._active and (left := deadline - time.monotonic()) > 0:
                self._wait(selector, children, timeout=left)
            self._signal_all(signal.SIGKILL)
            deadline = time.monotonic() + LAST_REAPING
            while self._active and (left := deadline - time.monotonic()) > 0:
                self._wait(selector, children, timeout=left)
        self._maker.close()

    def _wait(
        self,
        selector: selectors.BaseSelector,
        children: socket.socket,
        *,
        timeout: float | None,
    ) -> bool:
        """Handle what comes next; False when the daemon hung up."""
        alive = True
        for key, _ in selector.select(timeout):
            if key.fileobj is children:
                with contextlib.suppress(BlockingIOError):
                    children.recv(4096)
                self._reap()
            else:
                alive = self._receive()
        return alive

    def _receive(self) -> bool:
        try:
            data, descriptors, _, _ = socket.recv_fds(
                self._sock, 1 << 16, 8 * _FDS_PER_JOB
            )
        except ConnectionError:
            return False
        self._descriptors.extend(descriptors)
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._handle(json.loads(line))
        return bool(data)

    def _handle(self, request: dict[str, Any]) -> None:
        match request["do"]:
            case "job":
                descriptors = [self._descriptors.popleft() for _ in range(_FDS_PER_JOB)]
                pid = self._maker.job(descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
                self._jobs.add(pid)
            case "close_run":
                pid = self._maker.close_run(request["run_id"], request["status"])
            case "signal":
                if request["pid"] in self._active:
                    _signal_group(request["pid"], request["signal"])
                return
        self._active.add(pid)
        self._report(started=pid)

    def _reap(self) -> None:
        for pid in list(self._active):
            found = _collect(pid, group=pid in self._jobs)
            if found is None:
                continue
            status, usage = found
            self._active.discard(pid)
            self._jobs.discard(pid)
            if not self._jobs:
                _end_orphans(self._active | self._maker.spares())
            self._report(ended=pid, status=status, peak=_bytes(usage.ru_maxrss))

    def _signal_all(self, signum: int) -> None:
        for pid in self._active:
            _signal_group(pid, signum)

    def _report(self, **body: object) -> None:
        with contextlib.suppress(OSError):  # the daemon is gone: the next read says so
            self._sock.sendall(json.dumps(body).encode() + b"\n")


class _Forker:
    """Makes runners by forking this process."""

    mode = "fork"

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def job(self, descriptors: list[int]) -> int:
        return self._fork(lambda: become_runner(descriptors))

    def close_run(self, run_id: str, status: Any) -> int:
        return self._fork(lambda: process.close_run(run_id, status))

    def spares(self) -> set[int]:
        return set()

    def close(self) -> None:
        pass

    def _fork(self, target: Callable[[], NoReturn]) -> int:
        pid = os.fork()
        if pid:
            return pid
        try:
            os.setsid()
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._sock.close()
            gc.unfreeze()
            target()
        finally:
            os._exit(1)


class _Spawner:
    """Keeps one spawned runner ready and starts the next when it is taken."""

    mode = "spawn"

    def __init__(self, preload: str) -> None:
        self._preload = preload
        self._spare = self._spawn()

    def job(self, descriptors: list[int]) -> int:
        spare, sock = self._spare
        if spare.poll() is not None:  # it died while waiting: make another
            sock.close()
            spare, sock = self._spawn()
        with sock, contextlib.suppress(ConnectionError):  # its end will be reported
            socket.send_fds(sock, [b"j"], descriptors)
        self._spare = self._spawn()
        return _let_go(spare)

    def close_run(self, run_id: str, status: Any) -> int:
        code = (
            "from dioptra_worker.runner.process import close_run;"
            f"close_run({run_id!r}, {status!r})"
        )
        child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
        return _let_go(child)

    def spares(self) -> set[int]:
        return {self._spare[0].pid}

    def close(self) -> None:
        spare, sock = self._spare
        sock.close()
        with contextlib.suppress(ProcessLookupError):
            spare.kill()
        spare.wait()

    def _spawn(self) -> tuple[subprocess.Popen[bytes], socket.socket]:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "dioptra_worker.runner.process"]
            options = ["--fd", str(theirs.fileno()), "--preload", self._preload]
            spare = subprocess.Popen(
                [*command, *options],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return spare, ours


def _let_go(child: subprocess.Popen[bytes]) -> int:
    """Keep `subprocess` from reaping a child whose end is ours to see; its pid."""
    child.returncode = 0
    return child.pid


@contextlib.contextmanager
def _child_signals() -> Iterator[socket.socket]:
    """A socket that becomes readable when a child has ended."""
    reader, writer = socket.socketpair()
    with reader, writer:
        reader.setblocking(False)
        writer.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(-1)


def _collect(pid: int, *, group: bool) -> tuple[int, resource.struct_rusage] | None:
    """Reap a child that has ended, and kill what is left of its group.

    Where the system allows, the group is killed before its leader is reaped, since an
    unreaped leader keeps the group's number from being given to anybody else.

    Args:
        pid: The child.
        group: Whether it leads a group of its own to be killed.

    Returns:
        Its wait status and what it used; None while it runs.
    """
    peeks = hasattr(os, "waitid")  # not on macOS
    if peeks:
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        if os.waitid(os.P_PID, pid, options) is None:
            return None
        if group:
            _signal_group(pid, signal.SIGKILL)
    found, status, usage = os.wait4(pid, os.WNOHANG)
    if not found:
        return None
    if group and not peeks:
        _signal_group(pid, signal.SIGKILL)
    return status, usage


def _signal_group(pid: int, signum: int) -> None:
    """Signal a runner, which is not reaped yet, and all in its process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        try:
            os.killpg(pid, signum)
        except ProcessLookupError:  # it was forked just now and leads no group yet
            os.kill(pid, signum)


def _end_orphans(known: set[int]) -> None:
    """Kill and reap what a job has left behind outside its group (Linux)."""
    for _ in range(100):  # killing one can orphan its children, which come next
        orphans = _children() - known
        if not orphans:
            return
        for pid in orphans:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(pid, signal.SIGKILL)
        stuck = [pid for pid in orphans if not _reaped(pid)]
        if stuck:
            return


def _reaped(pid: int) -> bool:
    """Reap a child that was killed; False when it sits in the kernel and cannot die."""
    deadline = time.monotonic() + LAST_REAPING
    with contextlib.suppress(ChildProcessError):
        while not os.waitpid(pid, os.WNOHANG)[0]:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.001)
    return True


def _children() -> set[int]:
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return set()
    return {int(pid) for pid in text.split()}


def _threads() -> int:
    return threading.active_count()


def _reseed() -> None:
    """Give NumPy's global generator fresh entropy: forks would share it otherwise."""
    numpy = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()


def _prctl(option: int, value: int) -> None:
    """Set a property of this process on Linux; elsewhere do nothing."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _bytes(ru_maxrss: int) -> int:
    """`ru_maxrss` in bytes: Linux counts in KiB, macOS in bytes."""
    return ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
