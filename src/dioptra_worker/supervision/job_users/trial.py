"""Tries, as another user, what a job needs.

In a process of its own, since there is no way back from being another user: a fork,
which takes milliseconds, where this process has one thread, and else a program.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from dioptra_worker.common.processes.interpreter import python
from dioptra_worker.common.processes.job_user import JobUser, become
from dioptra_worker.supervision.job_users.needs import Need

if TYPE_CHECKING:
    from collections.abc import Sequence

TRIAL_TIMEOUT = 30.0
"""Seconds that the program may take; it starts Python."""


def first_problem(
    user: JobUser, needs: Sequence[Need], *, folders: Sequence[Path]
) -> str:
    """The first thing that fails, in words; nothing when all is well.

    Args:
        user: Who is to have what a job needs.
        needs: What a job needs, with no more rights than we have ourselves.
        folders: Where it must be able to write; they are there.
    """
    if threading.active_count() == 1:
        return _forked(user, needs, folders)
    order = [
        str(user),
        needs,
        [str(folder) for folder in folders],
    ]
    try:
        done = subprocess.run(
            [*python(), "-m", "dioptra_worker.supervision.job_users.trial"],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=TRIAL_TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"to try it took longer than {TRIAL_TIMEOUT:.0f} s"
    words = done.stdout.strip()
    if done.returncode and not words:
        words = (done.stderr.strip().splitlines() or ["without a word"])[-1]
    return words


def _forked(user: JobUser, needs: Sequence[Need], folders: Sequence[Path]) -> str:
    reader, writer = os.pipe()
    if not (child := os.fork()):
        words = "without a word"
        try:
            words = _try(user, needs, folders)
        except BaseException as error:  # noqa: BLE001 - this process ends here
            words = repr(error)
        finally:
            os.write(writer, words.encode("utf-8", "replace")[: 1 << 12])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        words = answer.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    return words


def _try(user: JobUser, needs: Sequence[Need], folders: Sequence[Path]) -> str:
    """Become the user, for good, and use what it needs."""
    try:
        become(user)
    except OSError as error:
        return f"the system does not let the worker become user {user.uid}: {error}"
    for writable in folders:
        try:
            tempfile.TemporaryFile(dir=writable).close()
        except OSError as error:
            return (
                f"user {user.uid} cannot write to {writable} ({error.strerror}): let"
                " others enter each folder above it"
            )
    for need in needs:
        if os.access(need.path, need.rights):
            continue
        may_read = os.access(need.path, need.rights & ~os.W_OK)
        verb = "write to" if may_read else "read"
        return f"user {user.uid} cannot {verb} {need.path}, {need.why}: {need.remedy}"
    return ""


def main() -> None:
    """Try what standard input has, and print what fails."""
    user, needs, folders = json.load(sys.stdin)
    found = [Need(*each) for each in needs]
    print(_try(JobUser.parse(user), found, [Path(folder) for folder in folders]))  # noqa: T201


if __name__ == "__main__":
    main()
