"""Knowing a process again, so that a recycled process id is never signalled.

A process is known by its id and its start time, which the kernel keeps for it. Where
``/proc`` is missing (macOS), ``ps`` tells both. That a process cannot be looked at, as
without a free descriptor or where the system hides others' (``hidepid``), does not mean
that it has ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.prctl import PR_SET_PDEATHSIG, prctl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROC = Path("/proc")
_POLL_INTERVAL = 0.02


@dataclass(frozen=True)
class ProcessId:
    """One process, told apart from every other that had or will have its id.

    Attributes:
        pid: The process id.
        start_time: When it started, as the system tells it; an opaque text.
    """

    pid: int
    start_time: str

    def is_alive(self) -> bool:
        """Tell whether this very process runs, or may do so; a zombie does not."""
        try:
            return _start_time_of(self.pid) == self.start_time
        except OSError:
            return True

    def is_shown(self) -> bool:
        """Tell whether this very process is seen to run."""
        return identify(self.pid) == self

    def is_stopped(self) -> bool:
        """Tell whether a signal has stopped this very process; only with ``/proc``."""
        if not _has_proc():  # `ps` costs too much to ask again and again
            return False
        with contextlib.suppress(OSError):
            return self.is_shown() and _stat_fields(self.pid)[:1] in (["T"], ["t"])
        return False


def identify(pid: int) -> ProcessId | None:
    """Return who a running process is, or None if there is none that is seen."""
    start_time = None
    with contextlib.suppress(OSError):
        start_time = _start_time_of(pid)
    return None if start_time is None else ProcessId(pid, start_time)


def has_ended(pid: int) -> bool:
    """Tell whether there surely is no process of this id that runs."""
    try:
        return _start_time_of(pid) is None
    except OSError:
        return False


@cache
def boot_id() -> str:
    """What tells this start of this machine from every other; empty if nothing does.

    Unlike a host name it is never shared: not by cloned machines, nor by containers
    that were given one name.
    """
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _run("sysctl", "-n", "kern.bootsessionuuid").strip()


def pid_namespace() -> str:
    """Where our process ids count; empty where there is no such thing."""
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def pids() -> Iterator[int]:
    """Return the ids of all processes that are shown; only with ``/proc``."""
    with contextlib.suppress(OSError):
        for entry in _PROC.iterdir():
            if entry.name.isdigit():
                yield int(entry.name)


def session_of(pid: int) -> int | None:
    """Return the session of a process, or None if there is no such process."""
    try:
        return os.getsid(pid)
    except OSError:
        return None


def find_by_environment(text: str) -> list[ProcessId]:
    """Return our processes that were started with `text` in their environment.

    That is how children are found whose parent was killed, and processes that were
    started by a command that died before it could write their id down.
    """
    found = (
        identify(pid)
        for pid, environment in _environments()
        if text in environment and pid != os.getpid()
    )
    return [process for process in found if process is not None]


def send(process: ProcessId, number: signal.Signals, *, group: bool = True) -> None:
    """Signal a process if it is still the same.

    Args:
        process: Whom.
        number: The signal.
        group: Signal the group that it leads, too.
    """
    if not process.is_shown():
        return
    try:
        if group and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except (ProcessLookupError, PermissionError):
        # Gone in between. macOS says "not permitted" for a group of zombies.
        return


def kill_all(
    find: Callable[[], list[ProcessId]],
    *,
    seconds: float,
    settle: Callable[[], object] = lambda: None,
) -> None:
    """Kill processes until there are none: one that was being started is seen late.

    Args:
        find: Finds them.
        seconds: How long to try, and to wait for those that were found.
        settle: Called before each further look.
    """
    deadline = time.monotonic() + seconds
    while (running := find()) and time.monotonic() < deadline:
        for process in running:
            send(process, signal.SIGKILL)
        wait_gone(running, seconds)
        settle()


def wait_gone(processes: list[ProcessId], seconds: float) -> list[ProcessId]:
    """Wait until the processes are gone; return those that are not."""
    deadline = time.monotonic() + seconds
    while left := [process for process in processes if process.is_alive()]:
        if time.monotonic() >= deadline:
            return left
        time.sleep(_POLL_INTERVAL)
    return []


def _start_time_of(pid: int) -> str | None:
    """When a process began; None of one that has ended.

    Raises:
        OSError: It cannot be looked at.
    """
    if _has_proc():
        return _start_time_from_proc(pid)
    return _start_time_from_ps(pid)


def _exists(pid: int) -> bool:
    """Whether there is a process of an id, be it hidden or a zombie."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return True


@cache
def _has_proc() -> bool:
    return (_PROC / "self" / "stat").exists()


def _stat_fields(pid: int) -> list[str]:
    """What the kernel tells of a process, from its state on; empty if there is none.

    Raises:
        OSError: It cannot be looked at.
    """
    try:
        stat = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        if _exists(pid):
            raise
        return []
    # proc(5): the second field is the name in parentheses and may hold anything;
    # after it come the state (field 3) and, as field 22, the start in ticks.
    return stat.rpartition(")")[2].split()


def _start_time_from_proc(pid: int) -> str | None:
    fields = _stat_fields(pid)
    if not fields or fields[0] in "ZX":
        return None
    return f"{boot_id()}:{fields[19]}"


def _start_time_from_ps(pid: int) -> str | None:
    line = _ps("-o", "stat=,lstart=", "-p", str(pid)).strip()
    state, _, start_time = line.partition(" ")
    if not start_time and _exists(pid):
        raise FileNotFoundError(f"ps shows no process {pid}")
    if not start_time or state.startswith("Z"):
        return None
    return start_time.strip()


def _environments() -> Iterator[tuple[int, str]]:
    if not _has_proc():
        yield from _environments_from_ps()
        return
    for pid in pids():
        try:
            content = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:  # somebody else's, or gone
            continue
        yield pid, content.decode(errors="replace")


def _environments_from_ps() -> Iterator[tuple[int, str]]:
    # `e` puts the environment behind the command, `ww` leaves it whole.
    for line in _ps("axeww", "-o", "pid=,command=").splitlines():
        pid, _, rest = line.strip().partition(" ")
        yield int(pid), rest


def _ps(*arguments: str) -> str:
    # It is told in local time, which is another after a journey.
    return _run("ps", *arguments, LC_ALL="C", TZ="UTC0")


def _run(*command: str, **environment: str) -> str:
    """What a tool of the system prints; nothing where there is no such tool."""
    try:
        answer = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={"PATH": os.defpath + ":/usr/sbin:/sbin", **environment},
        )
    except FileNotFoundError:
        return ""
    return answer.stdout


def end_with_parent(signum: int) -> None:
    """Have this process signalled when its parent ends; on Linux only."""
    prctl(PR_SET_PDEATHSIG, signum)
