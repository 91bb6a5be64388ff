"""Users for jobs: which there are, which are free, and what is left of one.

A user belongs to one fork server at a time, and so to one slot. That no other worker of
this machine, or of a container that shares a folder of jobs, has it, locks on files say
that only the worker's own user can reach.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.files.removal import REMOVAL_TIMEOUT
from dioptra_worker.common.files.trusted_folder import make_private
from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.processes.job_user import JobUser
from dioptra_worker.common.processes.process_identity import pids
from dioptra_worker.supervision.job_users.left_files import files_of, remove_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

AUTOMATIC = range(60706, 61184)
"""Numbers that no account and no other program gets by custom, and that are mapped in
most containers."""
COUNT = 2048
"""How many users there are from the first one that a setting names."""
LOCKS = Path("/run/dioptra-worker-users")
_ROUNDS = 100
_PAUSE = 0.01
_CLEANUP_TIMEOUT = 10.0


class JobUsers:
    """The users that one worker gives to its fork servers.

    Attributes:
        downloads: The folder for what libraries download in jobs; None is none.
    """

    def __init__(
        self,
        numbers: Sequence[int],
        locks: Sequence[Path],
        *,
        groups: tuple[int, ...] = (),
        downloads: Path | None = None,
    ) -> None:
        """Prepare; none is taken yet.

        Args:
            numbers: Those that there are.
            locks: The folders that say which are taken: each of them among workers
                that share it.
            groups: Further groups of each.
            downloads: The folder that all may change, for what libraries download.
        """
        self.downloads = downloads
        self._numbers = numbers
        self._locks = locks
        self._groups = groups
        self._locked: set[int] = set()
        self._taken: set[int] = set()

    def take(self) -> JobUser:
        """A user that no process has, and no other worker can take.

        Raises:
            OSError: If there is none.
        """
        used = {uid for _, uid in _processes()}
        for uid in self._numbers:
            if uid in self._taken or uid in used or has_account(uid):
                continue
            if uid in self._locked or self._lock(uid):
                self._locked.add(uid)
                self._taken.add(uid)
                return JobUser(uid, self._groups)
        raise OSError(
            f"no user is free for jobs between {self._numbers[0]} and"
            f" {self._numbers[-1]}; see DIOPTRA_WORKER_JOB_USERS"
        )

    def give_back(self, user: JobUser) -> None:
        """Let a user be taken again, once no process has it any more."""
        self._taken.discard(user.uid)

    def _lock(self, uid: int) -> bool:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with contextlib.ExitStack() as opened:
            for folder in self._locks:
                make_private(folder)  # somebody may have removed it since we began
                # It is never removed: whoever has opened it and is about to lock it
                # would have a lock that no other worker sees.
                file = os.open(folder / str(uid), flags, 0o600)
                opened.callback(os.close, file)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    return False
            opened.pop_all()  # as long as this process lives: they stay open
        return True


def has_account(uid: int) -> bool:
    """Whether a user is somebody's."""
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def lock_folders(work_dir: Path) -> list[Path]:
    """The folders for locks on users: one for the machine, and where jobs meet.

    Two containers may share the work folder, or the one for temporary files, and
    nothing else: jobs of both must not be the same user there.

    Args:
        work_dir: The work folder.

    Raises:
        OSError: If none can be made, or somebody else could change them.
    """
    temporary = Path(tempfile.gettempdir(), LOCKS.name)
    wanted, made = (LOCKS, temporary, work_dir / "users"), []
    for folder in wanted:
        with contextlib.suppress(OSError):
            make_private(folder)
            made.append(folder)
    if not made:
        *others, last = map(str, wanted)
        raise OSError(
            f"neither {', '.join(others)} nor {last} can be a folder of the worker's"
        )
    return made


def clean_up_after(user: JobUser) -> int:
    """End and remove what is left of a user, once its fork server has ended.

    A process in a namespace that one of them has made ends with the first in there,
    which is a child of one of these, or of whoever has adopted it.

    Returns:
        How many processes there were.
    """
    ended: set[int] = set()
    for _ in range(_ROUNDS):
        # Not those of other containers, whose numbers may be the same.
        found = {pid for pid, uid in _processes(nested=False) if uid == user.uid}
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        ended |= found
        time.sleep(_PAUSE)
    remove_files([path for path, _ in files_of(user.uid)], timeout=REMOVAL_TIMEOUT)
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            [
                *(*python(), "-m", "dioptra_worker.supervision.job_users.cleanup"),
                str(user),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_CLEANUP_TIMEOUT,
            check=False,
        )
    return len(ended)


def _processes(*, nested: bool = True) -> Iterator[tuple[int, int]]:
    """Every process and each user that it is, other than zombies.

    Args:
        nested: Also those of namespaces below this one, such as other containers.
    """
    for pid in pids():
        try:
            lines = Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
        except OSError:
            continue
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        if fields.get("State", "Z").split()[0] in "ZX":
            continue
        if not nested and len(fields.get("NSpid", "1").split()) > 1:
            continue
        for uid in set(map(int, fields["Uid"].split())):
            yield pid, uid
