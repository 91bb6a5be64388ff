"""The user that a job's processes run as, where the worker may choose one (Linux).

Its number has no account and, as long as a worker uses it, no other process: what has
that number is the job's. It is its own group, and in no other but those that a GPU's
device files ask for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.prctl import (
    PR_CAP_AMBIENT,
    PR_CAP_AMBIENT_CLEAR_ALL,
    PR_SET_KEEPCAPS,
    PR_SET_NO_NEW_PRIVS,
    prctl,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
}
"""What it takes to hand a job over to another user, and to clean up after it."""
NO_HOME = "/nonexistent"
"""The home of users without one, as systems call it."""
_KEPT = ("CAP_KILL", "CAP_SETGID", "CAP_SETUID")
_WIRE_BYTES = 256
_VERSION_3 = 0x20080522  # of the structure that `capset(2)` takes: twice 32 bits


@dataclass(frozen=True)
class JobUser:
    """Who a job's processes are.

    Attributes:
        uid: The number of the user, and of its group.
        groups: Further groups: those of GPUs' device files.
    """

    uid: int
    groups: tuple[int, ...] = ()

    def __str__(self) -> str:
        return ":".join(str(number) for number in (self.uid, *self.groups))

    @classmethod
    def parse(cls, text: str) -> JobUser:
        """Read what `str` wrote."""
        uid, *groups = map(int, text.split(":"))
        return cls(uid, tuple(groups))


def homeless(environment: Mapping[str, str]) -> dict[str, str]:
    """What to change in an environment for a user without an account.

    Its home cannot be the worker's; and whoever asks for its name finds none, which
    many a library takes for an error.
    """
    names = {
        name: environment.get(name) or "dioptra-job" for name in ("USER", "LOGNAME")
    }
    return {"HOME": NO_HOME, **names}


def send_user(sock: socket.socket, user: JobUser | None, descriptor: int) -> None:
    """Send a descriptor, and who is to use it; None is our own user."""
    text = "" if user is None else str(user)
    socket.send_fds(sock, [text.ljust(_WIRE_BYTES).encode()], [descriptor])


def receive_user(sock: socket.socket) -> tuple[JobUser | None, list[int]]:
    """Receive what `send_user` sent; no descriptor at the end, or with a refusal."""
    data, descriptors, _, _ = socket.recv_fds(sock, _WIRE_BYTES, 1)
    if not descriptors:
        return None, []
    while len(data) < _WIRE_BYTES and (more := sock.recv(_WIRE_BYTES - len(data))):
        data += more
    text = data.decode().strip()
    return JobUser.parse(text) if text else None, descriptors


def missing_capabilities() -> list[str]:
    """What this process lacks to let jobs run as other users; all, but on Linux."""
    held = 0
    if sys.platform.startswith("linux"):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "CapEff":
                held = int(value, 16)
    return [name for name, bit in NEEDED.items() if not held >> bit & 1]


def become(user: JobUser, *, stay_able_to_change: bool = False) -> None:
    """Be this user from here on, for good and with no rights beyond it.

    No program that this process executes gains rights either, whatever its mode.

    Args:
        user: Whom.
        stay_able_to_change: Keep what it takes to become yet another user, and to
            signal it: forks do, each once.

    Raises:
        OSError: If the system refuses; the process may then be neither.
    """
    kept = sum(1 << NEEDED[name] for name in _KEPT) if stay_able_to_change else 0
    prctl(PR_SET_KEEPCAPS, int(stay_able_to_change))
    _have_all_limits()
    os.setgroups(user.groups)
    os.setresgid(user.uid, user.uid, user.uid)
    os.setresuid(user.uid, user.uid, user.uid)
    _set_capabilities(kept)
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    if not prctl(PR_SET_NO_NEW_PRIVS, 1):
        raise OSError("the system knows no way to renounce new rights")


def _have_all_limits() -> None:
    """Have as much as may be of what root has without limits."""
    for limit in (resource.RLIMIT_NPROC, resource.RLIMIT_MEMLOCK):
        _, most = resource.getrlimit(limit)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(limit, (most, most))


def _set_capabilities(held: int) -> None:
    """Hold these capabilities, and pass on none of them to other programs."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(_VERSION_3, 0)
    low = (held, held, 0)  # effective, permitted, inheritable
    data = (ctypes.c_uint32 * 6)(*low, 0, 0, 0)
    if libc.capset(header, data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
